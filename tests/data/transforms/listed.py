"""Lists whose responses are numbered, so that one sees what belongs to which."""

from hypothesis import strategies as st

from alignlab.data.reading.rows import Drop
from alignlab.types import Example

# Few distinct labels, so that ties are common.
some_labels = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=6)


def listed(labels, **changes):
    """Response i is its number, its reward ten times its label."""
    given = {
        "prompt": [{"role": "user", "content": "x"}],
        "responses": [str(i) for i in range(len(labels))],
        "labels": list(labels),
        "rewards": [10 * label for label in labels],
        "id": "list",
    }
    return Example(**{**given, **changes})


def outcome(step, example, **options):
    """What a row becomes, or the reason why it goes."""
    try:
        return list(step(example, **options))
    except Drop as reason:
        return str(reason)
