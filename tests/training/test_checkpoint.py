"""Checkpoints: what a file holds, which ones stay, and that a torn or unfinished one is never the last."""

import errno
import json
import logging
import resource
import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from alignlab import disk
from alignlab.errors import RunError
from alignlab.runs.folder import RunFolder
from alignlab.training.callbacks.checkpoint import Pace, random_state, set_random_state
from alignlab.training.checkpointing import tensor_file
from alignlab.training.checkpointing.checkpoints import Checkpoints, damage
from alignlab.training.settings import CheckpointSpec
from alignlab.training.stage import run_stage
from tests.training.small import small_stage
from tests.training.test_csv_log import rows

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
dtypes = st.sampled_from(list(tensor_file.DTYPES))
tensors = st.builds(
    lambda shape, dtype: torch.arange(7 * 7)[: shape[0] * shape[1]].reshape(shape).to(dtype).t(),
    st.tuples(st.integers(0, 4), st.integers(1, 4)),
    dtypes,
)
keys = st.integers() | st.text(max_size=5)
states = st.recursive(
    plain | tensors,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=12,
)


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and type(one) is type(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


@settings(max_examples=60, deadline=None)
@given(states)
def test_a_state_goes_through_a_file(tmp_path_factory, state):
    file = tmp_path_factory.mktemp("state") / "state"
    tensor_file.write(file, tensor_file.flatten(state))
    assert equal(tensor_file.read(file), state)


def test_a_state_is_a_plain_safetensors_file(tmp_path):
    weight = torch.randn(3, 2)
    state = {"state_dict": {"weight": weight, "tied": weight}, "step": 3}
    tensor_file.write(tmp_path / "state", tensor_file.flatten(state))
    found = load_file(tmp_path / "state")
    assert list(found) == ["state_dict.weight"]  # what shares memory is there once
    assert torch.equal(found["state_dict.weight"], weight)
    assert tensor_file.read(tmp_path / "state")["step"] == 3


def test_what_a_checkpoint_cannot_hold_is_named():
    with pytest.raises(RunError, match=r"cannot hold callbacks\.mine, of type set"):
        tensor_file.flatten({"callbacks": {"mine": {1, 2}}})
    with pytest.raises(RunError, match=r"cannot hold 0, of type torch\.complex64"):
        tensor_file.flatten([torch.zeros(2, dtype=torch.complex64)])


def test_random_numbers_go_on(tmp_path):
    state = random_state()
    drawn = torch.rand(3)
    tensor_file.write(tmp_path / "state", tensor_file.flatten(state))
    set_random_state(tensor_file.read(tmp_path / "state"))
    assert torch.equal(torch.rand(3), drawn)


def saved(files, *steps, best=()):
    for step in steps:
        state = {"step": step, "weight": torch.full((100,), float(step))}
        files.save_checkpoint(state, files.path(step), {"best": step in best, "then": lambda: None})
    files.join()


def names(folder):
    return sorted(p.name for p in folder.iterdir() if p.suffix == ".ckpt")


@pytest.mark.parametrize("background", [False, True])
def test_the_newest_stay_and_the_best(background, tmp_path):
    files = Checkpoints(tmp_path, keep=2, background=background)
    saved(files, 1, 2, 3, 4, 5, best=[1, 2])
    kept = ["step-000002.ckpt", "step-000004.ckpt", "step-000005.ckpt"]
    assert names(tmp_path) == ["best.ckpt", "last.ckpt", *kept]
    assert {p.name for p in tmp_path.glob("*.sha256")} == {f"{name}.sha256" for name in kept}
    assert files.load_checkpoint(tmp_path / "last.ckpt")["step"] == 5
    assert files.load_checkpoint(tmp_path / "best.ckpt")["step"] == 2
    assert files.newest() == files.path(5)


def torn(file):
    file.write_bytes(file.read_bytes()[:-100])


def flipped(file):
    content = bytearray(file.read_bytes())
    content[-7] ^= 1
    file.write_bytes(content)


def emptied(file):
    file.write_bytes(b"")


def without_hash(file):
    file.with_name(f"{file.resolve().name}.sha256").unlink()


def with_half_a_hash(file):
    emptied(file.with_name(f"{file.resolve().name}.sha256"))


def with_a_damaged_hash(file):
    file.with_name(f"{file.resolve().name}.sha256").write_bytes(b"\xff\xfe\x00\x80")


@pytest.mark.parametrize(
    "harm", [torn, flipped, emptied, without_hash, with_half_a_hash, with_a_damaged_hash]
)
def test_a_torn_one_gives_way_to_the_one_before(harm, tmp_path, caplog):
    files = Checkpoints(tmp_path, keep=2)
    saved(files, 1, 2)
    assert damage(files.path(2)) is None
    harm(tmp_path / "last.ckpt")
    with caplog.at_level(logging.WARNING):
        assert files.newest() == files.path(1)
    assert "step-000002.ckpt" in caplog.text
    assert "going back to the checkpoint before it" in caplog.text
    harm(files.path(1))
    assert files.newest() is None


def test_what_a_kill_left_half_done_is_no_checkpoint_and_goes(tmp_path):
    files = Checkpoints(tmp_path)
    saved(files, 1)
    (tmp_path / "step-000002.ckpt.partial").write_bytes(b"half")
    assert files.newest() == files.path(1)
    saved(files, 3)
    assert not list(tmp_path.glob("*.partial"))


def test_a_run_goes_on_from_the_one_before(tmp_path, caplog):
    whole, parts = (RunFolder(tmp_path / name) for name in ("whole", "parts"))
    line = {"mode": "live", "trainer": {"max_steps": 6}}
    model = run_stage(small_stage(whole.path, **line), whole).model
    run_stage(small_stage(parts.path, mode="live", trainer={"max_steps": 5}), parts)
    torn(parts.last_checkpoint)
    with caplog.at_level(logging.INFO):
        resumed = run_stage(small_stage(parts.path, **line), parts)
    assert "is torn" in caplog.text
    assert "resuming from" in caplog.text
    assert resumed.steps == 6
    for name, value in model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value)
    assert [row["step"] for row in rows(parts.metrics) if row["train/loss"]] == list("123456")


@pytest.mark.parametrize("background", [False, True])
def test_a_full_disk_keeps_the_last_good_checkpoint(background, tmp_path):
    """The system refuses to write more than half a checkpoint."""
    folder = RunFolder(tmp_path)
    run_stage(small_stage(tmp_path, mode="live", trainer={"max_steps": 2}), folder)
    good = folder.last_checkpoint.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    checkpoint = CheckpointSpec(every_n_steps=2, background=background)
    stage = small_stage(tmp_path, mode="live", trainer={"max_steps": 6}, checkpoint=checkpoint)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(good) // 2, limits[1]))
    try:
        with pytest.raises(OSError) as caught:  # noqa: PT011
            run_stage(stage, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    assert folder.last_checkpoint.read_bytes() == good
    assert not list(folder.checkpoints.glob("*.partial"))
    assert run_stage(stage, folder).steps == 6


def test_training_goes_on_while_a_checkpoint_is_hashed(tmp_path, monkeypatch):
    files, may_hash = Checkpoints(tmp_path), threading.Event()
    saved(files, 1)
    lasting = disk.lasting

    def late(file):
        assert may_hash.wait(10)
        return lasting(file)

    monkeypatch.setattr(disk, "lasting", late)
    weight, noted = torch.zeros(4), []
    files.save_checkpoint({"weight": weight}, files.path(2), {"best": True, "then": lambda: noted.append(2)})
    weight.fill_(7.0)  # the training has the weights again
    assert files.newest() == files.path(1)  # a kill now goes back to the one before
    assert (names(tmp_path), noted) == (["last.ckpt", "step-000001.ckpt"], [])
    may_hash.set()
    files.join()
    assert files.newest() == files.path(2)
    assert torch.equal(files.load_checkpoint(tmp_path / "best.ckpt")["weight"], torch.zeros(4))
    assert noted == [2]


def test_a_checkpoint_that_does_not_reach_the_disk_is_told_and_goes(tmp_path, monkeypatch):
    files = Checkpoints(tmp_path)
    saved(files, 1)

    def lost(file):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(disk, "lasting", lost)
    with pytest.raises(OSError, match="Input/output error"):
        saved(files, 2)
    assert files.newest() == files.path(1)
    assert not list(tmp_path.glob("*.partial"))


def test_in_the_background_the_copy_is_written_not_what_came_after(tmp_path, monkeypatch):
    files, may_write = Checkpoints(tmp_path, background=True), threading.Event()
    write = tensor_file.write

    def late(file, flat):
        assert may_write.wait(10)
        return write(file, flat)

    monkeypatch.setattr(tensor_file, "write", late)
    weight = torch.zeros(4)
    files.save_checkpoint({"weight": weight}, files.path(1), {"best": False, "then": lambda: None})
    weight.fill_(7.0)
    may_write.set()
    files.join()
    assert torch.equal(files.load_checkpoint(files.path(1))["weight"], torch.zeros(4))


def test_a_run_that_saves_in_the_background_is_the_same_run(tmp_path):
    found = {}
    for background in (False, True):
        folder = RunFolder(tmp_path / str(background))
        stage = small_stage(folder.path, mode="live", trainer={"max_steps": 4})
        stage = replace(stage, checkpoint=CheckpointSpec(every_n_steps=1, background=background))
        run_stage(stage, folder)
        found[background] = load_file(folder.last_checkpoint)
    assert found[True].keys() == found[False].keys()
    timeless = [name for name in found[True] if not name.startswith("callbacks.Validation")]
    assert all(torch.equal(found[True][name], found[False][name]) for name in timeless)


@pytest.mark.parametrize(("metric", "mode", "order"), [("val/loss", "min", 1), ("rewards/margin", "max", -1)])
def test_the_best_by_a_metric(metric, mode, order, tmp_path):
    folder = RunFolder(tmp_path)
    spec = CheckpointSpec(every_n_steps=100, keep=1, best=metric, best_mode=mode)
    trainer = {"max_steps": 5, "validate_every_n_steps": 1}
    run_stage(small_stage(tmp_path, checkpoint=spec, trainer=trainer), folder)
    name = f"val/{metric.removeprefix('val/')}"
    values = {int(r["step"]): order * float(r[name]) for r in rows(folder.metrics) if r["val/loss"]}
    del values[0]
    best = min(values, key=values.get)
    assert (folder.checkpoints / "best.ckpt").readlink() == Path(f"step-{best:06d}.ckpt")
    assert folder.last_checkpoint.readlink() == Path("step-000005.ckpt")
    assert names(folder.checkpoints) == sorted(
        {"best.ckpt", "last.ckpt", f"step-{best:06d}.ckpt", "step-000005.ckpt"}
    )


def test_a_best_metric_that_is_none(tmp_path):
    spec = CheckpointSpec(best="val/losss")
    with pytest.raises(RunError, match="did you mean 'loss'"):
        run_stage(small_stage(tmp_path, checkpoint=spec), RunFolder(tmp_path))


def test_the_summary_tells_the_step_that_is_on_disk(tmp_path):
    folder = RunFolder(tmp_path)
    run_stage(small_stage(tmp_path, trainer={"max_steps": 3}), folder)
    assert json.loads((tmp_path / "summary.json").read_text())["steps"] == 3


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self):
        return self.now


def saves(step_seconds, save_seconds, steps, every="auto"):
    """The steps after which checkpoints are written, and the share of the time that they take."""
    clock = Clock()
    pace, written = Pace(every, clock), []
    pace.start()
    for step in range(1, steps + 1):
        clock.now += step_seconds
        if pace.due(step):
            with pace.saving():
                clock.now += save_seconds
            written.append(step)
    return written, len(written) * save_seconds / clock.now


def test_cheap_checkpoints_come_every_25_steps():
    assert saves(1.0, 0.1, 100)[0] == [25, 50, 75, 100]


@pytest.mark.parametrize(("step_seconds", "save_seconds"), [(0.02, 0.5), (0.1, 3.0), (2.0, 10.0)])
def test_checkpoints_take_2_percent_of_the_time_at_most(step_seconds, save_seconds):
    written, share = saves(step_seconds, save_seconds, 20_000)
    assert len(written) > 3
    assert share <= 0.021  # the first one comes before its cost is known


def test_no_more_than_10_minutes_of_work_are_lost():
    written, _ = saves(8.0, 60.0, 600)  # 60 s are 10 % of these 10 minutes
    assert max(after - before for before, after in pairwise([0, *written])) * 8.0 <= 600 + 8.0


def test_a_number_of_steps_is_kept_to():
    assert saves(0.1, 30.0, 20, every=7)[0] == [7, 14]
