"""The reference's scores: computed once for each list, read ever after, never with a hole, and always the same bits."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from alignlab.cache import FileLock, problem
from alignlab.data.batching.batches import collate
from alignlab.data.encoding.token_rows import Lists
from alignlab.errors import ConfigError, RunError
from alignlab.passes import by_list, store
from alignlab.passes.by_list import model_key
from alignlab.passes.reference import cached_signals
from alignlab.passes.store import Store
from alignlab.policies.causal_lm.model import CausalLM
from tests.data.ragged import draw, token_rows
from tests.forked import context
from tests.policies.models import VOCABULARY, naive_logps, policy
from tests.test_cache import DAMAGES

ROWS = draw((2, 3, 1, 4, 2, 3, 2), vocabulary=VOCABULARY, seed=2)
OWN = ("ref_logps", "ref_entropy", "ref_prompt_logps")


def ask(cache_dir, model=None, rows=None, names=("ref_logps",), **options):
    rows = rows or token_rows(ROWS)
    return cached_signals(model or policy(), rows, names, cache_dir=cache_dir, **options)


def logps(cache_dir, rows=None):
    return ask(cache_dir, rows=rows)["ref_logps"].tolist()


def shards(cache_dir):
    return sorted((cache_dir / "scores").glob("*/*.shard"))


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
def test_every_response_gets_its_own_log_probability(tmp_path, packing):
    seen = []
    kept = ask(tmp_path, policy(packing=packing), track=seen.append)
    expected = [value.item() for values in naive_logps(policy().model, ROWS) for value in values]
    np.testing.assert_allclose(kept["ref_logps"], expected, rtol=1e-6)
    assert sum(seen) == len(ROWS)


@pytest.mark.parametrize("group", [1, 2, 256])
def test_all_signals_are_those_of_a_live_reference(tmp_path, monkeypatch, group):
    monkeypatch.setattr(by_list, "CHUNK_ROWS", group)
    rows = token_rows(ROWS)
    kept = ask(tmp_path, names=OWN)
    assert kept.keys() == set(OWN)
    batch = collate(rows, range(len(ROWS)))
    live = policy(seed=1)(batch, reference=policy(), wanted=set(OWN))
    for name, values in kept.items():
        expected = live.more[name][batch.where].detach().numpy()
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-7)


def test_a_signal_that_cannot_be_kept_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="ref_layers"):
        ask(tmp_path, names=["ref_layers"])


def test_the_second_call_scores_nothing_and_writes_nothing(tmp_path, scored_ids):
    first = ask(tmp_path, names=OWN)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert scored_ids == {f"row{i}": 1 for i in range(len(ROWS))}
    second = ask(tmp_path, names=[*OWN][::-1])
    assert sum(scored_ids.values()) == len(ROWS)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    for name in OWN:
        np.testing.assert_array_equal(second[name], first[name])


WHOLE = range(len(ROWS))
EARLIER = {
    "nothing": [],
    "another seed": [[5, 1, 3]],
    "a limit": [range(3)],
    "another order": [[6, 5, 4, 3, 2, 1, 0]],
    "two filters that overlap": [[0, 2, 4], [2, 3, 4, 6]],
    "all of it": [WHOLE],
}


@pytest.mark.parametrize("wanted", [WHOLE, [3, 0, 6], [6, 2, 1, 5]])
@pytest.mark.parametrize("earlier", EARLIER.values(), ids=EARLIER)
def test_what_earlier_runs_scored_is_reused_and_changes_no_bit(tmp_path, scored_ids, wanted, earlier):
    rows = token_rows(ROWS)
    expected = logps(tmp_path / "cold", rows.take(wanted))
    for visited in earlier:
        ask(tmp_path / "warm", rows=rows.take(visited))
    scored_ids.clear()
    assert logps(tmp_path / "warm", rows.take(wanted)) == expected
    known = {i for visited in earlier for i in visited}
    assert scored_ids == {f"row{i}": 1 for i in wanted if i not in known}
    assert len(shards(tmp_path / "warm")) == 1


def test_lists_of_equal_tokens_are_scored_once(tmp_path, scored_ids):
    twice = token_rows([*ROWS, *ROWS])
    assert logps(tmp_path, twice) == 2 * logps(tmp_path)
    assert scored_ids == {f"row{i}": 1 for i in range(len(ROWS))}


def killed_after(count):
    """A store that stops the process after so many shards."""
    add, done = Store.add, []

    def adding(self, vectors):
        if len(done) == count:
            raise KeyboardInterrupt
        done.append(vectors)
        add(self, vectors)

    return adding


@pytest.mark.parametrize("count", range(8))
def test_a_pass_that_was_killed_goes_on_where_it_stopped(tmp_path, monkeypatch, scored_ids, count):
    expected = logps(tmp_path / "whole")
    scored_ids.clear()
    monkeypatch.setattr(by_list, "CHUNK_ROWS", 1)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "add", killed_after(count))
        with pytest.raises(KeyboardInterrupt):  # the last of them while it joins what is scored
            ask(tmp_path)
    assert sum(scored_ids.values()) == min(count + 1, len(ROWS))
    scored_ids.clear()
    assert logps(tmp_path) == expected
    assert scored_ids == {f"row{i}": 1 for i in range(count, len(ROWS))}
    assert len(shards(tmp_path)) == (1 if count < len(ROWS) else len(ROWS))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["keys.npy", "values.npy", "contents.json"])
def test_a_damaged_shard_is_made_again_with_one_warning(tmp_path, caplog, damage, name):
    expected = logps(tmp_path)
    for seed in range(3):
        caplog.clear()
        (shard,) = shards(tmp_path)
        damage(shard / name, random.Random(seed))
        is_damaged = (
            problem(shard) is not None
        )  # a change of form may change nothing that a list of files says
        assert logps(tmp_path) == expected
        assert sum("is damaged" in record.message for record in caplog.records) == is_damaged
        assert problem(shards(tmp_path)[0]) is None


def test_what_a_killed_write_left_is_removed(tmp_path):
    rows = token_rows(ROWS)
    ask(tmp_path, rows=rows.take([0]))
    left = shards(tmp_path)[0].with_name("0.shard.partial")
    left.mkdir()
    (left / "keys.npy").write_bytes(b"half")
    ask(tmp_path, rows=rows.take([1]))
    assert not left.exists()


def test_a_shard_that_vanishes_while_it_is_read_is_looked_for_again(tmp_path, monkeypatch, scored_ids):
    expected = logps(tmp_path)
    opened, asked = store._opened, []

    def vanished_at_first(shard):
        asked.append(shard)
        return opened(shard) if len(asked) > 1 else None

    monkeypatch.setattr(store, "_opened", vanished_at_first)
    assert logps(tmp_path) == expected
    assert sum(scored_ids.values()) == len(ROWS)


@pytest.fixture
def nothing_is_written(monkeypatch):
    """The cache is on a disk that is read-only."""

    def refused(*_, **__):
        raise OSError(30, "Read-only file system")

    for owner, name in ((Path, "mkdir"), (Path, "unlink"), (FileLock, "acquire"), (np, "save")):
        monkeypatch.setattr(owner, name, refused)


def test_a_read_only_cache_serves_what_it_has(tmp_path, request):
    expected = logps(tmp_path)
    request.getfixturevalue("nothing_is_written")
    rows = token_rows(ROWS)
    assert logps(tmp_path) == expected
    assert ask(tmp_path, rows=rows.take([2]))["ref_logps"] == expected[5]
    more = token_rows([*ROWS, *draw((2,), vocabulary=VOCABULARY, seed=9)])
    with pytest.raises(RunError, match=r"scores of 1 of 8 lists are not in the cache.*cache_dir="):
        ask(tmp_path, rows=more)


def moved(rows):
    """The same tokens in the same order, one of them given to the response instead of the prompt."""
    (prompt, [first, *others]), *more = rows
    return [(prompt[:-1], [[prompt[-1], *first], *others]), *more]


def test_a_key_covers_tokens_and_where_they_stand():
    (prompt, responses), *_ = draw((2,), vocabulary=VOCABULARY, seed=8)
    lists = [(prompt, responses), (prompt, responses[:1]), (prompt, responses[::-1])]
    lists += [(prompt, [[*responses[0][:-1], 36], responses[1]]), *moved(lists[:1])]
    keys = token_rows(lists).keys
    assert len(set(keys.tolist())) == len(lists)
    again = token_rows([lists[1], lists[0]])
    assert again.keys.tolist() == keys[[1, 0]].tolist()
    other = replace(again, labels=Lists(again.labels.values + 1, again.labels.offsets))
    assert other.keys.tolist() == again.keys.tolist()


def test_the_key_of_a_model_covers_weights_and_config_but_not_where_they_lie(monkeypatch):
    model = policy(seed=5)
    names = ("ref_logps",)
    before = model_key(model, names)
    monkeypatch.setattr(model.model.config, "_name_or_path", "/somewhere/else")
    assert model_key(model, names) == before
    monkeypatch.setattr(model.model.config, "rms_norm_eps", 0.5)
    assert model_key(model, names) != before
    monkeypatch.undo()
    with torch.no_grad():
        model.model.lm_head.weight[3, 2] += 1e-9
    assert model_key(model, names) != before


def test_the_key_of_a_model_covers_how_it_computes():
    model = policy(seed=5)
    keys = [model_key(model, ["ref_logps"]), model_key(policy(seed=5, packing="off"), ["ref_logps"])]
    keys += [model_key(model, ["ref_entropy"]), model_key(model, OWN)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        keys.append(model_key(model, ["ref_logps"]))
    torch.set_float32_matmul_precision("high")
    keys.append(model_key(model, ["ref_logps"]))
    torch.set_float32_matmul_precision("highest")
    assert len(set(keys)) == 6
    assert model_key(model, [*OWN][::-1]) == keys[3]


def test_the_key_of_a_model_covers_its_adapters_in_any_process_and_wherever_their_base_lies():
    model = policy(seed=5)

    def key(**settings):
        model.model.peft_config = {"default": SimpleNamespace(to_dict=lambda: settings)}
        return model_key(model, ["ref_logps"])

    one, same = {0, 8}, {8, 0}
    assert str(one) != str(same)  # as sets of names differ from process to process
    first = key(r=2, layers=one, base_model_name_or_path="/a", inference_mode=False)
    assert key(r=2, layers=same, base_model_name_or_path="/b", inference_mode=True) == first
    assert len({first, key(r=4, layers=one), key(r=2, layers={0})}) == 3


def test_a_model_that_a_fused_optimizer_moved_is_scored_again(tmp_path):
    model = policy(seed=5)
    before = ask(tmp_path, model)["ref_logps"]
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    torch.optim.AdamW(model.parameters(), lr=0.01, fused=True).step()
    moved = ask(tmp_path, model)["ref_logps"]
    assert moved.tolist() == ask(tmp_path / "empty", model)["ref_logps"].tolist()
    assert (moved != before).all()


@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_a_reference_that_gives_no_number_is_an_error_and_keeps_nothing(tmp_path, monkeypatch, value):
    def broken(self, batch, **options):
        return replace(scored(self, batch, **options), logps=torch.full_like(batch.labels, value))

    scored = CausalLM.forward
    monkeypatch.setattr(CausalLM, "forward", broken)
    with pytest.raises(RunError, match="no finite number for row row0"):
        ask(tmp_path)
    assert not shards(tmp_path)


def test_a_list_that_is_left_out_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(by_list, "_scored", lambda *_: store.Vectors.joined([]))
    with pytest.raises(RunError, match="row0 was left out"):
        ask(tmp_path)


def _job(cache_dir, number, results):
    """Ask for other rows in another order, with a store that is written after each list."""
    by_list.CHUNK_ROWS = 1
    wanted = [i for i in random.Random(number).sample(WHOLE, len(ROWS)) if i != number]
    scored = []
    inner = by_list._finite
    by_list._finite = lambda vector, row: scored.append(row) or inner(vector, row)
    for _ in range(2):
        values = ask(cache_dir, rows=token_rows(ROWS).take(wanted))["ref_logps"].tolist()
    results.put((wanted, values, scored))


@pytest.mark.slow
def test_racing_processes_score_each_list_once_and_agree(tmp_path):
    results = context.Queue()
    jobs = [context.Process(target=_job, args=(tmp_path / "raced", i, results)) for i in range(4)]
    for job in jobs:
        job.start()
    reports = [results.get(timeout=120) for _ in jobs]
    for job in jobs:
        job.join(timeout=60)
    assert Counter(row for _, _, scored in reports for row in scored) == {f"row{i}": 1 for i in WHOLE}
    for wanted, values, _ in reports:
        assert values == logps(tmp_path / "cold", token_rows(ROWS).take(wanted))


def _rank(rank, folder, results):
    place = f"file://{folder / 'meeting'}"
    torch.distributed.init_process_group("gloo", init_method=place, rank=rank, world_size=2)
    by_list.CHUNK_ROWS = 2
    seen = Counter()
    score = by_list._finite
    by_list._finite = lambda vector, row: seen.update([row]) or score(vector, row)
    parts = [logps(folder / "ranks", token_rows(ROWS).take(wanted)) for wanted in ([4, 1], WHOLE, [6, 0])]
    results.put((parts, seen))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_ranks_share_a_pass_and_get_the_numbers_of_one(tmp_path):
    results = context.Queue()
    jobs = [context.Process(target=_rank, args=(rank, tmp_path, results)) for rank in range(2)]
    for job in jobs:
        job.start()
    (one, first), (other, second) = (results.get(timeout=120) for _ in jobs)
    for job in jobs:
        job.join(timeout=60)
    alone = [logps(tmp_path / "one", token_rows(ROWS).take(wanted)) for wanted in ([4, 1], WHOLE, [6, 0])]
    assert one == other == alone
    assert first + second == {f"row{i}": 1 for i in WHOLE}
