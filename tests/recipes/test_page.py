"""docs/recipes.md: its files work, its tables name what there is; tests/test_blocks.py plans its commands."""

import re
import sys

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from alignlab.config import resolvers
from alignlab.config.stage_configs import planned, resolved
from alignlab.places import CONF, choices
from tests.repository import ROOT

PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", PAGE, re.DOTALL)
FILES = {
    found[1]: text
    for _, text in BLOCKS
    if (found := re.search(r"^# (\S+\.(?:py|yaml))$", text, re.MULTILINE))
}


def plan(overrides, *search):
    resolvers.register()
    GlobalHydra.instance().clear()
    hydra = [f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in search)}]"] if search else []
    with initialize_config_dir(str(CONF), version_base=None):
        config = resolved(compose("train", overrides=[*hydra, *overrides]))
        return planned(config, overrides, hydra, "train")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The files of the page where they say they are."""
    for name, text in FILES.items():
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "conf"
    sys.modules.pop("my_recipes", None)


def test_its_own_recipe_and_its_stages(package):
    assert set(FILES) == {
        "conf/experiment/two_losses.yaml",
        "my_recipes.py",
        "conf/recipe/again.yaml",
        "my_package.py",
    }
    rates = [stage.config["optimizer"]["lr"] for stage in plan(["recipe=again", "recipe.times=2"], package)]
    assert rates == [1e-5, 5e-6]
    made = plan(["experiment=two_losses"], package)
    assert [stage.title for stage in made] == ["01-broad", "02-sharp", "03-again"]
    assert [stage.config["objective"]["name"] for stage in made] == ["dpo", "ipo", "dpo"]
    assert [stage.config["reference"]["of"] for stage in made] == ["start", "base", "start"]


@pytest.mark.parametrize(("group", "heading"), [("recipe", "recipe"), ("experiment", "experiment")])
def test_tables_name_all_there_is(group, heading):
    table = PAGE.split(f"\n| {heading} |")[1].split("\n\n")[0]
    assert sorted(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == choices(group)
