"""Scoring under data parallelism and under sharding gives the gradients of one process (two processes, gloo)."""

import pytest
import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel

from alignlab.data.batching.batches import collate
from alignlab.policies.causal_lm import head
from alignlab.policies.causal_lm.decoder import layers_of
from alignlab.policies.causal_lm.model import CausalLM
from tests.data.ragged import draw, token_rows
from tests.policies.models import VOCABULARY, build, gradients
from tests.training.strategies.group import on_ranks

WANTED = {"kl_reverse", "entropy"}
ROWS = draw((2, 3, 1, 4), vocabulary=VOCABULARY, seed=6)


def loss(model, reference, rows):
    scores = model(collate(token_rows(rows), range(len(rows))), reference=reference, wanted=WANTED)
    return (
        scores.logps + scores.more["kl_reverse"] + 2 * scores.more["entropy"] - scores.more["ref_logps"]
    ).sum()


def plain(rows):
    model, reference = CausalLM(build("llama")), CausalLM(build("llama", seed=1))
    total = loss(model, reference, rows)
    total.backward()
    return total.item(), gradients(model)


def sharded(model):
    for layer in layers_of(model.model):
        fully_shard(layer)
    fully_shard(model)
    register_fsdp_forward_method(model, "encode")  # what a policy calls of its reference
    return model


def work(kind, checkpointing):
    rank = dist.get_rank()
    head.CHUNK_ELEMENTS, head.KEPT_ELEMENTS = dict.fromkeys(("cpu", "cuda"), 4 * VOCABULARY), 0
    expected_loss, expected = plain(ROWS)
    model, reference = CausalLM(build("llama")), CausalLM(build("llama", seed=1)).requires_grad_(False)
    if checkpointing:
        model.model.activation_checkpointing_enable()
    if kind == "ddp":
        model = DistributedDataParallel(model)
    else:
        model, reference = sharded(model), sharded(reference)
    part = loss(model, reference, ROWS[rank::2])
    part.backward()
    total = part.detach().clone()
    dist.all_reduce(total)
    assert total.item() == pytest.approx(expected_loss, rel=1e-9)
    for name, parameter in model.named_parameters():
        gradient = parameter.grad.full_tensor() if kind == "fsdp" else parameter.grad
        wanted = expected[name.removeprefix("module.")] / 2
        torch.testing.assert_close(gradient, wanted, atol=1e-6, rtol=1e-6)


def all_of(cases):
    for case in cases:
        work(*case)
    return cases


@pytest.mark.slow
def test_gradients_are_those_of_one_process():
    cases = [(kind, checkpointing) for kind in ("ddp", "fsdp") for checkpointing in (False, True)]
    assert on_ranks(2, all_of, cases) == [cases, cases]
