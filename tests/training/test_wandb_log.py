"""Online where a key and the network are there; offline by itself, or an error, where not."""

from types import SimpleNamespace

import pytest

from alignlab import hub
from alignlab.errors import ConfigError, RunError
from alignlab.training.loggers.wandb_log import chosen_mode, has_key

SERVER = "https://wandb.example"


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
    with pytest.raises(ConfigError, match="did you mean 'online'"):
        chosen_mode("onlin", server=SERVER, has_key=True)


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
