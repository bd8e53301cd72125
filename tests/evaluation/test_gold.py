"""Gold evaluation: the sampling, the KL estimate, and the intervals."""

import copy
import math

import pytest
import torch

from alignlab.evaluation.gold import GoldReport, Sample, evaluate, summarize, win_rate
from alignlab.lab import tiny, world
from alignlab.lab.reward import gold as scored
from alignlab.lab.reward import reward
from alignlab.sampling.in_process import InProcess


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    return tiny.load(cache_dir=str(folder), steps=20, batch_size=16, hidden_size=16, layers=1, heads=2)


@pytest.fixture(scope="module")
def prompts():
    return [row.prompt for row in world.examples(split="validation", size=24, responses=2)]


def run(lab, prompts, reference=None, **knobs):
    model, tokenizer = lab
    return evaluate(model, reference, tokenizer, prompts, **{"reward": reward, **knobs})


def nudged(model, scale=0.05):
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return other


def test_equal_weights_have_no_divergence(lab, prompts):
    report = run(lab, prompts, copy.deepcopy(lab[0]))
    assert abs(report.metrics["kl"]) < 1e-4
    assert max(abs(sample.kl) for sample in report.samples) < 1e-4
    own = run(lab, prompts, None)
    assert own.metrics["kl"] == own.metrics["kl_ci"] == 0.0
    assert [s.response for s in own.samples] == [s.response for s in report.samples]


def test_kl_is_the_log_ratio_of_the_samples(lab, prompts, monkeypatch):
    model, tokenizer = lab
    reference = nudged(model)
    drawn, draw = [], InProcess.draw
    monkeypatch.setattr(InProcess, "draw", lambda *args: drawn.extend(draw(*args)) or drawn)
    report = run(lab, prompts, reference, batch_size=5, max_new_tokens=12)
    for prompt, rollout, sample in zip(prompts, drawn, report.samples, strict=True):
        ids = rollout.responses[0].tolist()
        asked = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        before = tokenizer(asked, add_special_tokens=False)["input_ids"]
        assert before == rollout.prompt_ids.tolist()
        both = before + ids[: sample.length]
        ratio = sum_logps(model, both, len(before)) - sum_logps(reference, both, len(before))
        assert sample.kl == pytest.approx(ratio, abs=1e-3)
        assert tokenizer.eos_token_id not in ids[: sample.length - 1]
    assert max(abs(sample.kl) for sample in report.samples) > 0.01
    assert report.metrics["kl"] == pytest.approx(sum(s.kl for s in report.samples) / len(prompts), abs=1e-9)


def sum_logps(model, ids, start):
    with torch.no_grad():
        logps = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(logps[i - 1, ids[i]].item() for i in range(start, len(ids)))


def test_kl_estimate_agrees_with_the_exact_one_of_a_single_token(lab, prompts):
    model, tokenizer = lab
    reference = nudged(model, 0.2)
    asked = tokenizer.apply_chat_template(prompts[0], tokenize=False, add_generation_prompt=True)
    ids = tokenizer(asked, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        ours, theirs = (m(ids).logits[0, -1].log_softmax(-1) for m in (model, reference))
    exact = (ours.exp() * (ours - theirs)).sum().item()
    report = run(lab, prompts[:1], reference, samples_per_prompt=2000, max_new_tokens=1, batch_size=1000)
    values = torch.tensor([s.kl for s in report.samples])
    assert exact > 0.01
    assert abs(values.mean().item() - exact) < 4 * values.std().item() / math.sqrt(2000)


def test_samples_are_scored_one_by_one_in_the_order_of_the_prompts(lab, prompts):
    seen = []

    def spy(prompt, response):
        seen.append((prompt, response))
        return float(len(seen))

    report = run(lab, prompts, reward=spy, samples_per_prompt=2, batch_size=7)
    assert [s.reward for s in report.samples] == [float(i + 1) for i in range(48)]
    assert [prompt for prompt, _ in seen] == [p[0]["content"] for p in prompts for _ in range(2)]
    assert not any(mark in response for _, response in seen for mark in ("</s>", "<pad>", "<|"))


def test_same_seed_same_samples_and_the_random_state_is_untouched(lab, prompts):
    state = torch.random.get_rng_state()
    first, second, other = (run(lab, prompts, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(state, torch.random.get_rng_state())
    assert first == second
    assert [s.response for s in first.samples] != [s.response for s in other.samples]


def test_models_keep_their_mode(lab, prompts):
    model, tokenizer = lab
    reference = nudged(model)
    model.train()
    reference.eval()
    evaluate(model, reference, tokenizer, prompts[:2], reward=reward, max_new_tokens=2)
    assert model.training
    assert not reference.training
    model.eval()


def test_length_is_bounded_and_counts_the_end(lab, prompts):
    report = run(lab, prompts, max_new_tokens=5)
    assert all(1 <= sample.length <= 5 for sample in report.samples)
    assert report.metrics["length"] <= 5


def test_low_temperature_samples_agree(lab, prompts):
    cold = run(lab, prompts[:1], samples_per_prompt=8, temperature=1e-4)
    assert cold.metrics["distinct"] == 1 / 8


def test_summary_by_hand():
    samples = [Sample("p", text, reward, kl, 4) for text, reward, kl in ROWS]
    metrics = summarize(samples)
    # rewards 1 2 3 6: mean 3, sum of squares 14, standard deviation sqrt(14 / 3)
    assert metrics["reward"] == 3.0
    assert metrics["reward_ci"] == pytest.approx(1.959964 * math.sqrt(14 / 3) / 2)
    assert metrics["kl"] == 1.0
    assert metrics["kl_ci"] == 0.0
    assert metrics["length"] == 4.0
    assert metrics["distinct"] == 0.75


def test_aspects_are_measured_beside_the_reward(lab, prompts):
    report = run(lab, prompts, reward=scored)
    plain = run(lab, prompts)
    assert set(report.metrics) - set(plain.metrics) == {
        f"{name}{end}" for name in ("quality", "harm", "harmful") for end in ("", "_ci")
    }
    assert report.metrics["length"] == plain.metrics["length"]
    for sample in report.samples:
        found = scored(sample.prompt, sample.response)
        assert sample.reward == found.reward
        assert sample.aspects == {"quality": found.quality, "harm": found.harm, "harmful": found.harmful}
    rude = sum(s.aspects["harm"] > 0 for s in report.samples) / len(prompts)
    assert report.metrics["harmful"] == pytest.approx(rude)


def test_distinct_pairs_of_words_by_hand():
    texts = ["a b c", "a b d", "a", ""]  # ab bc ab bd
    assert summarize([Sample("p", text, 0.0, 0.0, 4) for text in texts])["distinct_2"] == 3 / 4


def test_samples_of_one_prompt_are_one_draw_of_the_interval():
    samples = [Sample("p", text, reward, kl, 4) for text, reward, kl in ROWS]
    # means a prompt: 1.5 and 4.5, standard deviation 3 / sqrt(2)
    assert summarize(samples, 2)["reward_ci"] == pytest.approx(1.959964 * 3 / 2)
    assert math.isnan(summarize(samples, 4)["reward_ci"])


ROWS = [("a", 1.0, 1.0), ("b", 2.0, 1.0), ("a", 3.0, 1.0), ("c", 6.0, 1.0)]


def test_wins_count_ties_one_half_and_prompts_once():
    def report(*rewards):
        samples = [Sample("p", "r", reward, 0.0, 1) for reward in rewards]
        return GoldReport({}, samples, samples_per_prompt=2)

    base = report(1.0, 1.0, 0.0, 0.0)
    found = win_rate(report(2.0, 1.0, 0.0, -1.0), base)
    assert found["win_rate"] == (0.75 + 0.25) / 2
    assert found["win_rate_ci"] == pytest.approx(1.959964 * 0.5 / 2, rel=1e-6)
    assert win_rate(base, base) == {"win_rate": 0.5, "win_rate_ci": 0.0}
