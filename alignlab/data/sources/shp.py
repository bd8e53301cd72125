"""Stanford Human Preferences (arXiv:2110.08420), schema of stanfordnlp/SHP: pairs of comments on a Reddit post.

history                    str   title and text of the post
human_ref_A, human_ref_B   str   two comments
labels                     int   1 where A is preferred, 0 where B is
score_A, score_B           int   upvotes less downvotes, and 1
score_ratio                float, optional
post_id, c_root_id_A, c_root_id_B, domain   str, optional
"""

from collections.abc import Mapping
from typing import Any

from alignlab.data.reading.rows import RowError, column, number, user
from alignlab.data.sources.columns import pair, text_of
from alignlab.types import Example

SPLITS = ("_train", "_validation", "_test")


def convert(row: Mapping[str, Any]) -> Example:
    """Convert a pair; its rewards count votes and not quality, so that they compare within a post only."""
    label = column(row, "labels", int)
    if label not in (0, 1):
        raise RowError("labels", f"expected 1 (A is preferred) or 0 (B is), found {label}")
    better, worse = ("A", "B") if label else ("B", "A")
    domain = text_of(row, "domain")
    for end in SPLITS:
        domain = domain.removesuffix(end)
    ratio = number(row, "score_ratio") if row.get("score_ratio") is not None else None
    return pair(
        user(column(row, "history", str)),
        *(column(row, f"human_ref_{side}", str) for side in (better, worse)),
        rewards=[number(row, f"score_{side}") for side in (better, worse)],
        id="/".join(filter(None, (text_of(row, name) for name in ("post_id", "c_root_id_A", "c_root_id_B")))),
        meta={"source": domain, "score_ratio": ratio},
    )
