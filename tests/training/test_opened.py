"""A stage is opened step by step: each step gives what the next one takes, and no more than was asked for."""

from dataclasses import replace
from functools import partial
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from alignlab.data.spec import SPLITS
from alignlab.data.transforms.joint import joint
from alignlab.data.transforms.order_by import order_by
from alignlab.errors import ConfigError, RunError
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.policy import NO_REFERENCES
from alignlab.runs.folder import RunFolder
from alignlab.training.checkpointing.checkpoints import Checkpoints
from alignlab.training.evaluate import evaluate
from alignlab.training.memory import MemoryProbe, memory_told
from alignlab.training.module import PreferenceModule
from alignlab.training.opened import Clock, load, open_rows, place, prepare, read
from alignlab.training.placing import CPU
from alignlab.training.spec import ReferenceSpec
from alignlab.training.stage import run_stage
from alignlab.training.trainer import make_trainer
from tests.training.small import load_small, small_stage


def refuse():
    raise AssertionError("nobody asked for this model")


def without_reference(stage):
    return replace(stage, reference=replace(stage.reference, load=refuse, is_start=False))


def test_rows_are_opened_without_a_reference(tmp_path):
    opened = open_rows(without_reference(small_stage(tmp_path)))
    assert [len(getattr(opened.splits, split)) for split in SPLITS] == [24, 8]
    assert opened.splits.train.cached == {}
    assert opened.report.steps["tokenize"] == {"in": 32, "out": 32}
    assert opened.tokenizer.decode(opened.splits.train.responses[0])
    with pytest.raises(AssertionError, match="nobody asked"):
        prepare(opened)


def test_each_step_is_timed_by_its_name(tmp_path):
    stage, clock = small_stage(tmp_path), Clock()
    examples = read(stage, clock)
    assert [*clock.seconds] == ["data"]
    opened = load(stage, examples, clock)
    assert [*clock.seconds] == ["data", "model", "tokenize"]
    prepare(place(opened, CPU))
    assert [*clock.seconds] == ["data", "model", "tokenize", "reference"]
    assert all(seconds > 0 for seconds in clock.seconds.values())


def test_rows_that_the_steps_visit_are_scored_by_the_reference(tmp_path):
    ready = prepare(open_rows(small_stage(tmp_path)), steps=2)
    rows = ready.opened.splits.train
    known = np.array([np.isfinite(rows.cached["ref_logps"][rows.members[i]]).all() for i in range(len(rows))])
    assert np.flatnonzero(known).tolist() == ready.loader.visited().tolist()
    assert (len(ready.loader), known.sum()) == (2, 16)
    assert (ready.mode, ready.references) == ("precomputed", NO_REFERENCES)
    policy, batch = ready.opened.policy, next(iter(ready.loader))[0]
    torch.testing.assert_close(policy(batch).logps.double(), batch.cached["ref_logps"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("mode", ["precomputed", "live"])
def test_other_references_have_a_column_each(mode, tmp_path):
    """In the order in which they are named; cached or live, the log-probabilities are those of their models."""
    seeds = (2, 1)
    others = [(f"seed {seed}", partial(load_small, seed=seed)) for seed in seeds]
    stage = small_stage(tmp_path, "mrpo", mode=mode)
    stage = replace(stage, reference=replace(stage.reference, others=others))
    ready = prepare(open_rows(stage), steps=1)
    batch, policy = next(iter(ready.loader))[0], ready.opened.policy
    with torch.no_grad():
        live = policy.signals(batch, ready.references, stage.objective.signals)
        expected = [CausalLM(load_small(seed=seed)[0])(batch).logps for seed in seeds]
    scores = batch.cached["other_ref_logps"] if mode == "precomputed" else live["other_ref_logps"]
    torch.testing.assert_close(scores.float(), torch.stack(expected, dim=2).float(), atol=1e-4, rtol=0)


def test_epochs_are_whole_passes_and_short_runs_validate_shortly(tmp_path):
    opened = open_rows(small_stage(tmp_path, data={"lists_per_step": 5}))
    assert len(prepare(opened, epochs=2).loader) == 2 * 5  # 24 lists in steps of 5
    short = prepare(opened, steps=1)
    validation, whole = [*short.opened.splits.validation.ids], [*opened.splits.validation.ids]
    assert len(validation) == 5
    assert validation == [name for name in whole if name in validation] != whole[:5]
    assert not short.validation.shuffle


@pytest.mark.parametrize("steps", [1, None])
def test_samples_are_asked_for_in_the_order_of_the_data(tmp_path, steps):
    """Neither an order that the pipeline gives, nor the validation rows of a short run, change the prompts."""
    lists = {"lists_per_step": 5}
    plain = prepare(open_rows(small_stage(tmp_path, data=lists)), steps=steps)
    by_length = partial(order_by, by="length")
    ordered = prepare(open_rows(small_stage(tmp_path, data=lists | {"steps": {"o": by_length}})), steps=steps)
    assert [*ordered.whole.ids] != [*plain.whole.ids]
    for count, asked in ((3, 3), (100, 5 if steps else 8)):
        first = [plain.whole.messages(i) for i in range(asked)]
        assert plain.prompts(count) == ordered.prompts(count) == first


def test_joint_lists_reach_the_steps_of_a_run_within_its_limit(tmp_path):
    ready = prepare(open_rows(small_stage(tmp_path, "dove", data={"steps": {"joint": joint}})))
    trained = [name for step in ready.loader for batch in step for name in batch.ids]
    assert len(trained) == 24
    assert 4 <= sum("~" in name for name in trained) <= 12
    report = ready.opened.report.steps["data.limit"]
    assert report["from joint kept"] + report["from source kept"] == report["out"] == 32


def test_the_precision_of_the_place_is_that_of_all_its_models(tmp_path):
    wide = replace(CPU, convert=lambda module: module.double())
    ready = prepare(open_rows(small_stage(tmp_path, mode="live"), wide))
    for model in (ready.opened.policy, ready.references[0]):
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}


def padded():
    """The small model with as many rows of embeddings more as make a multiple of 64, as they are padded for speed."""
    model, tokenizer = load_small()
    model.resize_token_embeddings(pad_to_multiple_of=64, mean_resizing=False)
    return model, tokenizer


def test_a_reference_of_another_width_is_refused_where_distributions_are_compared(tmp_path):
    wide = ReferenceSpec("live", "wide", padded, is_start=False)
    assert prepare(open_rows(small_stage(tmp_path / "dpo", reference=wide))).references[0] is not None
    opened = open_rows(small_stage(tmp_path / "kl", hyper={"regularizers": ["kl"]}, reference=wide))
    with pytest.raises(
        ConfigError, match=r"wide gives \d+ logits and the model that trains \d+, and the objective"
    ):
        prepare(opened)


def test_a_model_is_evaluated_as_the_run_begins(tmp_path):
    result = run_stage(small_stage(tmp_path / "run"), RunFolder(tmp_path / "run"))
    metrics = evaluate(small_stage(tmp_path / "again"))
    others = {"val/tokens_per_second", "val/logps_change/chosen", "val/logps_change/rejected"}
    assert metrics.keys() >= result.initial.keys() - others
    for name in result.initial.keys() - others:
        assert metrics[name] == pytest.approx(result.initial[name], abs=1e-5), name


def test_the_fingerprints_of_the_rows_are_told_before_training(tmp_path):
    def inputs_of(name, **changes):
        fingerprints = {}

        def refuse(what, parts):
            fingerprints[what] = parts
            if what == "tokens":
                raise RunError("refused")

        stage = replace(small_stage(tmp_path / name, **changes), on_input=refuse)
        with pytest.raises(RunError, match="refused"):
            run_stage(stage, RunFolder(tmp_path / name))
        return fingerprints

    first = inputs_of("a")
    assert [*first] == ["rows", "data", "tokens"]
    assert inputs_of("b") == first  # another cache, the same rows
    other = inputs_of("c", data={"limit": 16})
    assert {what: other[what]["train"] == first[what]["train"] for what in first} == dict.fromkeys(
        first, False
    )


@pytest.mark.parametrize("mode", ["precomputed", "live"])
def test_the_probe_for_memory_takes_the_largest_micro_batch_there_and_back(tmp_path, mode):
    ready = prepare(open_rows(small_stage(tmp_path, mode=mode)))
    policy, objective = ready.opened.policy, ready.opened.stage.objective
    module = PreferenceModule(policy, objective, Mock(), steps=1, references=ready.references)
    probe = MemoryProbe(ready.loader.largest(), budget=100)
    assert probe.largest.tokens.numel() >= max(
        batch.tokens.numel() for step in ready.loader for batch in step
    )
    seen, checkpoints = [], Checkpoints(tmp_path / "checkpoints")
    next(policy.parameters()).register_hook(lambda gradient: seen.append(bool(gradient.abs().sum() > 0)))
    probe.run(make_trainer(ready.opened.stage, RunFolder(tmp_path), checkpoints), module)
    assert seen
    assert all(seen)
    assert all(parameter.grad is None for parameter in policy.parameters())


def test_running_out_of_memory_names_the_setting_to_lower():
    with pytest.raises(RunError, match=r"data\.microbatch_tokens=4096: lower it"), memory_told(4096):
        raise torch.OutOfMemoryError
