"""Every form of a batch gives the log-probabilities and gradients of one response at a time."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from alignlab.data.batching.batches import collate
from alignlab.policies.causal_lm import head
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.causal_lm.packing.tiny_copy import Exact
from tests.data.ragged import draw, token_rows
from tests.policies.models import (
    FAMILIES,
    FORMS,
    VOCABULARY,
    assert_same,
    build,
    gradients,
    gradients_of,
    naive_logps,
    policy,
    token_logps,
)
from tests.policies.packs import pack

SIZES = (2, 4, 1, 8, 3, 5, 6, 7)
ROWS = [([5], [[7]]), ([3, 9], [[4], [8, 2, 11]]), *draw(SIZES, vocabulary=VOCABULARY, longest=9)]


def scored(model, rows):
    batch = collate(token_rows(rows), range(len(rows)))
    with Exact():
        return batch, model(batch)


def weighted(values):
    """A sum with a different weight on every response, so that no two gradients can be swapped."""
    return sum((1 + 0.3 * i) * value for i, value in enumerate(values))


def check(model, rows, batch):
    """Log-probabilities and gradients of a batch, against those of the rows one by one."""
    expected = torch.stack([value for group in naive_logps(model.model, rows) for value in group])
    wanted = gradients_of(model, lambda: weighted(expected))
    with Exact():
        found = model(batch).logps[batch.where]
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    assert_same(gradients_of(model, lambda: weighted(found)), wanted)


@pytest.mark.parametrize("packing", ["auto", "off"])
@pytest.mark.parametrize("family", FAMILIES)
def test_log_probabilities_and_gradients_are_the_plain_ones(family, packing):
    model = policy(family, packing=packing)
    assert model.packed == (packing == "auto" and bool(FORMS[family]))
    check(model, ROWS, collate(token_rows(ROWS), range(len(ROWS))))


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_checkpointing_changes_nothing(family):
    model = CausalLM(build(family)).train()
    batch = collate(token_rows(ROWS), range(len(ROWS)))
    with Exact():
        before = model(batch).logps
        wanted = gradients_of(model, lambda: weighted(before[batch.where]))
        model.model.activation_checkpointing_enable()
        first, second = model(batch).logps, model(collate(token_rows(ROWS[:2]), [0, 1])).logps
    torch.testing.assert_close(first, before, atol=1e-12, rtol=1e-12)
    assert_same(gradients_of(model, lambda: weighted(first[batch.where]) + 0 * second.sum()), wanted)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_responses_of_a_list_may_continue_different_prompts(family):
    ids = [ids for _, group in draw((6, 6, 6), vocabulary=VOCABULARY, seed=9) for ids in group]
    a, b, c, d, *responses = ids
    lists = [
        [(a, responses[0]), (b, responses[1])],
        [(c, responses[2])],
        [(a, responses[3]), (d, responses[4]), (a, responses[5]), (d, responses[6])],
    ]
    batch = pack(lists)
    assert batch.prompt.max() == 4
    assert not torch.equal(batch.slot[2], batch.slot[2].sort().values)
    check(policy(family), [(prompt, [response]) for group in lists for prompt, response in group], batch)


@pytest.mark.parametrize("call", [0, 2**8, 2**30])
@pytest.mark.parametrize("family", ["llama", "mistral sliding", "gemma2", "gpt_neox"])
def test_how_attention_is_cut_up_changes_nothing(monkeypatch, family, call):
    monkeypatch.setattr(
        "alignlab.policies.causal_lm.packing.tiles.CALL", dict.fromkeys(("cpu", "cuda"), call)
    )
    check(policy(family), ROWS, collate(token_rows(ROWS), range(len(ROWS))))


def test_lengths_and_token_values_belong_to_their_responses():
    batch, scores = scored(policy(), ROWS)
    by_row = scores.token_logps.split(batch.row_lengths.tolist())
    dense = scores.signals(batch)
    assert "token_logps" not in dense
    for b, (prompt, responses) in enumerate(ROWS):
        assert scores.lengths[b, : len(responses)].tolist() == [len(r) for r in responses]
        assert not scores.lengths[b, len(responses) :].any()
        assert not scores.logps[b, len(responses) :].any()
        for k, response in enumerate(responses):
            expected = token_logps(policy().model, prompt, response)
            torch.testing.assert_close(by_row[batch.slot[b, k]], expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt_neox", "phi"])
@pytest.mark.parametrize("tokens", [1, 3, 1000])
def test_the_size_of_a_chunk_changes_nothing(monkeypatch, tokens, family):
    model = policy(family)
    batch, scores = scored(model, ROWS)
    before = gradients_of(model, lambda: weighted(scores.logps[batch.where]))
    monkeypatch.setattr(head, "CHUNK_ELEMENTS", dict.fromkeys(("cpu", "cuda"), tokens * VOCABULARY))
    monkeypatch.setattr(head, "KEPT_ELEMENTS", 0)
    _, again = scored(model, ROWS)
    torch.testing.assert_close(again.logps, scores.logps, atol=1e-12, rtol=1e-12)
    assert_same(gradients_of(model, lambda: weighted(again.logps[batch.where])), before, tolerance=1e-10)


class Largest(TorchDispatchMode):
    """Remembers the most elements that any operation's result had."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        for made in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(made, torch.Tensor):
                self.elements = max(self.elements, made.numel())
        return result


@pytest.mark.parametrize(
    "wanted", [(), ("kl_forward", "kl_reverse", "entropy", "log_collisions", "prompt_logps")]
)
def test_logits_of_all_tokens_never_exist(monkeypatch, wanted):
    vocabulary, chunk = 2003, 2
    monkeypatch.setattr(head, "CHUNK_ELEMENTS", dict.fromkeys(("cpu", "cuda"), chunk * vocabulary))
    monkeypatch.setattr(head, "KEPT_ELEMENTS", 0)
    model, rows = policy(vocabulary=vocabulary), draw((4, 4, 4, 4), vocabulary=vocabulary, longest=8)
    batch = collate(token_rows(rows), range(len(rows)))
    weights = max(p.numel() for p in model.parameters())
    assert int(batch.is_response.sum()) * vocabulary > 2 * weights  # or the check could not see it
    with Largest() as seen:
        scores = model(batch, reference=policy(seed=1, vocabulary=vocabulary), wanted=wanted)
        sum(value.sum() for value in scores.signals(batch).values() if value.requires_grad).backward()
    gradients(model)
    assert chunk * vocabulary <= seen.elements <= weights


def test_scores_do_not_change_between_training_and_evaluation():
    for family in FAMILIES:
        model = policy(family)
        torch.manual_seed(3)
        with torch.no_grad():
            first, second = scored(model, ROWS)[1].logps, scored(model, ROWS)[1].logps
            model.eval()
            third = scored(model, ROWS)[1].logps
            model.train()
        assert torch.equal(first, second), family
        assert torch.equal(first, third), family


@pytest.mark.parametrize("family", FAMILIES)
def test_a_list_scores_the_same_alone_and_in_company(family):
    model = policy(family)
    with torch.no_grad():
        together = scored(model, ROWS)[1].logps
        for b, row in enumerate(ROWS):
            alone = scored(model, [row])[1].logps[0]
            torch.testing.assert_close(alone, together[b, : len(alone)], atol=1e-12, rtol=1e-12)
