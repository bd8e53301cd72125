"""States of prompts are what the model gives each alone; a classifier on them finds planted kinds of prompts."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from alignlab.data.batching.batches import collate
from alignlab.data.transforms.desirable_probs import desirable_probs
from alignlab.lab import world
from alignlab.passes.prompt_classifier import prompt_means
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.runs.folder import RunFolder
from alignlab.training.opened import open_rows
from alignlab.training.stage import run_stage
from alignlab.types import Example
from tests.training.small import load_small, small_stage

PLANTED = {
    "up": {"topics": ["bat"]},
    "down": {"topics": ["fox"]},
    **{name: {"topics": ["cow"]} for name in ("both", "alike")},
}
"""Prompts about bats are of the desirable data alone, about foxes of the undesirable data, about cows of both."""


def thumbs(example: Example):
    """One response a row, liked or not by the source of the row."""
    liked = example.meta["source"] in ("up", "both")
    yield replace(example, responses=example.responses[:1], labels=[float(liked)], rewards=None, meta={})


def planted(folder, name="bco", **hyper):
    steps = {"thumbs": thumbs, "desirable_probs": desirable_probs}
    source = partial(world.examples, sources=PLANTED)
    data = {"source": source, "steps": steps, "limit": 160, "limit_validation": 64}
    return small_stage(folder, name, data=data, hyper=hyper)


@pytest.mark.parametrize("packing", ["auto", "off"])
@torch.no_grad()
def test_states_are_means_over_each_prompt_alone(tmp_path, packing):
    rows = open_rows(small_stage(tmp_path)).splits.train
    model = load_small(torch.float64)[0]
    means = prompt_means(collate(rows, range(len(rows))), CausalLM(model, packing=packing))
    for index in range(0, len(rows), 5):
        ids = torch.tensor(rows.prompts[index].astype(np.int64))[None]
        hidden = model(input_ids=ids, output_hidden_states=True).hidden_states[-1][0]
        torch.testing.assert_close(means[index], hidden.mean(0), atol=1e-9, rtol=0)


def test_planted_prompts_are_told_apart_and_their_probabilities_kept(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    opened = open_rows(planted(tmp_path, udm=True))
    for rows in (opened.splits.train, opened.splits.validation):
        found = {"bat": [], "fox": [], "cow": []}
        for i in range(len(rows)):
            animal = next(name for name in found if name in rows.messages(i)[0]["content"].lower())
            found[animal] += rows.cached["desirable_probs"][rows.members[i]].tolist()
        bat, fox, cow = (np.mean(values) for values in found.values())
        assert fox < 0.35 < 0.4 < cow < 0.6 < 0.65 < bat
    monkeypatch.setattr(CausalLM, "encode", None)
    again = open_rows(planted(tmp_path, udm=True)).splits
    for split in ("train", "validation"):
        old, new = (getattr(splits, split).cached["desirable_probs"] for splits in (opened.splits, again))
        np.testing.assert_array_equal(old, new)


def test_bco_trains_on_the_odds(tmp_path, caplog):
    pytest.importorskip("sklearn")
    results = {}
    for udm in (True, False):
        results[udm] = run_stage(planted(tmp_path / str(udm), udm=udm), RunFolder(tmp_path / str(udm)))
    assert results[True].final["val/loss"] < results[True].initial["val/loss"]
    assert results[True].initial["val/loss"] != results[False].initial["val/loss"]
    left = (
        "pipeline step 'desirable_probs' is left out, for objective 'bco' does not take its desirable_probs"
    )
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [left]
