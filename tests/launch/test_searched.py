"""The folders of configs that a run was started with go along, however they were named."""

from types import SimpleNamespace

import pytest

from alignlab.launch.run import _searched

SEARCHED = "hydra.searchpath=[file:///one]"
OURS = ("main", "file", "/alignlab/conf")
TYPED = ("hydra.searchpath in command-line", "file", "/one")


@pytest.mark.parametrize(
    ("overrides", "sources", "wanted"),
    [
        (["hydra.run.dir=x"], [OURS], []),
        (["hydra.run.dir=x", SEARCHED], [OURS, TYPED], [SEARCHED]),
        ([], [OURS, ("command-line", "file", "/two")], ["hydra.searchpath=[file:///two]"]),
        (
            [SEARCHED],
            [OURS, ("command-line", "file", "/a b"), TYPED],
            ["hydra.searchpath=['file:///a b',file:///one]"],
        ),
    ],
)
def test_folders_of_configs(overrides, sources, wanted):
    keys = ("provider", "schema", "path")
    runtime = SimpleNamespace(
        config_sources=[SimpleNamespace(**dict(zip(keys, s, strict=True))) for s in sources]
    )
    hydra = SimpleNamespace(overrides=SimpleNamespace(hydra=overrides), runtime=runtime)
    assert _searched(hydra) == wanted
