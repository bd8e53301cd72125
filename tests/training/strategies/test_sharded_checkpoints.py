"""Checkpoints that all ranks write: exact on as many ranks, close on others, checked before they are used."""

import logging
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from alignlab import ranks
from alignlab.errors import RunError
from alignlab.training.checkpointing import tensor_file
from alignlab.training.checkpointing.checkpoints import Checkpoints, damage
from alignlab.training.checkpointing.sharded_files import (
    HELD,
    FolderWriter,
    Piece,
    ShardedFiles,
    filled,
    opened,
)
from alignlab.training.settings import CheckpointSpec, MovingSpec
from alignlab.training.spec import ReferenceSpec
from alignlab.training.strategies.shares import held, take_up
from tests.training.small import load_small
from tests.training.strategies.cases import Run, run_all
from tests.training.strategies.group import on_ranks


class Stream:
    """A file with one flat tensor."""

    def __init__(self, values):
        self.values = values

    def get_slice(self, name):
        return self

    def get_shape(self):
        return list(self.values.shape)

    def __getitem__(self, window):
        return self.values[window]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.data())
def test_any_elements_are_found_in_the_pieces_of_any_ranks(sizes, data):
    whole = torch.arange(sum(sizes))
    parts = whole.split(sizes)
    starts = torch.tensor([0, *sizes]).cumsum(0).tolist()
    pieces = [Piece(Stream(part), "weight", start) for part, start in zip(parts, starts, strict=False)]
    start = data.draw(st.integers(0, len(whole)))
    count = data.draw(st.integers(0, len(whole) - start))
    assert filled(pieces[::-1], start, count).tolist() == whole[start : start + count].tolist()
    with pytest.raises(RunError, match="lacks"):
        filled(pieces, start, len(whole) - start + 1)


def test_a_parameter_without_elements_needs_no_file():
    module = torch.nn.ParameterDict({"fitted": torch.zeros(0, 2)})
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    take_up(module, optimizer, [held(module, optimizer)])
    module["more"] = torch.nn.Parameter(torch.zeros(1))
    with pytest.raises(RunError, match="the checkpoint has no more"):
        take_up(module, optimizer, [{}])


class Strategy(ShardedFiles):
    """Of one rank."""

    def __init__(self, files):
        self.checkpoint_io, self.weight = files, torch.zeros(4)

    def held(self):
        return {"weight": {"start": 0, "elements": {"weight": self.weight}, "numbers": {}}}

    def take_up(self, saved):
        self.weight = saved[0]["weight"]["elements"]["weight"].whole()


def saved(strategy, *steps, best=()):
    for step in steps:
        strategy.weight = torch.full((4,), float(step))
        options = {"best": step in best, "then": lambda: None}
        strategy.save_checkpoint(
            {"step": step, "seen": [torch.arange(step)]}, strategy.checkpoint_io.path(step), options
        )
    strategy.checkpoint_io.join()


@pytest.mark.parametrize("background", [False, True])
def test_folders_are_kept_as_files_are(background, tmp_path):
    strategy = Strategy(Checkpoints(tmp_path, keep=1, background=background))
    saved(strategy, 1, 2, 3, best=[2])
    found = sorted(path.name for path in tmp_path.glob("*.ckpt"))
    assert found == ["best.ckpt", "last.ckpt", "step-000002.ckpt", "step-000003.ckpt"]
    assert not list(tmp_path.glob("*.partial"))
    assert strategy.checkpoint_io.newest() == tmp_path / "step-000003.ckpt"
    rest = strategy.load_checkpoint(tmp_path / "best.ckpt")
    assert (rest["step"], rest["seen"][0].tolist()) == (2, [0, 1])
    assert strategy.weight.tolist() == [2.0] * 4


def test_a_step_that_is_saved_again_replaces_the_folder(tmp_path):
    strategy = Strategy(Checkpoints(tmp_path))
    saved(strategy, 1, 1)
    assert damage(tmp_path / "step-000001.ckpt") is None


def test_a_file_of_another_strategy_is_told(tmp_path):
    (tmp_path / "step-000001.ckpt").write_bytes(b"")
    with pytest.raises(RunError, match="another strategy"):
        Strategy(Checkpoints(tmp_path)).load_checkpoint(tmp_path / "step-000001.ckpt")


def test_a_folder_without_one_of_its_files(tmp_path):
    strategy = Strategy(Checkpoints(tmp_path))
    saved(strategy, 1)
    file = next((tmp_path / "step-000001.ckpt").iterdir())
    file.rename(file.with_name(file.name.replace("00001.", "00002.")))
    with pytest.raises(RunError, match="not all files"), opened(tmp_path / "step-000001.ckpt"):
        pass


def test_all_of_it_is_safetensors(tmp_path):
    saved(Strategy(Checkpoints(tmp_path)), 1)
    (file,) = (tmp_path / "step-000001.ckpt").iterdir()
    assert load_file(file)[f"{HELD}.weight.elements.weight"].tolist() == [1.0] * 4


def flipped(folder):
    file = sorted(folder.iterdir())[-1]
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def short_of_a_file(folder):
    sorted(folder.iterdir())[-1].unlink()


def gone(folder):
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize("harm", [flipped, short_of_a_file, gone])
def test_a_damaged_folder_gives_way_to_the_one_before(harm, tmp_path, caplog):
    files = Checkpoints(tmp_path)
    saved(Strategy(files), 1, 2)
    harm(files.path(2))
    with caplog.at_level(logging.WARNING):
        assert files.newest() == files.path(1)
    assert "step-000002.ckpt is torn" in caplog.text


def one_rank_fails(folder: Path) -> str:
    """Rank 1 has a full disk: what each rank is told."""
    write = tensor_file.write

    def refused(file, flat):
        raise OSError(28, "No space left on device")

    tensor_file.write = refused if ranks.rank() == 1 else write
    try:
        FolderWriter()(folder, tensor_file.flatten({HELD: {}}))
    except (OSError, RunError) as error:
        return f"{type(error).__name__}: {error}"
    return "written"


@pytest.mark.slow
def test_all_ranks_are_told_where_one_cannot_write(tmp_path):
    first, second = on_ranks(2, one_rank_fails, tmp_path / "folder")
    assert first.startswith("RunError: rank 1 could not write its part")
    assert second == "OSError: [Errno 28] No space left on device"


ENGINES = ["fsdp", "fsdp2"]
FOLLOWING = {
    "reference": ReferenceSpec("live", "small", load_small, is_start=True, moving=MovingSpec("ema", 1, 0.5))
}
"""A reference that is part of the checkpoint."""
BACKGROUND = {**FOLLOWING, "checkpoint": CheckpointSpec(every_n_steps=1, background=True)}


def run(folder: str, engine: str, steps: int, changes=FOLLOWING) -> Run:
    return Run(folder, engine, steps=steps, changes=changes)


def both(folder: str, steps: int, changes=FOLLOWING) -> list[Run]:
    return [run(f"{engine}-{folder}", engine, steps, changes) for engine in ENGINES]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Three stretches, on two ranks, one and two: folders that go on, and some that never stop."""
    base = tmp_path_factory.mktemp("runs")
    never_stop = [*both("straight", 4), *both("background", 4, BACKGROUND)]
    begin = [*both("same", 2), *both("fewer", 2), *both("torn", 3), run("crossing", "fsdp", 2)]
    found = on_ranks(2, run_all, base, [*never_stop, *begin])[0]
    flipped(base / "fsdp2-torn" / "checkpoints" / "last.ckpt")
    short_of_a_file(base / "fsdp-torn" / "checkpoints" / "last.ckpt")
    found |= on_ranks(1, run_all, base, [*both("fewer", 4), *both("more", 2)])[0]
    go_on = [*both("same", 4), *both("more", 4), *both("torn", 4), run("crossing", "fsdp2", 4)]
    return found | on_ranks(2, run_all, base, go_on)[0]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
class TestGoingOn:
    def test_on_as_many_ranks_it_is_the_same_run(self, engine, outcomes):
        assert outcomes[f"{engine}-same"].gap(outcomes[f"{engine}-straight"]) == 0
        assert outcomes[f"{engine}-same"].losses == outcomes[f"{engine}-straight"].losses

    @pytest.mark.parametrize("case", ["fewer", "more"])
    def test_on_other_numbers_of_ranks_it_is_the_same_but_for_rounding(self, case, engine, outcomes):
        assert outcomes[f"{engine}-{case}"].gap(outcomes[f"{engine}-straight"]) < 1e-6
        assert len(outcomes[f"{engine}-{case}"].losses) == 4

    def test_a_damaged_file_costs_the_steps_since_the_one_before(self, engine, outcomes):
        assert outcomes[f"{engine}-torn"].gap(outcomes[f"{engine}-straight"]) == 0

    def test_in_the_background_it_is_the_same_run(self, engine, outcomes):
        assert outcomes[f"{engine}-background"].gap(outcomes[f"{engine}-straight"]) == 0


@pytest.mark.slow
def test_the_other_engine_goes_on_where_one_stopped(outcomes):
    assert outcomes["crossing"].gap(outcomes["fsdp2-straight"]) < 1e-6
