"""Online where a key and the network are there; offline by itself, or an error, where not."""

import json
import logging
from types import SimpleNamespace

import pytest

from alignlab import hub
from alignlab.errors import RunError
from alignlab.report.plots import plot_run
from alignlab.runs.folder import RunFolder
from alignlab.runs.record import Record
from alignlab.training.loggers.tracked_run import TrackedRun
from alignlab.training.loggers.wandb_log import chosen_mode, finish_wandb, has_key, log_results, make_wandb
from tests.end_to_end.command import until
from tests.end_to_end.wandb_file import read_run
from tests.report.runs import make_run

SERVER = "https://wandb.example"

CONFIG = {"objective": {"name": "dpo"}, "data": {"name": "lab"}, "regularizers": {"kl": {}}}


@pytest.fixture
def network(monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return lambda up: monkeypatch.setattr(hub, "connects", lambda url: up and url == SERVER)


@pytest.mark.parametrize(
    ("key", "up", "mode"), [(True, True, "online"), (True, False, "offline"), (False, True, "offline")]
)
def test_auto_goes_online_where_it_can(key, up, mode, network):
    network(up)
    assert chosen_mode("auto", server=SERVER, has_key=key) == mode


@pytest.mark.parametrize(
    ("key", "up", "reason"), [(True, False, "cannot be reached"), (False, True, "no API key")]
)
def test_online_that_cannot_be_is_an_error(key, up, reason, network):
    network(up)
    with pytest.raises(RunError, match=reason):
        chosen_mode("online", server=SERVER, has_key=key)


def test_offline_asks_for_nothing(network, monkeypatch):
    network(True)
    assert chosen_mode("offline", server=SERVER, has_key=True) == "offline"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert chosen_mode("auto", server=SERVER, has_key=True) == "offline"


def test_a_key_from_the_environment_or_the_netrc_file(tmp_path, monkeypatch):
    file = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(file))
    settings = SimpleNamespace(api_key=None, base_url=SERVER)
    assert not has_key(settings)
    assert has_key(SimpleNamespace(api_key="k" * 40, base_url=SERVER))
    file.write_text("machine other.example login user password secret\n")
    assert not has_key(settings)
    file.write_text("machine wandb.example login user password secret\n")
    file.chmod(0o600)
    assert has_key(settings)
    file.write_text("machine")
    assert not has_key(settings)


def test_the_results_are_in_the_offline_run(tmp_path, monkeypatch):
    """Settings, final metrics, a table of samples and the plots; read back from the file that `wandb sync` sends."""
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = RunFolder(
        make_run(
            tmp_path / "run",
            initial={"gold/reward": 0.5},
            final={"gold/reward": 2.5, "val/loss": 0.25},
            samples=(
                {
                    "prompt": "Hello?",
                    "before": "no",
                    "after": "yes",
                    "reward_before": 0.0,
                    "reward_after": 1.0,
                },
            ),
        )
    )
    pictures = plot_run(Record(folder.path), folder.plots)
    config = {**CONFIG, "objective": {"name": "dpo", "loss": {"beta": 0.125}}}
    tracked = TrackedRun(folder, config, "run", "a-sweep")
    logger = make_wandb(tracked_run=tracked, mode="offline", project="p", tags=["mine"])
    try:
        logger.log_metrics({"train/loss": 0.5}, 7)
        log_results(folder, pictures)
    finally:
        finish_wandb(failed=False)
    assert wandb.run is None
    until(lambda: read_run(folder.path)["exit_code"] is not None, timeout=30)  # written by another process
    read = read_run(folder.path)
    assert read["config"]["objective"]["loss"]["beta"] == 0.125
    assert (read["group"], read["tags"], read["exit_code"]) == ("a-sweep", ["mine", "dpo", "lab", "kl"], 0)
    first, drawn, last = read["history"]
    assert (first["trainer/global_step"], first["train/loss"]) == (7, 0.5)
    assert drawn["trainer/global_step"] == last["trainer/global_step"] == 2
    assert last["samples"]["_type"] == "table-file"
    assert drawn["plots/loss"]["_type"] == "image-file"
    assert read["summary"]["gold/reward"] == 2.5
    assert read["summary"]["initial"]["gold/reward"] == 0.5
    (table,) = folder.path.glob("wandb/offline-run-*/files/media/table/samples*.json")
    assert json.loads(table.read_text())["data"] == [["Hello?", "no", "yes", 0.0, 1.0]]


def test_a_network_that_has_gone_is_warned_of(tmp_path, monkeypatch, caplog):
    """The run is trained and written: nothing that a tracker says now may take that away."""
    wandb = pytest.importorskip("wandb")
    folder = RunFolder(make_run(tmp_path / "run"))

    def gone(*_):
        raise wandb.errors.AuthenticationError("the service is busy")

    monkeypatch.setattr(wandb, "run", SimpleNamespace(summary={}, log=gone))
    log_results(folder, plot_run(Record(folder.path), folder.plots))
    assert "missing from the run (the service is busy)" in caplog.text


def test_a_key_and_a_server_of_the_environment_are_seen(tmp_path, monkeypatch, caplog):
    """Nothing listens on that port, so that the reason for going offline is the network, not a missing key."""
    wandb = pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for name, value in {"API_KEY": "k" * 40, "BASE_URL": "http://127.0.0.1:9", "SILENT": "true"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    wandb.teardown()
    with caplog.at_level(logging.INFO):
        logger = make_wandb(tracked_run=TrackedRun(RunFolder(tmp_path), CONFIG, "run"))
    finish_wandb(failed=False)
    wandb.teardown()
    assert logger.experiment.offline
    assert "offline, since http://127.0.0.1:9 cannot be reached" in caplog.text


def test_results_without_a_wandb_run_go_nowhere(tmp_path):
    finish_wandb(failed=False)
    log_results(RunFolder(tmp_path), [])
    assert not list(tmp_path.iterdir())
