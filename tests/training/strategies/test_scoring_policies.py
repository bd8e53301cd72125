"""Policies that score responses on two ranks: trained as by one process, and gone on with where they stopped."""

from functools import partial

import pytest
import torch

from alignlab import ranks
from alignlab.assembly.build import call
from alignlab.data.transforms.unlabelled_samples import unlabelled_samples
from alignlab.lab import world
from alignlab.objective.load import read_choice
from alignlab.policies.attribute_model import AttributeModel
from alignlab.policies.preference_model import PreferenceModel
from alignlab.policies.reward_model import RewardModel
from alignlab.policies.user_model import UserModel
from alignlab.runs.folder import RunFolder
from alignlab.training.settings import CheckpointSpec
from alignlab.training.stage import run_stage
from tests.training.small import load_small, small_stage
from tests.training.strategies.group import on_ranks

pytestmark = pytest.mark.slow

USERS = {"long": {"length": 0.4}, "brief": {"length": -0.4}}
RATED = {"attributes": ["quality", "length"], "gate_width": 4}
DATA = {"microbatch_tokens": 200, "lists_per_step": 7}


def with_samples(**settings):
    """The lab's rows, every other one with a list of weight 0 behind it."""
    for number, row in enumerate(world.examples(**settings)):
        row.meta["samples"] = row.responses[:3] if number % 2 else []
        yield from unlabelled_samples(row, split=settings["split"])


CASES = {
    "reward": (RewardModel, "bradley_terry", {}, {}),
    "preference": (PreferenceModel, "gpm", {"dimension": 4}, {}),
    "user": (UserModel, "pal", {"users": [*USERS], "width": 8}, {"source": partial(world.examples, users=USERS)}),
    "ratings": (AttributeModel, "attribute_regression", {**RATED, "fit": "attributes"}, {}),
    "gate": (AttributeModel, "bradley_terry", {**RATED, "verbosity": "length", "dropout": 0.0}, {}),
    "meta": (RewardModel, "bradley_terry", {}, {"source": with_samples, "limit": 36}),
}  # fmt: skip
"""Policy, objective, settings of the policy, and of the data."""


def load(policy, settings):
    """The small model as such a policy wraps it."""
    model, tokenizer = load_small()
    options = {name: value for name, value in settings.items() if name != "packing"}
    return policy.adopt(model, tokenizer, **options), tokenizer


def sgd(policy, steps, count):
    """Momentum, so that there is a state to restore; without a schedule, so that the first steps are of any run."""
    optimizer = torch.optim.SGD([w for w in policy.parameters() if w.requires_grad], lr=0.05, momentum=0.5)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)


def trained(folder, case, engine, steps):
    """The trained model's weights and buffers by name, and the accuracy, on the first rank."""
    policy, objective, settings, data = CASES[case]
    changes = {} if engine is None else {"engine": call(read_choice("strategy", engine)["engine"], engine)()}
    meta = {"meta_rate": 0.5} if case == "meta" else {}
    stage = small_stage(
        folder,
        objective,
        data={**DATA, **data},
        trainer={"max_steps": steps, "devices": ranks.world(), **meta},
        load_model=partial(load, policy, settings),
        make_policy=partial(policy, **settings),
        make_optimizer=sgd,
        checkpoint=CheckpointSpec(every_n_steps=2),
        **changes,
    )
    result = run_stage(stage, RunFolder(folder, writes=ranks.main()))
    state = {name: value.clone() for name, value in result.model.state_dict().items()}
    start = load(policy, settings)[0].state_dict()
    return state, result.final, start


def matrix(base, engine):
    """Each case, in one go and in two."""
    outcomes = {}
    for case in CASES:
        whole = trained(base / f"{engine}-{case}", case, engine, 4)
        trained(base / f"{engine}-{case}-twice", case, engine, 2)
        twice = trained(base / f"{engine}-{case}-twice", case, engine, 4)
        outcomes[case] = (*whole, twice[0])
    return outcomes if ranks.main() else None


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return matrix(tmp_path_factory.mktemp("alone"), None)


@pytest.mark.parametrize("engine", ["ddp", "fsdp2"])
def test_two_ranks_train_as_one_and_go_on_where_they_stopped(engine, alone, tmp_path):
    for case, (weights, metrics, _, resumed) in on_ranks(2, matrix, tmp_path, engine)[0].items():
        expected, reached, start, _ = alone[case]
        assert gap(expected, start) > 1e-3, case
        assert gap(weights, expected) < 1e-5, case
        assert metrics["val/loss"] == pytest.approx(reached["val/loss"], abs=1e-5), case
        assert gap(weights, resumed) == 0, case


def gap(one, other):
    """The largest difference of two states, by the size of each tensor: the weights of a regression are large."""
    assert one.keys() == other.keys()
    sizes = {name: max(1.0, value.abs().max().item()) for name, value in other.items() if value.numel()}
    return max((one[name] - other[name]).abs().max().item() / size for name, size in sizes.items())
