"""The table of reductions: which objective equals which other one, at what settings. Tests check it, cards print it."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

Hyper = Mapping[str, Any]
AS_IT_IS: Hyper = MappingProxyType({})


class Reduction(NamedTuple):
    """One entry: `name` with `hyper` is `factor` times `other` with `other_hyper`, on pairs labelled 1 and 0.

    Hyper-parameters that an entry leaves out are those of the yaml, but both have the same beta: `BETA` in the tests,
    and in truth any beta, unless the entry gives another hyper-parameter as a multiple of it.
    """

    name: str
    hyper: Hyper
    other: str
    other_hyper: Hyper = AS_IT_IS
    factor: float = 1.0
    where: str = ""
    """A condition on the data, in words (`tests/invariants/test_reductions.py` knows how to make it hold)."""


BETA = 0.3
SMOOTHED = {"label_smoothing": {"epsilon": 0.2}}
PAIR_IN_LAMBDA = 1 / math.log(2) - 1 / math.log(3)

REDUCTIONS = [
    # noise
    Reduction("cdpo", {"epsilon": 0.0}, "dpo"),
    Reduction("rdpo", {"epsilon": 0.0}, "dpo"),
    Reduction("rdpo", {"epsilon": 0.2, "modifiers": SMOOTHED}, "dpo"),
    Reduction("osp", {}, "dpo"),
    Reduction("osp", {}, "cdpo", {"epsilon": 0.1}, where="the labels are .9 and .1"),
    Reduction("cdpo", {"epsilon": 0.2}, "aot", {"epsilon": 0.2}, where="a step is one pair"),
    # anchors and margins
    Reduction("dpop", {"lam": 0.0}, "dpo"),
    Reduction("dpop", {"lam": 0.0, "penalty": "outside"}, "dpo"),
    Reduction("rpo", {"eta": 0.0}, "dpo"),
    Reduction("r_dpo", {"alpha": 0.0}, "dpo"),
    Reduction("r_dpo", {"alpha": 0.06}, "dpo", {"regularizers": {"length": 0.2}}),
    Reduction("flex_dpo", {"beta_plus": 0.3, "beta_minus": 0.3}, "dpo"),
    Reduction("minor_dpo", {}, "dpo", where="the rejected response is above its reference"),
    Reduction("ln_dpo", {}, "dpo", where="a response is one token"),
    Reduction("ipo", {"aggregate": "mean"}, "ipo", {"aggregate": "sum"}, where="a response is one token"),
    Reduction("alpha_po", {"alpha": 0.0, "gamma": 1.0}, "simpo", {"gamma": 1.0}),
    Reduction("hybrid_dpo", {}, "dpo", where="the reference prefers the chosen response"),
    # divergences
    Reduction("f_dpo", {"divergence": "reverse_kl"}, "dpo"),
    Reduction("f_dpo", {"divergence": "alpha", "alpha": 1e-9}, "dpo"),
    Reduction("f_dpo", {"divergence": "alpha", "alpha": 1.0}, "f_dpo", {"divergence": "forward_kl"}),
    Reduction("chi_po", {}, "dpo", {"beta": 0.6}, where="log-ratios are near 0"),
    # values
    Reduction("plackett_luce_values", {}, "bradley_terry"),
    Reduction("softmax_values", {}, "bradley_terry"),
    Reduction("bt_margin", {"margin": 0.0}, "bradley_terry"),
    Reduction("bradley_terry", {"epsilon": 0.2}, "bradley_terry", {"modifiers": SMOOTHED}),
    # references
    Reduction("mrpo", {}, "dpo", where="both references are one"),
    Reduction("mrpo", {"alpha": 0.7, "epsilon": None}, "dpo", where="both references are one"),
    Reduction("mrpo", {"alpha": 0.0, "epsilon": None}, "dpo"),
    Reduction("d2o", {"alpha": 0.3}, "dpo"),
    Reduction("d2o", {"alpha": 0.3, "references": 2}, "dpo", where="both references are one"),
    Reduction("cpo", {"nll": "none"}, "dpo", where="the reference is uniform"),
    Reduction("slic", {}, "rso_hinge", {"gamma": 1.0}, where="the reference is uniform"),
    Reduction("rainbow_po", {"alpha": 0.0, "gamma": 0.5, "dispersion": False}, "simpo", {"gamma": 0.15}),
    Reduction("rainbow_po", {"alpha": 1.0, "dispersion": False}, "ln_dpo"),
    # tokens
    Reduction("tdpo2", {"alpha": 0.0}, "dpo"),
    Reduction("tdpo1", {}, "dpo", where="divergences are 0"),
    Reduction("ld_dpo", {"alpha": 1.0}, "dpo"),
    Reduction("sparse_po", {"l1_u": 0.0, "l1_d": 0.0}, "tdpo1"),
    Reduction("sparse_po", {"l1_u": 0.0, "l1_d": 0.0, "mask": "independent"}, "tdpo1"),
    # other text, weights
    Reduction("dove", {"prompt": "none"}, "dpo"),
    Reduction("dove", {"prompt": "sum"}, "dpo", where="the prompt is shared"),
    Reduction("rationale_dpo", {"gamma": 0.0}, "dpo"),
    Reduction("mm_dpo", {"w": 0.0}, "dpo"),
    Reduction("mm_dpo", {}, "dpo", where="the rewards are equal"),
    Reduction("wpo", {}, "dpo", where="responses are as likely as samples"),
    # games
    Reduction("sppo", {"hard": True, "aggregate": "sum"}, "sppo", {}, 2.0),
    Reduction("sppo", {"hard": True}, "sppo"),
    Reduction("gpo", {}, "sppo", where="the rewards are the labels less 1/2"),
    # the whole step, single responses
    Reduction("aot", {}, "dpo", where="a step is one pair"),
    Reduction("aot_unpaired", {}, "dpo", where="a step is one pair"),
    Reduction("kto", {"z0": "zero"}, "apo_zero", {}, 0.5),
    Reduction("kto", {}, "apo_zero", {}, 0.5, where="other prompts' responses are at their reference"),
    # lists
    Reduction("list_mle", {}, "dpo"),
    Reduction("lipo_pair_logistic", {}, "dpo"),
    Reduction("lipo_softmax", {}, "dpo"),
    Reduction("lipo_pair_hinge", {}, "rso_hinge", {"gamma": 0.3}),
    Reduction("lipo_lambda", {}, "dpo", {}, PAIR_IN_LAMBDA),
    Reduction("lipo_lambda", {"discount": "log2"}, "lipo_lambda", {}, math.log(2)),
    Reduction("info_nca", {"alpha": 0.01}, "dpo"),
    Reduction("nca_list", {"alpha": 0.01}, "nca"),
    Reduction("exo_list", {"beta_r": 1 / math.log(9)}, "exo", {"epsilon": 0.1}),
    Reduction(
        "tpo_tree", {"step_agg": "sum", "form": "normalized"}, "lipo_lambda", where="a response is one step"
    ),
    Reduction(
        "tpo_tree",
        {"step_agg": "sum", "form": "paper", "emphasis": "none"},
        "lipo_lambda",
        where="a response is one step",
    ),
]
