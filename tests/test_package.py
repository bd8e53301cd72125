"""The package as it is installed: every module imports, every folder and yaml is shipped."""

import tomllib
from importlib import import_module
from pkgutil import walk_packages

import pytest
from setuptools import find_packages

import alignlab
from tests.repository import ROOT

MODULES = [module.name for module in walk_packages(alignlab.__path__, "alignlab.")]


@pytest.mark.parametrize("name", MODULES)
def test_every_module_imports(name):
    if name.startswith("alignlab.serving."):
        pytest.importorskip("fastapi", reason="needs the extra `serve`")
    assert import_module(name).__doc__, f"{name} has no docstring"


def test_every_package_is_shipped():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    found = find_packages(ROOT, include=["alignlab", "alignlab.*"])
    assert sorted(settings["packages"]) == sorted(
        [*found, "alignlab.conf", "alignlab.sweeps", "hydra_plugins"]
    )


def test_no_file_is_long():
    longest = max(ROOT.glob("alignlab/**/*.py"), key=lambda file: len(file.read_text().splitlines()))
    assert len(longest.read_text().splitlines()) <= 500, longest
