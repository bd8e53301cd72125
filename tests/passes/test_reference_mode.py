"""Where reference log-probabilities come from, for each kind of objective."""

import pytest

from alignlab import load_objective
from alignlab.errors import ConfigError
from alignlab.passes.reference_mode import MODES, resolve_mode

PLAIN = load_objective("dpo")
FREE = load_objective("simpo")
EXACT_KL = load_objective("dpo", regularizers={"kl": 0.1})

CASES = [
    (PLAIN, "auto", "precomputed"),
    (PLAIN, "precomputed", "precomputed"),
    (PLAIN, "live", "live"),
    (FREE, "auto", "none"),
    (FREE, "none", "none"),
    (FREE, "precomputed", "precomputed"),
    (FREE, "live", "live"),
    (EXACT_KL, "auto", "live"),
    (EXACT_KL, "live", "live"),
]
REFUSED = [
    (PLAIN, "adapter", "choose peft=lora and no reference.path"),
    (FREE, "adapter", "choose peft=lora"),
    (EXACT_KL, "adapter", "or use reference=live"),
    (PLAIN, "none", "objective 'dpo' needs a reference: use reference=auto"),
    (EXACT_KL, "none", "objective 'dpo' needs a reference"),
    (EXACT_KL, "precomputed", "kl_reverse cannot be kept from one pass over the data: use reference=live"),
    (PLAIN, "precomputted", "reference.mode=precomputted: did you mean 'precomputed'?"),
]


@pytest.mark.parametrize(("objective", "mode", "expected"), CASES)
def test_the_mode_that_serves_an_objective(objective, mode, expected):
    assert resolve_mode(mode, objective) == expected


@pytest.mark.parametrize(("objective", "mode", "message"), REFUSED)
def test_a_mode_that_cannot_serve_says_what_to_use(objective, mode, message):
    with pytest.raises(ConfigError) as error:
        resolve_mode(mode, objective)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("objective", "mode", "expected"),
    [
        (PLAIN, "auto", "precomputed"),
        (PLAIN, "adapter", "adapter"),
        (EXACT_KL, "auto", "adapter"),
        (EXACT_KL, "live", "live"),
    ],
)
def test_the_mode_where_adapters_can_be_switched_off(objective, mode, expected):
    assert resolve_mode(mode, objective, adapter=True) == expected


def test_every_mode_is_tried_with_every_kind_of_objective():
    tried = {(id(objective), mode) for objective, mode, _ in [*CASES, *REFUSED]}
    assert {(id(o), mode) for o in (PLAIN, FREE, EXACT_KL) for mode in MODES} <= tried
