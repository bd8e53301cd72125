"""Every file of sweeps/ composes, from any folder; its jobs are in order, and search what the cards of methods say."""

from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep
from omegaconf import OmegaConf

from alignlab.assembly.check import check
from alignlab.config import resolvers
from alignlab.config.kept_sweep import with_own_values
from alignlab.config.stage_configs import planned, resolved
from alignlab.config.typed import kept_sweeps
from alignlab.errors import ConfigError
from alignlab.launch.sweep import alone, require_one_process, require_plain
from alignlab.objective.card import cards
from alignlab.places import CONF
from tests.config.compose import composed
from tests.repository import ROOT

KEPT = kept_sweeps()
WANTED = {
    "curriculum_x_objective",
    "dpo_beta_lr",
    "length_regularization",
    "lipo_beta",
    "noise_robustness",
    "objectives_compare",
}


@pytest.fixture
def hydra(monkeypatch, tmp_path):
    """Hydra as the command line has it, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    resolvers.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base=None):
        yield


def params(name):
    text = (ROOT / "sweeps" / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["hydra"]["sweeper"]["params"]


def values(key, text):
    """What a setting takes: all of a list, both ends of an interval; of seeds the first will do."""
    (override,) = OverridesParser.create().parse_overrides([f"{key}={text}"])
    found = override.value()
    if isinstance(found, IntervalSweep):
        return [found.start, found.end]
    every = [*override.sweep_string_iterator()] if override.is_sweep_override() else [text]
    return every[:1] if key == "seed" else every


def covering(columns):
    """Jobs in which every value of every key is met, each key going on by a value from job to job."""
    jobs = max(map(len, columns))
    return [[column[job % len(column)] for column in columns] for job in range(jobs)]


def test_the_sweeps_there_are():
    assert set(KEPT) >= WANTED
    shipped = {path.stem for path in (ROOT / "sweeps").glob("*.yaml")}
    assert set(KEPT) == shipped


@pytest.mark.parametrize("name", KEPT)
def test_every_job_is_in_order(name, hydra):
    settings = params(name)
    assert len(values("seed", settings["seed"])) == 1
    for chosen in covering([values(key, text) for key, text in settings.items()]):
        line = [f"{key}={value}" for key, value in zip(settings, chosen, strict=True)]
        config = resolved(compose("train", overrides=[f"sweeps={name}", *line]))
        assert config["data"]["name"] == "lab"
        check(config)
    assert planned(config, line, [], "train")  # of the last one, all stages too


@pytest.mark.parametrize("name", KEPT)
def test_it_is_a_sweep_and_nothing_else(name, hydra):
    cfg = compose("train", overrides=[f"sweeps={name}"], return_hydra_config=True)
    assert cfg.hydra.mode.name == "MULTIRUN"
    assert len(str(cfg.hydra.sweeper.params.seed).split(",")) >= 3
    require_plain(cfg)
    assert composed(f"sweeps={name}") == composed()


@pytest.mark.parametrize("name", KEPT)
def test_ranges_are_those_of_the_cards(name):
    """Intervals and lists lie in the range that the file of a setting names, and intervals span all of it."""
    settings = params(name)
    ranges = {
        f"{card.group}.{'loss' if card.group == 'objective' else card.name}.{h.name}": h.range
        for card in (*cards("objective"), *cards("regularizers"))
        if card.name in (settings["objective"], *str(settings.get("regularizers", "")).strip("[]").split(","))
        for h in card.hyper
    }
    for key in settings.keys() & ranges.keys():
        chosen, allowed = values(key, settings[key]), ranges[key]
        if any(isinstance(word, str) for word in allowed):
            assert set(chosen) <= set(allowed)
        elif "interval" in settings[key]:
            assert chosen == [float(end) for end in allowed]
        else:
            low, high = allowed
            assert all(low <= float(value) <= high for value in chosen if float(value))


@pytest.mark.parametrize(
    ("typed", "key", "value"),
    [
        ("pipeline.flip_noise.rate=0.3", "pipeline.flip_noise.rate", "0.3"),
        ("pipeline.flip_noise.model=symmetric", "pipeline.flip_noise.model", "symmetric"),
        ('objective.loss={_target_:"a.b",beta:1}', "objective.loss", '{_target_:"a.b",beta:1}'),
    ],
)
def test_what_is_typed_below_a_choice_of_the_jobs_is_a_parameter(hydra, typed, key, value):
    words, lines = with_own_values(["sweeps=noise_robustness", typed, "trainer.max_steps=7"])
    cfg = compose("train", overrides=words, return_hydra_config=True)
    assert cfg.hydra.sweeper.params == {**params("noise_robustness"), key: value}
    assert cfg.trainer.max_steps == 7
    was = params("noise_robustness").get(key)
    assert lines == ([f"sweeps=noise_robustness: {typed}, in place of {was}"] if was else [])


def test_what_hydra_replaces_itself_is_told_and_left():
    line = ["sweeps=noise_robustness", "pipeline.flip_noise.rate=0.3,0.4", "objective=dpo", "-m"]
    words, lines = with_own_values(line)
    assert words == line
    assert [text.partition(",")[0] for text in lines] == [
        "sweeps=noise_robustness: pipeline.flip_noise.rate=0.3",
        "sweeps=noise_robustness: objective=dpo",
    ]
    for others in (["objective=dpo", "objective.loss.beta=1"], ["sweeps=none_such", "objective.loss.beta=1"]):
        assert with_own_values(others) == (others, [])


def test_a_sweep_of_ones_own_takes_values_too(monkeypatch, tmp_path):
    (tmp_path / "sweeps").mkdir()
    text = "hydra: {sweeper: {params: {'pipeline': '[pairs]', seed: '0,1'}}}"
    (tmp_path / "sweeps/mine.yaml").write_text(text)
    words, _ = with_own_values(["--config-dir", str(tmp_path), "sweeps=mine", "pipeline.pairs.choose=all"])
    assert words[-1] == "++hydra.sweeper.params={pipeline.pairs.choose:'all'}"


def test_a_sweep_of_ones_own(monkeypatch, tmp_path):
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps/mine.yaml").write_text(
        "# @package _global_\ntrainer: {max_steps: 7}\nhydra: {mode: MULTIRUN}\n"
    )
    GlobalHydra.instance().clear()
    resolvers.register()
    with initialize_config_dir(str(CONF), version_base=None):
        line = [f"hydra.searchpath=[file://{tmp_path}]", "sweeps=mine"]
        cfg = compose("train", overrides=line, return_hydra_config=True)
        with pytest.raises(ConfigError, match=r"sweeps=mine sets trainer.max_steps: put that under"):
            require_plain(cfg)


@pytest.mark.parametrize("key", ["devices", "num_nodes"])
@pytest.mark.parametrize("launcher", ["local", "joblib"])
def test_several_ranks_are_for_another_launcher(key, launcher):
    cfg = OmegaConf.create(composed(f"launcher={launcher}", f"trainer.{key}=2"))
    with pytest.raises(
        ConfigError, match=rf"trainer.{key}=2 with -m: launcher={launcher} .*launcher=slurm.*torchrun"
    ):
        require_one_process(cfg)
    cfg.launcher.name = "slurm"
    require_one_process(cfg)


def test_ranks_do_not_begin_a_sweep_each(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    with pytest.raises(ConfigError, match="2 processes were started together"):
        require_one_process(OmegaConf.create(composed()))


def test_a_job_alone_is_no_part_of_a_sweep():
    line = ["sweeps=lipo_beta", "launcher=joblib", "launcher=slurm", "objective=dpo", "objective.loss.beta=1"]
    assert alone(line) == ["launcher=slurm", "objective=dpo", "objective.loss.beta=1"]


def test_the_files_hold_nothing_but_their_jobs():
    for name in KEPT:
        text = Path(ROOT / "sweeps" / f"{name}.yaml").read_text(encoding="utf-8")
        assert text.startswith("# @package _global_\n# ")
        assert set(yaml.safe_load(text)) <= {"defaults", "hydra"}
