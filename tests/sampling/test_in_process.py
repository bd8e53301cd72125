"""What the sampler draws: the same whatever is drawn beside it, and with the very log-probabilities of the model."""

import logging

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from alignlab.errors import ConfigError, RunError
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.sampling import loop
from alignlab.sampling.contrastive import similarity, worth
from alignlab.sampling.in_process import InProcess
from alignlab.sampling.rollout import Prompt
from alignlab.sampling.scored import batch_of, token_logps
from alignlab.sampling.settings import Sampling
from tests.policies.models import FAMILIES, build
from tests.sampling.small import STOP, ids_of, logits_alone, model, prompts
from tests.vectors import more

GENERATED = ("bloom", "lfm2")
"""Families whose cache cannot be shared by rows of several lengths."""


def test_all_of_256_responses_are_the_same_at_any_batch_size(monkeypatch):
    monkeypatch.setattr(loop, "PREFILL_TOKENS", 40)
    asked, how, small = prompts(64), Sampling(max_new_tokens=5, seed=3), model()
    state = torch.random.get_rng_state()
    one, four, many = (InProcess(small, [STOP], rows=rows).draw(asked, 4, how) for rows in (1, 4, 64))
    assert torch.equal(state, torch.random.get_rng_state())
    assert len(ids_of(one)) == 256
    assert ids_of(one) == ids_of(four) == ids_of(many)
    assert [rollout.id for rollout in many] == [prompt.id for prompt in asked]
    assert len({tuple(ids) for ids in ids_of(one)}) > 200
    for a, b in zip(one, many, strict=True):
        assert all(np.allclose(x, y, atol=1e-5) for x, y in zip(a.token_logps, b.token_logps, strict=True))
    assert ids_of(one) != ids_of(
        InProcess(model(), [STOP]).draw(asked, 4, Sampling(max_new_tokens=5, seed=4))
    )


def test_a_response_does_not_depend_on_the_other_prompts_and_samples():
    asked, how = prompts(6), Sampling(max_new_tokens=12)
    sampler = InProcess(model(), [STOP])
    all_of_them = sampler.draw(asked, 3, how)
    (alone,) = sampler.draw(asked[4:5], 2, how)
    assert ids_of([alone]) == ids_of(all_of_them[4:5])[:2]


def test_responses_end_with_a_stop_token_or_are_cut():
    for rollout in InProcess(model(), [STOP]).draw(prompts(20), 3, Sampling(max_new_tokens=10, stop=(5, 7))):
        for ids, finished in zip(rollout.responses, rollout.finished, strict=True):
            assert not {5, 7} & set(ids[:-1].tolist())
            assert finished == (ids[-1] in (5, 7))
            assert finished or len(ids) == 10


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.3])
def test_log_probabilities_are_those_of_the_scorer(temperature):
    drawn = InProcess(model(), [STOP], rows=7).draw(prompts(9), 3, Sampling(temperature, max_new_tokens=14))
    for rollout in drawn:
        for ids, logps in zip(rollout.responses, rollout.token_logps, strict=True):
            expected = (logits_alone(model(), rollout.prompt_ids, ids) / temperature).log_softmax(-1)
            assert logps == pytest.approx(
                expected.gather(1, torch.from_numpy(ids)[:, None])[:, 0].numpy(), abs=1e-5
            )
    policy = CausalLM(model())
    policy.temperature = temperature
    with torch.no_grad():
        scores = policy(batch_of(drawn), reference=policy)
    flat = np.concatenate([logps for rollout in drawn for logps in rollout.token_logps])
    assert flat == pytest.approx(scores.token_logps.numpy(), abs=1e-5)
    assert torch.equal(scores.more["ref_logps"], scores.logps)
    again = token_logps(model(), drawn, temperature=temperature)
    assert np.concatenate([logps for of_prompt in again for logps in of_prompt]) == pytest.approx(
        flat, abs=1e-5
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_draws_from_its_own_distribution(family, caplog):
    caplog.set_level(logging.INFO)
    asked, how = prompts(5), Sampling(max_new_tokens=8)
    sampler = InProcess(model(family), [STOP], rows=6)
    drawn = sampler.draw(asked, 2, how)
    assert (sampler.reader is None) == (family in GENERATED)
    assert ("generates through transformers" in caplog.text) == (family in GENERATED)
    for rollout in drawn:
        for ids, logps in zip(rollout.responses, rollout.token_logps, strict=True):
            expected = logits_alone(model(family), rollout.prompt_ids, ids).log_softmax(-1)
            assert logps == pytest.approx(
                expected.gather(1, torch.from_numpy(ids)[:, None])[:, 0].numpy(), abs=1e-4
            )


def test_greedy_and_its_limits_are_the_greedy_of_transformers():
    asked = prompts(8)
    sampler = InProcess(model(), [STOP], rows=5)
    ways = [
        Sampling(decoder="greedy", max_new_tokens=12),
        Sampling(decoder="contrastive", alpha=0.0, max_new_tokens=12),
        Sampling(decoder="contrastive", candidates=1, max_new_tokens=12),
        Sampling(temperature=1e-4, max_new_tokens=12),
        Sampling(top_k=1, max_new_tokens=12),
    ]
    plan = GenerationConfig(do_sample=False, max_new_tokens=12, eos_token_id=STOP, pad_token_id=0)
    expected = []
    for prompt in asked:
        ids = torch.tensor([prompt.ids])
        out = model().generate(ids, attention_mask=torch.ones_like(ids), generation_config=plan)
        expected.append(out[0, ids.shape[1] :].tolist())
    for how in ways:
        assert ids_of(sampler.draw(asked, 1, how)) == expected


def test_contrastive_search_is_its_formula_step_by_step():
    how = Sampling(decoder="contrastive", alpha=0.6, candidates=4, max_new_tokens=10)
    asked = prompts(6)
    drawn = InProcess(model(), [STOP], rows=4).draw(asked, 1, how)
    assert ids_of(drawn) == [searched(prompt.ids, how) for prompt in asked]
    assert ids_of(drawn) != ids_of(
        InProcess(model(), [STOP]).draw(asked, 1, Sampling(decoder="greedy", max_new_tokens=10))
    )
    for rollout in drawn:
        expected = logits_alone(model(), rollout.prompt_ids, rollout.responses[0]).log_softmax(-1)
        chosen = expected.gather(1, torch.from_numpy(rollout.responses[0])[:, None])[:, 0]
        assert rollout.token_logps[0] == pytest.approx(chosen.numpy(), abs=1e-5)


def searched(prompt_ids, how):
    """Contrastive search without a cache, a candidate at a time."""
    ids = list(prompt_ids)
    while len(ids) < len(prompt_ids) + how.max_new_tokens and (
        len(ids) == len(prompt_ids) or ids[-1] != STOP
    ):
        best = None
        probs, tokens = run(ids)[0][-1].softmax(-1).topk(how.candidates)
        for p, token in zip(probs.tolist(), tokens.tolist(), strict=True):
            states = torch.nn.functional.normalize(run([*ids, token])[1], dim=-1)
            score = (1 - how.alpha) * p - how.alpha * (states[:-1] @ states[-1]).max().item()
            best = max(best or (score, token), (score, token), key=lambda pair: pair[0])
        ids.append(best[1])
    return ids[len(prompt_ids) :]


def run(ids):
    with torch.no_grad():
        out = model()(input_ids=torch.tensor([ids]), output_hidden_states=True, use_cache=False)
    return out.logits[0], out.hidden_states[-1][0]


def test_contrastive_search_by_its_vector():
    case = more()["F2_contrastive_search"]
    inputs, outputs = case["inputs"], case["outputs"]
    before, candidates = (
        torch.nn.functional.normalize(torch.tensor([inputs[name]], dtype=torch.float64), dim=-1)
        for name in ("context_h", "cand_h")
    )
    penalty = similarity(before, candidates, torch.ones(1, 2, dtype=torch.bool))
    probs = torch.tensor([inputs["topk_prob"]], dtype=torch.float64)
    scores = worth(probs, penalty, inputs["alpha"])
    assert penalty[0].tolist() == pytest.approx(outputs["max_cos"], abs=1e-12)
    assert scores[0].tolist() == pytest.approx(outputs["score"], abs=1e-12)
    assert int(scores.argmax()) == outputs["pick"]
    assert int(worth(probs, penalty, 0.0).argmax()) == outputs["greedy_pick_alpha0"]


def test_the_context_of_the_model_bounds_prompts_and_responses():
    short = build("gpt2").float().eval()  # learned positions, 64 of them
    prompt = Prompt("long", [5] * 60)
    (rollout,) = InProcess(short, []).draw([prompt], 2, Sampling(max_new_tokens=20))
    assert [len(ids) for ids in rollout.responses] == [4, 4]
    assert rollout.finished == (False, False)
    with pytest.raises(ConfigError, match="prompt longer has 64 tokens, and the model's context is 64"):
        InProcess(short, []).draw([Prompt("longer", [5] * 64)], 1, Sampling())
    with pytest.raises(ConfigError, match="prompt empty: it has no tokens"):
        InProcess(short, []).draw([Prompt("empty", [])], 1, Sampling())


def test_weights_over_ranks_and_broken_ones_are_refused():
    spread = build("llama").float()
    next(spread.parameters()).ds_id = 0
    with pytest.raises(ConfigError, match="spread over ranks"):
        InProcess(spread, [STOP])
    broken = build("llama").float()
    broken.lm_head.weight.data[3] = torch.nan
    with pytest.raises(RunError, match="prompt row-0: the model gives no probabilities"):
        InProcess(broken, [STOP]).draw(prompts(1), 1, Sampling(max_new_tokens=2))


def test_contrastive_search_names_a_cache_that_it_cannot_use():
    with pytest.raises(ConfigError, match="decoder=contrastive tries tokens out in a cache"):
        InProcess(model("lfm2"), [STOP]).draw(prompts(1), 1, Sampling(decoder="contrastive"))
