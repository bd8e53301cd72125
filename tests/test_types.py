"""Parts and outcomes add up; a batch knows where its responses are."""

from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from alignlab.types import Batch, Example, Outcome, Part, Scores


def part(total, count, weight=1.0):
    return Part(torch.tensor(float(total)), torch.tensor(float(count)), weight)


@pytest.mark.parametrize(("total", "count", "mean"), [(6, 4, 1.5), (-3, 0.5, -6.0), (0, 3, 0.0)])
def test_mean_of_a_part(total, count, mean):
    assert part(total, count).mean.item() == mean


def test_mean_leaves_the_weight_out():
    assert part(6, 4, weight=10.0).mean.item() == 1.5


def test_nothing_counted_is_zero_and_keeps_the_graph():
    leaf = torch.tensor([2.0], requires_grad=True)
    mean = Part((leaf * 0).sum(), torch.tensor(0.0)).mean
    mean.backward()
    assert mean.item() == 0
    assert leaf.grad.tolist() == [0.0]


def test_share_of_a_larger_count():
    assert part(6, 4).over(torch.tensor(12.0)).item() == 0.5


def test_count_zero_divides_by_nothing():
    assert part(6, 4).over(torch.tensor(0.0)).item() == 6


def test_loss_is_the_weighted_sum_of_means():
    outcome = Outcome({"dpo": part(6, 4), "sft": part(10, 5, weight=0.1)}, {})
    assert outcome.loss.item() == pytest.approx(1.5 + 0.1 * 2)


def test_shares_of_a_global_batch_add_up():
    halves = [
        Outcome({"dpo": part(6, 4), "sft": part(10, 5, weight=0.1)}, {}),
        Outcome({"dpo": part(1, 1), "sft": part(2, 15, weight=0.1)}, {}),
    ]
    counts = {"dpo": torch.tensor(5.0), "sft": torch.tensor(20.0)}
    total = sum(half.loss_over(counts).item() for half in halves)
    assert total == pytest.approx(7 / 5 + 0.1 * 12 / 20)


def test_loss_over_wants_every_part():
    with pytest.raises(KeyError, match="sft"):
        Outcome({"sft": part(1, 1)}, {}).loss_over({"dpo": torch.tensor(1.0)})


def make_batch():
    """Prompt of 2 tokens with responses of 2 and 1, prompt of 1 token with a response of 1."""
    return Batch(
        tokens=torch.tensor([5, 6, 7, 8, 9, 5, 3]),
        positions=torch.tensor([0, 1, 2, 3, 2, 0, 1]),
        prompt=torch.tensor([0, 0, 0, 0, 0, 1, 1]),
        row=torch.tensor([-1, -1, 0, 0, 1, -1, 2]),
        slot=torch.tensor([[0, 1], [2, -1]]),
        labels=torch.tensor([[1.0, 0.0], [1.0, 0.0]]),
        weights=torch.ones(2),
        ids=("a", "b"),
    )


def test_batch_knows_its_responses():
    batch = make_batch()
    assert batch.where.tolist() == [[True, True], [True, False]]
    assert batch.is_response.tolist() == [False, False, True, True, True, False, True]


def test_values_of_rows_stand_in_their_slots():
    batch = make_batch()
    assert batch.row_lengths.tolist() == [2, 1, 1]
    assert batch.slotted(torch.tensor([1.5, 2.5, 3.5])).tolist() == [[1.5, 2.5], [3.5, 0.0]]
    assert batch.slotted(torch.eye(3)).shape == (2, 2, 3)
    assert not batch.slotted(torch.eye(3))[1, 1].any()


def test_values_of_tokens_stand_at_their_places():
    batch = make_batch()
    values = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    dense = batch.dense(values)
    assert dense.tolist() == [[[1, 2], [3, 0]], [[4, 0], [0, 0]]]
    (dense * torch.arange(8.0).view(2, 2, 2)).sum().backward()
    assert values.grad.tolist() == [0, 1, 2, 4]
    assert batch.dense(torch.ones(4, 3, 5)).shape == (2, 2, 2, 3, 5)


def test_rows_without_a_slot_are_left_out():
    extra, labels = {"mismatched": torch.tensor([0, -1])}, torch.zeros(2, 1)
    batch = replace(make_batch(), slot=torch.tensor([[1], [2]]), labels=labels, extra=extra)
    assert batch.slotted(torch.tensor([1.0, 2.0, 3.0])).tolist() == [[2], [3]]
    assert batch.dense(torch.tensor([1.0, 2.0, 3.0, 4.0])).tolist() == [[[3]], [[4]]]


def test_batch_moves_every_tensor():
    batch = make_batch()
    assert batch.row_lengths.sum() == batch.is_response.sum()  # derived, and not moved
    moved = replace(
        batch,
        rewards=torch.zeros(2, 2),
        cached={"ref_logps": torch.zeros(2, 2)},
        extra={"rationale": torch.tensor([-1, 2])},
        step=torch.zeros(7, dtype=torch.long),
    ).to("meta")
    tensors = {name: value for name, value in vars(moved).items() if isinstance(value, torch.Tensor)}
    names = {"tokens", "positions", "prompt", "row", "slot", "labels", "weights", "rewards", "step"}
    assert set(tensors) == names
    tensors |= {**moved.cached, **moved.extra}
    assert set(tensors) == names | {"ref_logps", "rationale"}
    assert {value.device.type for value in tensors.values()} == {"meta"}
    assert moved.ids == ("a", "b")


def test_scores_give_signals_by_name():
    batch = make_batch()
    scores = Scores(
        torch.arange(4.0),
        torch.zeros(2, 2),
        torch.ones(2, 2),
        more={"entropy": torch.ones(2, 2)},
        tokens={"hidden": torch.ones(4, 3)},
    )
    signals = scores.signals(batch)
    assert signals.keys() == {"logps", "lengths", "entropy", "hidden"}
    assert signals["hidden"].shape == (2, 2, 2, 3)


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (Example([{"role": "user", "content": "hi"}], ["yes", "no"], [1.0, 0.0]), "weight"),
        (part(1, 1), "weight"),
        (Outcome({}, {}), "parts"),
        (Scores(torch.zeros(3), torch.zeros(1, 2), torch.ones(1, 2)), "logps"),
    ],
)
def test_records_are_frozen(record, name):
    with pytest.raises(FrozenInstanceError):
        setattr(record, name, None)
