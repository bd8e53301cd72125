"""The reference's log-probabilities: scored once, read ever after, never with a hole."""

import multiprocessing
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from alignlab.data.token_rows import Lists
from alignlab.errors import RunError
from alignlab.policies import reference
from alignlab.policies.causal_lm import CausalLM
from alignlab.policies.reference import cache_key, cached_logps, score
from tests.data.ragged import draw, token_rows
from tests.policies.models import VOCABULARY, naive_logps, policy

ROWS = draw((2, 3, 1, 4, 2), vocabulary=VOCABULARY, seed=2)


def ask(cache_dir, model=None, rows=None, budget=40):
    return cached_logps(model or policy(), rows or token_rows(ROWS), cache_dir=cache_dir, budget=budget)


def never(*_, **__):
    raise AssertionError("the cache should have been read")


def cache_file(cache_dir):
    (file,) = (cache_dir / "reference").glob("*.npy")
    return file


@pytest.mark.parametrize("budget", [1, 40, 10_000])
@pytest.mark.parametrize("group", [1, 2, 256])
def test_every_response_gets_its_own_log_probability(monkeypatch, budget, group):
    monkeypatch.setattr(reference, "CHUNK_ROWS", group)
    seen = []
    found = score(policy(), token_rows(ROWS), budget=budget, track=seen.append)
    expected = [value.item() for values in naive_logps(policy().model, ROWS) for value in values]
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert sum(seen) == len(ROWS)


def test_the_second_call_reads_the_cache(tmp_path, monkeypatch):
    first = ask(tmp_path)
    monkeypatch.setattr(reference, "score", never)
    np.testing.assert_array_equal(ask(tmp_path), first)
    assert [file.suffix for file in sorted((tmp_path / "reference").iterdir())] == [".lock", ".npy"]


def test_each_response_is_scored_exactly_once(tmp_path):
    seen = Counter()

    def counting(batch, **options):
        seen.update(batch.ids)
        return CausalLM.forward(model, batch, **options)

    model = policy(seed=7)
    model.forward = counting
    try:
        ask(tmp_path, model)
    finally:
        del model.forward
    assert seen == {f"row{i}": 1 for i in range(len(ROWS))}


def moved(rows, prompts=None):
    """The same tokens in the same order, one of them given to the response instead of the prompt."""
    (prompt, [first, *others]), *more = rows
    return [(prompt[:-1], [[prompt[-1], *first], *others]), *more]


def test_the_key_covers_tokens_and_where_they_stand():
    rows = draw((1, 2), vocabulary=VOCABULARY, seed=8)
    other = [(rows[0][0], [[*rows[0][1][0][:-1], 36]]), rows[1]]
    split = [(rows[0][0], rows[0][1] + rows[1][1][:1]), (rows[1][0], rows[1][1][1:])]
    keys = {cache_key(policy(), token_rows(r)) for r in (rows, other, moved(rows), split, rows[:1])}
    assert len(keys) == 5
    assert cache_key(policy(), token_rows(rows)) in keys


def test_the_key_covers_weights_and_config_but_not_where_they_lie(monkeypatch):
    rows, model = token_rows(ROWS), policy(seed=5)
    before = cache_key(model, rows)
    monkeypatch.setattr(model.model.config, "_name_or_path", "/somewhere/else")
    assert cache_key(model, rows) == before
    monkeypatch.setattr(model.model.config, "rms_norm_eps", 0.5)
    assert cache_key(model, rows) != before
    monkeypatch.undo()
    with torch.no_grad():
        model.model.lm_head.weight[3, 2] += 1e-9
    assert cache_key(model, rows) != before


def test_labels_and_rewards_do_not_change_the_key():
    rows = token_rows(ROWS)
    other = replace(rows, labels=Lists(rows.labels.values + 1, rows.labels.offsets))
    keys = {cache_key(policy(), r) for r in (rows, other, token_rows(ROWS, rewards=True))}
    assert len(keys) == 1


def shorter(values):
    return values[:-1]


def with_hole(values):
    return np.where(np.arange(len(values)) == 3, np.nan, values)


@pytest.mark.parametrize("damage", [shorter, with_hole, lambda v: v[None], lambda v: v.astype(str)])
def test_a_cache_that_does_not_fit_is_an_error(tmp_path, damage):
    logps = ask(tmp_path)
    np.save(cache_file(tmp_path), damage(logps))
    with pytest.raises(RunError, match=f"{cache_file(tmp_path)}.*delete that file"):
        ask(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00v\x00", b"no array at all", b"cut"])
def test_a_damaged_cache_is_an_error_that_names_the_file(tmp_path, content):
    ask(tmp_path)
    file = cache_file(tmp_path)
    file.write_bytes(file.read_bytes()[:-9] if content == b"cut" else content)
    with pytest.raises(RunError, match=f"{file}.*delete that file"):
        ask(tmp_path)


def test_an_interrupted_write_leaves_no_file(tmp_path, monkeypatch):
    def full_disk(file, values):
        file.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(reference.np, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        ask(tmp_path)
    assert not list(tmp_path.rglob("*.npy"))
    monkeypatch.undo()
    assert np.isfinite(ask(tmp_path)).all()


@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_a_reference_that_gives_no_number_is_an_error_and_leaves_no_file(tmp_path, monkeypatch, value):
    def broken(self, batch):
        return replace(scored(self, batch), logps=torch.full_like(batch.labels, value))

    scored = CausalLM.forward
    monkeypatch.setattr(CausalLM, "forward", broken)
    with pytest.raises(RunError, match="no finite log-probability for 12 of 12 responses"):
        ask(tmp_path)
    assert not list(tmp_path.rglob("*.npy"))


def test_a_row_that_comes_twice_is_an_error(monkeypatch):
    monkeypatch.setattr(reference, "within_budget", lambda rows, indices, budget: [[0, 1], [1]])
    with pytest.raises(RunError, match="row1 was scored twice"):
        score(policy(), token_rows(ROWS), budget=40)


def _pass(cache_dir, results):
    passes = []
    scoring = reference.score
    reference.score = lambda *args, **options: passes.append(1) or scoring(*args, **options)
    results.put((len(passes), ask(cache_dir).tolist(), len(passes)))


@pytest.mark.slow
def test_two_processes_make_one_pass(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    jobs = [context.Process(target=_pass, args=(tmp_path, results)) for _ in range(2)]
    for job in jobs:
        job.start()
    (_, first, one), (_, second, other) = results.get(timeout=120), results.get(timeout=120)
    for job in jobs:
        job.join(timeout=60)
    assert first == second
    assert one + other == 1
