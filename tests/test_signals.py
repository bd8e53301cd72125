"""The vocabulary: what a signature says, and that only what is asked for is computed."""

import inspect

import pytest
import torch

from alignlab import ConfigError
from alignlab.derived import Pairs, Signals
from alignlab.labels import desirable
from alignlab.places import choices
from alignlab.signals import (
    LIST_SIGNALS,
    OTHER_SIGNALS,
    PAIR_SIGNALS,
    VOCABULARY,
    contract,
    list_name,
)
from tests.invariants.cases import build, random_signals

LOGPS = torch.tensor([[-1.0, -2.0], [-3.0, -5.0]])
REF = torch.tensor([[-1.5, -2.0], [-4.0, -3.0]])
LABELS = torch.tensor([[1.0, 0.0], [0.25, 0.75]])
EVERYWHERE = torch.ones(2, 2, dtype=torch.bool)


class Selection:
    """Both lists, and how often it was asked for."""

    calls = 0

    def __call__(self):
        self.calls += 1
        return Pairs(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([1, 0]))


def never():
    raise AssertionError("pairs were selected and nobody asked for them")


def test_pair_signals_are_two_sides_of_list_signals_and_what_is_of_both():
    sides = {f"{side}_{name}" for name in LIST_SIGNALS for side in ("chosen", "rejected")}
    sides |= {"strength", "pair_wins"}
    assert set(PAIR_SIGNALS) == sides
    assert set(VOCABULARY) == sides | {"where"} | set(LIST_SIGNALS) | set(OTHER_SIGNALS)


@pytest.mark.parametrize("name", LIST_SIGNALS)
def test_list_name(name):
    assert {list_name(n) for n in (name, f"chosen_{name}", f"rejected_{name}")} == {name}


def test_contract_reads_a_signature():
    def loss(chosen_logps, /, rejected_logps, where, *args, beta, tau=0.5, **rest): ...

    read = contract(loss, "loss")
    assert read.signals == ("chosen_logps", "rejected_logps", "where")
    assert read.hyper == {"beta": inspect.Parameter.empty, "tau": 0.5}
    assert read.is_pairwise


@pytest.mark.parametrize(
    ("function", "pairwise"), [(lambda logps, where: 0, False), (lambda logps, strength: 0, True)]
)
def test_contract_knows_pairwise_functions(function, pairwise):
    assert contract(function, "f").is_pairwise is pairwise


def test_contract_takes_a_positional_default_for_a_signal():
    with pytest.raises(ConfigError, match="f asks for signal 'temperature'"):
        contract(lambda logps, temperature=1.0: 0, "f")


def test_list_signals_select_no_pairs():
    signals = Signals({"logps": LOGPS, "ref_logps": REF, "labels": LABELS}, EVERYWHERE, never)
    assert signals["logratios"].tolist() == [[0.5, 0.0], [1.0, -2.0]]


def test_a_missing_signal_matters_only_once_it_is_asked_for():
    signals = Signals({"logps": LOGPS}, EVERYWHERE, Selection())
    assert signals["chosen_logps"].tolist() == [-1.0, -5.0]
    with pytest.raises(ConfigError, match=r"'ref_logps' .*pass ref_logps=\[B, K\]"):
        signals["rejected_logratios"]


def test_pairs_are_selected_once():
    signals = Signals({"logps": LOGPS, "ref_logps": REF, "labels": LABELS}, EVERYWHERE, select := Selection())
    assert select.calls == 0
    assert signals["chosen_logratios"].tolist() == [0.5, -2.0]
    assert signals["rejected_logratios"].tolist() == [0.0, 1.0]
    assert signals["strength"].tolist() == [1.0, 0.5]
    assert signals.shifted(LOGPS)["chosen_logps"].tolist() == [-2.0, -10.0]
    assert select.calls == 1


def test_what_was_derived_is_kept():
    signals = Signals({"logps": LOGPS, "ref_logps": REF}, EVERYWHERE, never)
    assert signals["logratios"] is signals["logratios"]


def test_absent_slots_read_zero():
    where = torch.tensor([[True, False], [True, True]])
    base = {"logps": LOGPS.masked_fill(~where, torch.nan), "ref_logps": REF.masked_fill(~where, torch.inf)}
    signals = Signals(base, where, never)
    assert signals["logratios"].tolist() == [[0.5, 0.0], [1.0, -2.0]]
    assert signals["where"] is where


def test_shift_moves_log_probabilities_and_what_derives_from_them():
    where = torch.tensor([[True, False], [True, True]])
    base = {"logps": LOGPS, "ref_logps": REF, "labels": LABELS}
    signals = Signals(base, where, Selection())
    before = signals["logratios"], signals["chosen_logratios"]
    shifted = signals.shifted(10.0)
    assert shifted["logratios"].tolist() == [[10.5, 0.0], [11.0, 8.0]]
    assert shifted["chosen_logratios"].tolist() == [10.5, 8.0]
    assert torch.equal(shifted["ref_logps"], signals["ref_logps"])
    assert torch.equal(shifted["strength"], signals["strength"])
    assert signals["logratios"] is before[0]
    assert signals["chosen_logratios"] is before[1]


@pytest.mark.parametrize("name", choices("objective"))
def test_objectives_select_pairs_only_where_they_see_them(name, monkeypatch):
    calls = []

    def choose(labels, where):
        calls.append(len(labels))
        return Pairs(torch.tensor([0]), torch.tensor([0]), torch.tensor([1]))

    monkeypatch.setattr("alignlab.objective.objective.select", lambda choice: choose)
    objective = build(name)
    signals = random_signals(objective, lists=2, width=2)
    calls.clear()
    objective(**signals)
    views = 2 if objective.gathers else 1  # what is brought to the statistics of the step is read apart
    assert calls == ([2] * views if objective.is_pairwise else [])


def test_a_label_in_the_middle_is_not_desirable():
    """Of a list, the middle is that of its best and worst label; of a lone response, or of equal ones, it is 0.5."""
    labels = torch.tensor(
        [[1.0, 0.5, 0.0], [0.75, 0.5, 0.25], [0.5, 0.5, 0.5], [0.5, 9.0, 9.0], [0.6, 0.6, 0.0]]
    )
    where = torch.tensor([[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 0, 0], [1, 1, 0]], dtype=torch.bool)
    expected = [[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0], [1, 1, 0]]
    assert desirable(labels.double(), where).tolist() == expected
