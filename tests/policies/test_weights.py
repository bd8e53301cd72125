"""The identity of a model."""

import hashlib

import pytest
import torch
from torch import nn

from alignlab.policies import weights
from alignlab.policies.weights import weights_hash


def make(**changes):
    torch.manual_seed(0)
    model = nn.Module()
    model.weight = nn.Parameter(changes.get("weight", torch.arange(6.0).reshape(2, 3)))
    model.register_buffer("flags", changes.get("flags", torch.tensor([True, False])))
    model.register_buffer(changes.get("name", "count"), changes.get("count", torch.tensor(3)))
    return model


def test_the_hash_is_over_names_types_shapes_and_bytes():
    parts = {
        "count torch.int64 ()": (3).to_bytes(8, "little"),
        "flags torch.bool (2,)": bytes([1, 0]),
        "weight torch.float32 (2, 3)": torch.arange(6.0).numpy().tobytes(),
    }
    text = "".join(f"{name} {hashlib.sha256(part).hexdigest()}\n" for name, part in parts.items())
    assert weights_hash(make()) == hashlib.sha256(text.encode()).hexdigest()


def test_a_model_is_hashed_once_until_it_changes(monkeypatch):
    model = make()
    before = weights_hash(model)
    with monkeypatch.context() as patch:
        patch.setattr(weights, "_hash", None)
        assert weights_hash(model) == before
    with torch.no_grad():
        model.weight[1, 2] = -1.0
    changed = weights_hash(model)
    model.flags = torch.tensor([False, False])
    assert len({before, changed, weights_hash(model)}) == 3


def test_more_tensors_than_threads_are_hashed_in_order():
    models = [
        nn.ParameterList([torch.full((2,), float(i)) for i in order])
        for order in (range(40), range(39, -1, -1))
    ]
    assert weights_hash(models[0]) != weights_hash(models[1])
    assert weights_hash(models[0]) == weights_hash(
        nn.ParameterList([torch.full((2,), float(i)) for i in range(40)])
    )


@pytest.mark.parametrize(
    "change",
    [
        {"weight": torch.arange(6.0).reshape(3, 2)},
        {"weight": torch.arange(6.0).reshape(2, 3).double()},
        {"weight": torch.arange(6.0).reshape(2, 3).bfloat16()},
        {"weight": torch.tensor([[-0.0, 1, 2], [3, 4, 5]])},
        {"flags": torch.tensor([True, True])},
        {"count": torch.tensor(4)},
        {"name": "total"},
    ],
)
def test_any_change_gives_another_hash(change):
    assert weights_hash(make(**change)) != weights_hash(make())


def test_memory_layout_and_training_state_do_not_matter():
    transposed = torch.arange(6.0).reshape(2, 3).T.contiguous().T
    assert not transposed.is_contiguous()
    model = make(weight=transposed).eval()
    model.weight.requires_grad_(False)
    assert weights_hash(model) == weights_hash(make())


def by_a_fused_optimizer(model):
    model.weight.grad = torch.ones_like(model.weight)
    torch.optim.AdamW([model.weight], lr=0.1, fused=True).step()


def by_a_write_to_the_data(model):
    model.weight.data += 1


@pytest.mark.parametrize("change", [by_a_fused_optimizer, by_a_write_to_the_data])
def test_a_change_that_torch_does_not_count_is_seen(change):
    model = make()
    before, counted = weights_hash(model), model.weight._version
    change(model)
    assert model.weight._version == counted
    assert weights_hash(model) == weights_hash(make(weight=model.weight.data.clone())) != before


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("dtype", [torch.int8, torch.bfloat16, torch.float32, torch.float64])
def test_the_change_of_any_value_is_seen_wherever_a_tensor_begins(start, dtype):
    model = make(flags=torch.ones(16, dtype=dtype)[start:])
    seen = {weights_hash(model)}
    for place in range(16 - start):
        model.flags.data[place] += place + 1
        seen.add(weights_hash(model))
    assert len(seen) == 17 - start
