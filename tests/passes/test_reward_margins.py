"""Margins of several reward models, kept under their weights, and what is made of them."""

from functools import partial

import pytest
import torch

from alignlab import load_policy
from alignlab.data.load import load_examples
from alignlab.data.spec import DataSpec
from alignlab.data.transforms.label_transform import label_transform
from alignlab.data.transforms.unlabelled_samples import unlabelled_samples
from alignlab.errors import ConfigError, DataError
from alignlab.lab import world
from alignlab.passes.reward_margins import reward_margins
from alignlab.policies.reward_model import RewardModel
from alignlab.recipes.ensemble import ensemble
from alignlab.types import Example
from tests.training.small import load_small


def reward_model(folder, seed):
    model, tokenizer = load_small(seed=seed)
    policy = RewardModel(RewardModel.adopt(model, tokenizer))
    torch.nn.init.normal_(policy.model.score.weight, generator=torch.Generator().manual_seed(seed))
    policy.export(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_rows_have_a_margin_of_each_model_kept_under_its_weights(tmp_path):
    folders = [reward_model(tmp_path / f"m{seed}", seed) for seed in (0, 1)]
    steps = {"reward_margins": partial(reward_margins, models=folders)}
    spec = DataSpec("lab", world.examples, limit=6, limit_validation=2, form="lists", steps=steps)
    rows = load_examples(spec, tmp_path / "cache")
    for row in rows.train:
        best, worst = row.labels.index(max(row.labels)), row.labels.index(min(row.labels))
        for folder, margin in zip(folders, row.meta["margins"], strict=True):
            values = load_policy(folder)(row.prompt, [turns[0]["content"] for turns in row.responses])[
                "values"
            ]
            assert margin == pytest.approx((values[best] - values[worst]).item(), abs=1e-4)
    assert not any("margins" in row.meta for row in rows.validation)
    before = [row.meta["margins"] for row in rows.train]
    reward_model(tmp_path / "m1", 2)  # other weights under the same name
    after = [row.meta["margins"] for row in load_examples(spec, tmp_path / "cache").train]
    assert [row[0] for row in after] == [row[0] for row in before]
    assert all(a[1] != b[1] for a, b in zip(after, before, strict=True))


def test_what_is_no_ensemble_is_told(tmp_path):
    with pytest.raises(DataError, match="name the model/ folders of reward models, or use recipe=ensemble"):
        list(reward_margins([]))
    model, tokenizer = load_small()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="is no reward model, and gives no values"):
        list(reward_margins([], models=[str(tmp_path)]))


@pytest.mark.parametrize(
    ("margins", "weak", "labels"),
    [
        ([1.0, 3.0], "flip", [2.0, 0.0]),
        ([-1.0, -3.0], "flip", [0.0, 2.0]),
        ([-1.0, -3.0], "smooth", [0.101, 0.1]),
        ([-1.0, -3.0], "keep", [0.001, 0.0]),
    ],
)
def test_the_mean_margin_may_be_the_gap_of_the_labels(margins, weak, labels):
    example = Example([], ["a", "b"], [1.0, 0.0], id="x", meta={"margins": margins})
    (row,) = label_transform(example, to="strength", weak=weak, margin=True)
    assert row.labels == pytest.approx(labels)


def test_samples_become_lists_that_do_not_count():
    example = Example([], ["a", "b"], [1.0, 0.0], id="x", meta={"samples": ["c", "d", "c"], "source": "s"})
    row, samples = unlabelled_samples(example)
    assert row is example
    assert (samples.weight, len(samples.responses), samples.id) == (0.0, 2, "x/samples")
    assert list(unlabelled_samples(example, split="validation")) == [example]
    assert len(list(unlabelled_samples(Example([], ["a"], [1.0], meta={"samples": ["c", "c"]})))) == 1


def test_members_see_the_same_rows_in_other_orders_and_the_last_stage_their_margins():
    *members, last = ensemble(["filter_length_ratio"], members=3, weak="drop")
    assert [spec.overrides for spec in members] == [(f"data.shuffle_seed={i}",) for i in (1, 2, 3)]
    assert all(spec.init == spec.reference == "base" for spec in (*members, last))
    assert last.judged
    assert last.overrides[0] == "pipeline=[filter_length_ratio,pairs,reward_margins,label_transform]"
    assert {"pipeline.label_transform.weak=drop", "objective=bt_margin"} <= {*last.overrides}
    *_, plain = ensemble(["pairs"], members=2, margin=False)
    assert plain.overrides[0] == "pipeline=[pairs,reward_margins,label_transform]"
    assert not any("bt_margin" in text for text in plain.overrides)
