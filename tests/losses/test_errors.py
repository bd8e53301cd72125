"""A wrong name or shape: ConfigError that says where, and names the nearest valid name."""

import pytest
import torch

from alignlab import ConfigError, load_objective
from alignlab.objective.load import build_objective, build_term
from alignlab.objective.objective import Objective
from alignlab.objective.pair_selection import select
from alignlab.objective.term import make_term

TWO = torch.zeros(3, 2)
DPO_BASE = {"logps": TWO, "ref_logps": TWO, "labels": TWO}
DPO_LOSS = {"_target_": "alignlab.losses.pairs.dpo.dpo", "beta": 0.1}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: load_objective("dpoo"), ["no objective 'dpoo'", "did you mean 'dpo'?"]),
        (lambda: load_objective("zzz"), ["valid names: alpha_po, aot, ", "slic"]),
        (lambda: load_objective("dpo", betta=0.1), ["objective.loss", "'betta'", "did you mean 'beta'?"]),
        (lambda: load_objective("dpo", pairs="best_wrst"), ["objective.pairs=best_wrst", "'best_worst'?"]),
        (lambda: select("al"), ["objective.pairs=al", "did you mean 'all'?"]),
        (lambda: load_objective("dpo", reduction="meen"), ["objective.reduction=meen", "'mean'?"]),
        (lambda: load_objective("dpo", regularizers=["sfft"]), ["no regularizers 'sfft'", "'sft'?"]),
        (lambda: load_objective("dpo", regularizers={"lenght": 0.1}), ["'lenght'", "'length'?"]),
        (
            lambda: load_objective("dpo", regularizers={"sft": {"reducton": "seq_sum"}}),
            ["regularizers.sft", "'reducton'", "did you mean 'reduction'?"],
        ),
        (
            lambda: load_objective("dpo", regularizers={"kl": {"direction": "revers"}}),
            ["direction=revers", "did you mean 'reverse'?"],
        ),
        (
            lambda: load_objective("dpo", regularizers={"length": {"kind": "ofset"}}),
            ["regularizers.length.kind=ofset", "did you mean 'offset'?"],
        ),
    ],
)
def test_misspelt_choice(call, words):
    with pytest.raises(ConfigError) as error:
        call()
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(
    ("name", "hyper", "words"),
    [
        ("ipo", {"aggregate": "maen"}, ["aggregate=maen", "'mean'?"]),
        ("slic", {"aggregate": "summ"}, ["aggregate=summ", "'sum'?"]),
        ("lipo_lambda", {"gain": "exp"}, ["gain=exp", "'exp2'?"]),
        ("lipo_lambda", {"discount": "log"}, ["discount=log", "'log2'?"]),
        ("dpo", {"regularizers": {"sft": {"reduction": "seqmean"}}}, ["reduction=seqmean", "'seq_mean'?"]),
        (
            "dpo",
            {"regularizers": {"kl": {"reduction": "tokenmean"}}},
            ["reduction=tokenmean", "'token_mean'?"],
        ),
    ],
)
def test_misspelt_option_is_found_by_the_counts(name, hyper, words):
    """Before any forward."""
    with pytest.raises(ConfigError) as error:
        load_objective(name, **hyper).counts(labels=TWO, lengths=TWO)
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ({"logp": TWO}, ["'logp' is no base signal", "did you mean 'logps'?"]),
        ({"logratios": TWO}, ["'logratios' is no base signal"]),
        ({"chosen_logps": TWO}, ["'chosen_logps' is no base signal", "'logps'?"]),
        ({"ref_logps": TWO[:, :1]}, ["one shape [B, K]", "'ref_logps': (3, 1)", "'logps': (3, 2)"]),
        (dict.fromkeys(DPO_BASE, TWO[0]), ["one shape [B, K]", "(2,)"]),
        ({"where": TWO[:, :1] == 0}, ["one shape [B, K]", "'where': (3, 1)"]),
        ({"weights": torch.ones(2)}, ["weights", "(3,)", "(2,)"]),
    ],
)
def test_wrong_base_signal(base, words):
    with pytest.raises(ConfigError) as error:
        load_objective("dpo")(**(DPO_BASE | base))
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize("missing", sorted(DPO_BASE))
def test_missing_base_signal(missing):
    given = {name: value for name, value in DPO_BASE.items() if name != missing}
    with pytest.raises(ConfigError, match=f"objective 'dpo' needs {missing}"):
        load_objective("dpo")(**given)


def test_counts_without_any_data():
    with pytest.raises(ConfigError, match="lengths or labels"):
        load_objective("dpo").counts()


def test_regularizer_set_but_not_chosen():
    with pytest.raises(ConfigError) as error:
        build_objective({"name": "dpo", "loss": DPO_LOSS}, {"sft": {"weight": 0.2}})
    assert "regularizers.sft is set" in str(error.value)
    assert "regularizers=[sft]" in str(error.value)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("alignlab.losses.pairs.dpo.dppo", ["r._target_", "did you mean 'dpo'?"]),
        ("alignlab.objectives.pairwse.dpo", ["r._target_", "cannot import 'alignlab.objectives.pairwse'"]),
        ("dpo", ["r._target_", "no dotted path"]),
    ],
)
def test_wrong_target(target, words):
    with pytest.raises(ConfigError) as error:
        build_term("r", {"_target_": target}, "r")
    assert all(word in str(error.value) for word in words), str(error.value)


def test_signal_outside_the_vocabulary():
    def mine(chosen_logp, rejected_logps): ...

    with pytest.raises(ConfigError, match="asks for signal 'chosen_logp': did you mean 'chosen_logps'"):
        make_term("mine", mine, {})


def test_hyper_parameter_without_a_value():
    def mine(logps, *, scale): ...

    with pytest.raises(
        ConfigError, match=r"objective.loss needs a value for scale: set objective.loss.scale="
    ):
        make_term("mine", mine, {}, path="objective.loss")


def test_two_parts_of_one_name():
    sft = build_term("sft", {"_target_": "alignlab.regularizers.sft.sft"}, "r")
    with pytest.raises(ConfigError, match="two parts named 'sft'"):
        Objective("sft", sft, [sft])
