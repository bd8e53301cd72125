"""The reference's scores: computed once, read ever after, never with a hole."""

import multiprocessing
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from alignlab.data.batching.batches import collate
from alignlab.data.encoding.token_rows import Lists
from alignlab.errors import ConfigError, RunError
from alignlab.passes import reference
from alignlab.passes.reference import cache_key, cached_signals, score
from alignlab.policies.causal_lm.model import CausalLM
from tests.data.ragged import draw, token_rows
from tests.policies.models import VOCABULARY, naive_logps, policy

ROWS = draw((2, 3, 1, 4, 2), vocabulary=VOCABULARY, seed=2)
OWN = ("ref_logps", "ref_entropy", "ref_prompt_logps")
LOGPS = np.dtype([("ref_logps", np.float64)])


def ask(cache_dir, model=None, rows=None, names=("ref_logps",), **options):
    rows = rows or token_rows(ROWS)
    return cached_signals(model or policy(), rows, names, cache_dir=cache_dir, budget=40, **options)


def never(*_, **__):
    raise AssertionError("the cache should have been read")


def cache_file(cache_dir):
    (file,) = (cache_dir / "reference").glob("*/result.npy")
    return file


@pytest.fixture
def scored_ids(monkeypatch):
    """How often each row was scored."""
    seen, forward = Counter(), CausalLM.forward

    def counting(self, batch, **options):
        seen.update(batch.ids)
        return forward(self, batch, **options)

    monkeypatch.setattr(CausalLM, "forward", counting)
    return seen


@pytest.mark.parametrize("packing", ["auto", "off"])
@pytest.mark.parametrize("budget", [1, 40, 10_000])
def test_every_response_gets_its_own_log_probability(budget, packing):
    seen = []
    found = score(
        policy(packing=packing), token_rows(ROWS), range(5), LOGPS, budget=budget, track=seen.append
    )
    expected = [value.item() for values in naive_logps(policy().model, ROWS) for value in values]
    np.testing.assert_allclose(found["ref_logps"], expected, rtol=1e-6)
    assert sum(seen) == len(ROWS)


@pytest.mark.parametrize("group", [1, 2, 256])
def test_all_signals_are_those_of_a_live_reference(tmp_path, monkeypatch, group):
    monkeypatch.setattr(reference, "CHUNK_ROWS", group)
    rows, seen = token_rows(ROWS), []
    found = ask(tmp_path, names=OWN, track=seen.append)
    assert found.keys() == set(OWN)
    assert sum(seen) == len(ROWS)
    batch = collate(rows, range(len(ROWS)))
    live = policy(seed=1)(batch, reference=policy(), wanted=set(OWN))
    for name, values in found.items():
        np.testing.assert_allclose(
            values, live.more[name][batch.where].detach().numpy(), rtol=1e-5, atol=1e-7
        )


def test_a_signal_that_cannot_be_kept_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="ref_layers"):
        ask(tmp_path, names=["ref_layers"])


def test_the_second_call_reads_the_cache(tmp_path, monkeypatch):
    first = ask(tmp_path, names=OWN)
    monkeypatch.setattr(reference, "score", never)
    second = ask(tmp_path, names=[*OWN][::-1])
    for name in OWN:
        np.testing.assert_array_equal(second[name], first[name])
    left = {file.name for file in (tmp_path / "reference").iterdir()}
    assert left == {cache_file(tmp_path).parent.name, f"{cache_file(tmp_path).parent.name}.lock"}


@pytest.mark.parametrize("group", [1, 2, 256])
def test_each_response_is_scored_exactly_once(tmp_path, monkeypatch, scored_ids, group):
    monkeypatch.setattr(reference, "CHUNK_ROWS", group)
    ask(tmp_path)
    assert scored_ids == {f"row{i}": 1 for i in range(len(ROWS))}


def killed_after(count):
    """A publication that stops the process after so many files."""
    publish, done = reference._publish, []

    def publishing(file, found):
        if len(done) == count:
            raise KeyboardInterrupt
        done.append(file)
        publish(file, found)

    return publishing


@pytest.mark.parametrize("count", range(5))
def test_a_pass_that_was_killed_goes_on_where_it_stopped(tmp_path, monkeypatch, scored_ids, count):
    whole = ask(tmp_path / "whole")
    scored_ids.clear()
    monkeypatch.setattr(reference, "CHUNK_ROWS", 1)
    with monkeypatch.context() as patch:
        patch.setattr(reference, "_publish", killed_after(count))
        with pytest.raises(KeyboardInterrupt):
            ask(tmp_path)
    assert sum(scored_ids.values()) == count + 1
    scored_ids.clear()
    np.testing.assert_allclose(ask(tmp_path)["ref_logps"], whole["ref_logps"], rtol=1e-6)
    assert scored_ids == {f"row{i}": 1 for i in range(count, len(ROWS))}
    assert not list(tmp_path.rglob("*.parts"))


def test_a_part_that_is_damaged_is_scored_again(tmp_path, monkeypatch, scored_ids):
    monkeypatch.setattr(reference, "CHUNK_ROWS", 2)
    whole = ask(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(reference, "_publish", killed_after(2))
        with pytest.raises(KeyboardInterrupt):
            ask(tmp_path)
    (first, second) = sorted(tmp_path.rglob("*.parts/*.npz"))
    first.write_bytes(first.read_bytes()[:-3])
    flipped = bytearray(second.read_bytes())
    flipped[flipped.index(b"NUMPY") + 130] ^= 1  # in the last digits of a score
    second.write_bytes(flipped)
    scored_ids.clear()
    np.testing.assert_array_equal(ask(tmp_path)["ref_logps"], whole["ref_logps"])
    assert scored_ids == {f"row{i}": 1 for i in range(len(ROWS))}


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


def test_the_key_covers_autocast():
    rows, model = token_rows(ROWS), policy(seed=5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = cache_key(model, rows)
    assert cast != cache_key(model, rows)


def test_the_key_covers_the_signals():
    rows = token_rows(ROWS)
    assert len({cache_key(policy(), rows, names) for names in (["ref_logps"], ["ref_entropy"], OWN)}) == 3
    assert cache_key(policy(), rows, [*OWN]) == cache_key(policy(), rows, [*OWN][::-1])


def test_labels_and_rewards_do_not_change_the_key():
    rows = token_rows(ROWS)
    other = replace(rows, labels=Lists(rows.labels.values + 1, rows.labels.offsets))
    keys = {cache_key(policy(), r) for r in (rows, other, token_rows(ROWS, rewards=True))}
    assert len(keys) == 1


def shorter(values):
    return values[:-1]


def with_hole(values):
    values["ref_logps"][1] = np.nan
    return values


def nudged(values):
    values["ref_logps"][0] += 1e-3
    return values


@pytest.mark.parametrize("damage", [shorter, with_hole, nudged])
def test_damaged_scores_are_computed_again_and_told(tmp_path, caplog, damage):
    whole = ask(tmp_path)
    np.save(cache_file(tmp_path), damage(np.load(cache_file(tmp_path))))
    again = ask(tmp_path)
    np.testing.assert_array_equal(again["ref_logps"], whole["ref_logps"])
    assert [record for record in caplog.records if "is damaged" in record.message]


def test_an_interrupted_write_leaves_no_file(tmp_path, monkeypatch):
    def full_disk(file, values):
        file.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(reference.np, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        ask(tmp_path)
    assert not list(tmp_path.rglob("*.npy"))
    monkeypatch.undo()
    assert np.isfinite(ask(tmp_path)["ref_logps"]).all()


@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_a_reference_that_gives_no_number_is_an_error_and_leaves_no_file(tmp_path, monkeypatch, value):
    def broken(self, batch, **options):
        return replace(scored(self, batch, **options), logps=torch.full_like(batch.labels, value))

    scored = CausalLM.forward
    monkeypatch.setattr(CausalLM, "forward", broken)
    with pytest.raises(RunError, match="no finite ref_logps for row row"):
        ask(tmp_path)
    assert not list(tmp_path.rglob("*.npy"))


@pytest.mark.parametrize(
    ("groups", "message"), [([[0, 1], [1]], "row1 was scored twice"), ([[1]], "row0 was left out")]
)
def test_a_row_that_comes_twice_or_never_is_an_error(monkeypatch, groups, message):
    monkeypatch.setattr(reference, "within_budget", lambda *_, **__: groups)
    with pytest.raises(RunError, match=message):
        score(policy(), token_rows(ROWS), range(2), LOGPS, budget=40)


def _pass(cache_dir, results):
    passes = []
    scoring = reference.score
    reference.score = lambda *args, **options: passes.append(1) or scoring(*args, **options)
    results.put((len(passes), ask(cache_dir)["ref_logps"].tolist(), len(passes)))


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
