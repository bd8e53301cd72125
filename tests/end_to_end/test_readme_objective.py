"""README's example of a new objective, typed as printed into a copy of the checkout: it trains, and is tested."""

import re
import subprocess
import sys

import pytest

from tests.end_to_end.command import SMALL, environment, summary
from tests.repository import ROOT

SECTION = (
    (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Add an objective\n")[1].split("\n## ")[0]
)
FILES = {
    text.splitlines()[0].removeprefix("# "): text
    for text in re.findall(r"```\w+\n(.*?)```", SECTION, re.DOTALL)
}
ITS_OWN = "hinge and not rso_hinge and not pair_hinge"
TESTS = (
    "tests/invariants",
    "tests/losses",
    "tests/verbs/test_objectives.py",
    "tests/scripts/test_make_docs.py",
)


@pytest.fixture
def checkout(tmp_path):
    """A copy of the tracked files, with those of the example."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("no git checkout")
    for name in tracked.stdout.splitlines():
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((ROOT / name).read_bytes())
    for name, text in FILES.items():
        assert not (tmp_path / "checkout" / name).exists()
        (tmp_path / "checkout" / name).write_text(text, encoding="utf-8")
    return tmp_path / "checkout"


@pytest.mark.slow
def test_it_trains_and_is_under_every_law(checkout, cache):
    assert set(FILES) == {"alignlab/losses/pairs/hinge.py", "conf/objective/hinge.yaml"}

    def run(*command):
        return subprocess.run(
            [sys.executable, *command],
            cwd=checkout,
            env=environment(cache),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    trained = run("train.py", "objective=hinge", *SMALL, "trainer.max_steps=2", "hydra.run.dir=run")
    assert trained.returncode == 0, trained.stderr
    assert (summary(checkout / "run")["objective"], summary(checkout / "run")["steps"]) == ("hinge", 2)
    tested = run("-m", "pytest", *TESTS, "-p", "no:cacheprovider", "-o", "addopts=-q", "-k", ITS_OWN)
    assert tested.returncode == 0, tested.stdout
    laws = int(re.search(r"(\d+) passed", tested.stdout)[1])
    assert laws > 20
