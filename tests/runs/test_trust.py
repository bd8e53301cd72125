"""Files of a run folder are data: code that they name is run only where it is known, or trusted by name."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from alignlab.errors import ConfigError
from alignlab.places import CONF
from alignlab.program import main
from alignlab.runs.trust import is_trusted, named_code, require_trusted
from tests.report.runs import make_run as made_up_run
from tests.verbs.small_run import make_run

HOSTILE = [
    "os.system",
    "subprocess.run",
    "builtins.exec",
    "torch.load",
    "torch.hub.load",
    "torch.optim._functional.os",
    "lightning.pytorch.callbacks.model_checkpoint.os",
    "transformers.AutoModel.from_pretrained",
    "transformers.utils.hub.subprocess",
    "alignlab.training.strategies.launch.started",
    "alignlab.launch.snapshot.take",
    "alignlab.targets.locate",
    "alignlab.lab.tiny.nothing_of_that_name",
    "alignlab.lab.tiny.Path",
    "not_a_path",
]


@pytest.mark.parametrize("target", HOSTILE)
def test_code_that_no_config_of_ours_names_is_unknown(target):
    assert not is_trusted(target, ())


@pytest.mark.parametrize(
    "target",
    [
        "torch.optim.SGD",
        "torch.optim.lr_scheduler.CosineAnnealingLR",
        "lightning.pytorch.callbacks.EarlyStopping",
        "lightning.pytorch.loggers.MLFlowLogger",
        "transformers.get_cosine_schedule_with_warmup",
    ],
)
def test_libraries_of_the_field_are_known(target):
    assert is_trusted(target, ())


def test_every_choice_of_ours_is_known():
    for file in CONF.rglob("*.yaml"):
        for path, target in named_code(yaml.safe_load(file.read_text())):
            assert target == "???" or is_trusted(target, ()), f"{file}: {path}={target}"


def test_a_package_is_trusted_by_its_first_name():
    assert is_trusted("my_losses.hinge", ("my_losses",))
    assert not is_trusted("my_losses_too.hinge", ("my_losses",))
    config = {"model": {"loader": {"trust_remote_code": True}}}
    require_trusted(config, Path("config.yaml"), ("trust_remote_code",))
    with pytest.raises(ConfigError, match=r"model\.loader\.trust_remote_code"):
        require_trusted(config, Path("config.yaml"), ("my_losses",))


def test_functions_of_judges_and_secrets_for_servers_are_asked_about():
    config = {"judge": {"judges": {"a": {"function": "x.f"}}, "key_env": "KEY", "url": "http://a"}}
    assert dict(named_code(config)) == {"judge.judges.a.function": "x.f", "judge.key_env": "environment.KEY"}


def test_code_is_found_wherever_it_is_named():
    config = {
        "callbacks": {"a": {"_target_": "x.a"}},
        "list": [{"deep": {"_target_": "x.b"}}],
        "evaluation": {"reward": "x.c"},
        "hydra": {"job_logging": {"handlers": {"h": {"()": "x.d"}, "f": {"class": "logging.FileHandler"}}}},
        "data": {"columns": {"class": "no code"}},
    }
    assert {name for _, name in named_code(config)} == {"x.a", "x.b", "x.c", "x.d"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("trusted") / "run")


@pytest.fixture
def witness(tmp_path, monkeypatch):
    """A file that appears when hostile code is run."""
    file = tmp_path / "witness"
    (tmp_path / "hostile.py").write_text(f"open({str(file)!r}, 'w').close()\n\n\ndef strike(**_): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "hostile", raising=False)
    return file


@pytest.fixture
def hostile(run, tmp_path):
    """A copy of a run whose config names code as part of the model, the data, the policy and the rewards."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for node in (config["model"]["loader"], config["data"]["source"], config["policy"], config["optimizer"]):
        node["_target_"] = "hostile.strike"
    config["evaluation"]["reward"] = "hostile.strike"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ["score"],
        ["score", "data=lab"],
        ["analyze", "length"],
        ["analyze", "toy3d"],
        ["analyze", "frontier"],
        ["export"],
        ["extrapolate", "alphas=[0.1]"],
    ],
)
def test_no_verb_runs_what_a_config_names(words, hostile, witness, tmp_path):
    out = [] if words[0] in ("score",) else [f"out={tmp_path / 'out'}"]
    with pytest.raises(SystemExit, match=r"names code that would be run.*trust=\[hostile\]"):
        main([*words, f"run={hostile}", *out])
    assert not witness.exists()


@pytest.mark.parametrize(
    "override",
    [
        "+callbacks.x={_target_: hostile.strike}",
        "optimizer._target_=hostile.strike",
        "evaluation.reward=hostile.strike",
        "model.loader._target_=${run_name} run_name=hostile.strike",
        "hydra.job_logging.handlers.console.class=hostile.strike",
        "hydra/launcher=hostile",
        "--config-dir=/tmp",
        "-m",
    ],
)
def test_no_run_is_started_again_with_what_a_manifest_names(override, run, witness, tmp_path):
    folder = tmp_path / "again"
    shutil.copytree(run, folder)
    overrides = (folder / "overrides.txt").read_text().splitlines() + override.split(" run_name")[:1]
    overrides += [f"run_name{text}" for text in override.split(" run_name")[1:]]
    manifest = {
        "overrides": overrides,
        "searchpath": [],
        "working_directory": str(tmp_path),
        "versions": {},
        "git": None,
        "config": yaml.safe_load((folder / "config.yaml").read_text()),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SystemExit, match=r"names code that would be run|no flags and no settings of Hydra"):
        main(["rerun", f"run={folder}"])
    assert not witness.exists()


def test_what_a_person_types_is_free(run, witness):
    with pytest.raises((SystemExit, TypeError)) as stopped:  # it makes no rows
        main(["score", f"run={run}", "data=lab", "data.source._target_=hostile.strike"])
    assert "names code" not in str(stopped.value)
    assert witness.exists()


def test_a_project_file_trusts_for_every_verb(hostile, witness, tmp_path, monkeypatch):
    (tmp_path / "alignlab.yaml").write_text("trust: [hostile]\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises((SystemExit, TypeError)) as stopped:
        main(["score", f"run={hostile}"])
    assert "names code" not in str(stopped.value)
    assert witness.exists()


def test_a_report_neither_shows_nor_overwrites_what_a_link_points_to(tmp_path):
    folder = made_up_run(tmp_path / "run")
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret of this machine")
    (folder / "plots").mkdir()
    for name in ("loss.png", "x.png"):
        (folder / "plots" / name).symlink_to(secret)
    main(["report", f"runs={folder}"])
    assert secret.read_text() == "a secret of this machine"
    assert "YSBzZWNyZXQ" not in (folder / "report.html").read_text()  # its first letters, in base64


def test_a_report_draws_into_no_other_folder(tmp_path):
    folder = made_up_run(tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    (folder / "plots").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SystemExit, match="is a link"):
        main(["report", f"runs={folder}"])
    assert not [*(tmp_path / "elsewhere").iterdir()]
