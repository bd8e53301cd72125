"""The yaml files: all that ship are in order, every run of them composes, and errors name file and key."""

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from alignlab.claims.claim import names, read_claim, read_common
from alignlab.claims.runs_of import Plan
from alignlab.config import resolvers
from alignlab.config.stage_configs import planned, resolved
from alignlab.errors import ConfigError
from alignlab.places import CONF
from tests.repository import ROOT

CLAIMS = ROOT / "claims"
NAMES = names(CLAIMS)
GOOD = {
    "number": 1,
    "paper": "a paper",
    "claim": "a sentence",
    "seconds": 1,
    "arms": {"ours": {"runs": ["objective=ipo"]}, "theirs": {}},
    "comparisons": [
        {"metric": "gold/reward", "arms": ["ours"], "against": ["theirs"], "expect": "more", "margin": 0.2}
    ],
}


@pytest.fixture
def hydra():
    resolvers.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base=None):
        yield


def test_the_claims_there_are():
    claims = [read_claim(CLAIMS, name) for name in NAMES]
    assert [claim.number for claim in claims] == list(range(1, len(NAMES) + 1))
    assert all(len(told.arms) for claim in claims for told in claim.comparisons)


@pytest.mark.parametrize("name", NAMES)
def test_every_run_is_in_order(name, hydra):
    common = read_common(CLAIMS)
    for small in (False, True):
        plan = Plan(read_claim(CLAIMS, name), common, small)
        for arm in [*plan.claim.arms][: 1 if small else None]:
            job = plan.job(arm, 1, plan.values[-1] if plan.values else None)
            line = [text for text in job.overrides if "<" not in text]  # a model that is made before the run
            assert planned(resolved(compose("train", overrides=line)), line, [], "train")


def test_the_ledger_fits_in_three_hours_of_two_cores():
    common = read_common(CLAIMS)
    plans = [Plan(read_claim(CLAIMS, name), common) for name in NAMES]
    assert sum(plan.count() * plan.claim.seconds for plan in plans) / 2 < 3 * 3600


def write(folder, **changes):
    (folder / "one.yaml").write_text(yaml.safe_dump({**GOOD, **changes}))
    return folder


def test_a_good_one(tmp_path):
    claim = read_claim(write(tmp_path), "one")
    assert claim.comparisons[0].title == "gold/reward: ours against theirs"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verdict": "holds"}, r"one.yaml: verdict: valid names"),
        ({"measures": ["rankings"]}, r"measures=rankings: did you mean 'ranking'"),
        ({"arms": {}}, r"arms: expected at least one"),
        ({"arms": {"ours": {"run": []}}}, r"arms.ours: run: did you mean 'runs'"),
        ({"arms": {"ours": {}, "theirs": {"tuned_as": "our"}}}, r"tuned_as=our: did you mean 'ours'"),
        (
            {"arms": {"ours": {"tuned_as": "theirs"}, "theirs": {"tuned_as": "ours"}}},
            r"it is not searched itself",
        ),
        ({"search": {"key": "optimizer.lr"}}, r"search: values is not there"),
    ],
)
def test_what_a_claim_must_not_hold(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        read_claim(write(tmp_path, **changes), "one")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expect": "mor"}, r"expect=mor: did you mean 'more'"),
        ({"arms": ["our"]}, r"arms=our: did you mean 'ours'"),
        ({"margin": 0}, r"margin=0: expected a number above 0"),
        ({"against": ["ours", "theirs"]}, r"against: expected as many arms"),
        ({"arms": ["ours", "theirs"], "against": []}, r"fold: several arms take slope"),
        ({"fold": "slop"}, r"fold=slop: did you mean 'slope'"),
    ],
)
def test_what_a_comparison_must_not_hold(tmp_path, changes, message):
    told = [{**GOOD["comparisons"][0], **changes}]
    with pytest.raises(ConfigError, match=message):
        read_claim(write(tmp_path, comparisons=told), "one")


def test_seeds(tmp_path):
    told = {"runs": [], "small": [], "seeds": [1, 2, 3, 4, 5], "tuning_seeds": [5]}
    (tmp_path / "common.yaml").write_text(yaml.safe_dump(told))
    with pytest.raises(ConfigError, match=r"must not judge them: \[5\]"):
        read_common(tmp_path)
    (tmp_path / "common.yaml").write_text(yaml.safe_dump({**told, "seeds": [1, 2]}))
    with pytest.raises(ConfigError, match="at least 5"):
        read_common(tmp_path)
    with pytest.raises(ConfigError, match="no claim 'two'"):
        read_claim(write(tmp_path), "two")
