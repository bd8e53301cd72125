"""Stages that draw their own lists: every objective, killed anywhere and gone on with, bad judges."""

import csv
import json
import math
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from alignlab.assembly.build import make_policy
from alignlab.errors import AlignlabError, RunError
from alignlab.judges.gold import Gold
from alignlab.judges.implicit import ImplicitJudge
from alignlab.judges.judge import Judged
from alignlab.lab import world
from alignlab.online import steps
from alignlab.online.listed import of_line
from alignlab.online.rows import with_samples
from alignlab.online.settings import OnlineSpec
from alignlab.online.written import Rollouts
from alignlab.policies.actor_critic import ActorCritic
from alignlab.policies.causal_lm.adapter_settings import PeftSettings
from alignlab.policies.causal_lm.adapters import lora
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.runs.folder import RunFolder
from alignlab.sampling.in_process import InProcess
from alignlab.sampling.scored import batch_of, token_logps
from alignlab.training.settings import MovingSpec
from alignlab.training.spec import Online
from alignlab.training.stage import run_stage
from alignlab.training.strategies.engine import Engine
from tests.training.small import load_small, small_stage


class Told:
    """A judge that says what a function says of each list."""

    identity = "told"

    def __init__(self, say):
        self.say = say

    def __call__(self, asked):
        return [self.say(one) for one in asked]


def drawing(folder, objective="dpo", judge=Gold, builder=None, changes=None, **spec):
    online = Online(OnlineSpec(**{"samples": 4, "max_new_tokens": 8, **spec}), judge)
    if builder:
        online = replace(online, builder=builder, built=builder.__name__)
    stage = small_stage(folder, objective, online=online, **(changes or {}))
    return replace(stage, data=replace(stage.data, lists_per_step=4))


def train(stage, folder):
    return run_stage(stage, RunFolder(folder))


def ids(folder):
    """The ids of all prompts that were drawn for, in their order."""
    files = sorted((folder / "rollouts").glob("step-*.jsonl"))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [row["id"] for row in rows if "id" in row]


def same(one, other):
    return all(
        torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True)
    )


def gone_on_with(folder, monkeypatch, *, update, **spec):
    """A run that nothing stops; one that died in an update, and was gone on with, has to come to the same."""
    whole, run = folder / "whole", folder / "run"
    done = train(drawing(whole, **spec), whole)
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "update", stopping(Engine.update, update, after=False))
        with pytest.raises(Killed):
            train(drawing(run, **spec), run)
    assert same(train(drawing(run, **spec), run), done)
    assert ids(run) == ids(whole)
    return whole


def measured(folder, name):
    """What a run wrote of one measure, in its order."""
    rows = csv.DictReader((folder / "metrics.csv").read_text().splitlines())
    return [float(row[name]) for row in rows if row.get(name)]


def nobody():
    """The judge of lists that need none."""


SAMPLED = {"hyper": {"regularizers": ["hypo"]}, "trainer": {"max_steps": 2}}


def test_lists_of_the_data_train_beside_samples_and_are_gone_on_with(tmp_path, monkeypatch):
    spec = {"lists": "data", "samples": 2, "judge": nobody, "changes": SAMPLED}
    run = gone_on_with(tmp_path, monkeypatch, update=2, **spec)
    sampled = measured(run, "val/kl_sampled")
    assert sampled[0] == pytest.approx(0, abs=1e-6)
    assert sampled[-1] != sampled[0]
    assert measured(run, "online/kl")[0] == pytest.approx(0, abs=1e-6)


REFINED = {"hyper": {"window": 8, "quiet": 0.0}, "trainer": {"max_steps": 4}}


def test_what_the_data_have_is_chosen_over_what_is_drawn_and_a_threshold_is_gone_on_with(
    tmp_path, monkeypatch
):
    spec = {"lists": "against_data", "samples": 1, "every": 2, "judge": nobody, "objective": "spa"}
    run = gone_on_with(tmp_path, monkeypatch, update=4, **spec, changes={**REFINED})
    thresholds = measured(run, "train/spa/threshold")
    assert thresholds[:2] == [0, 0]
    assert any(thresholds)
    drawn = Rollouts(run).past(2)
    assert {(len(one.texts), one.labels, one.rollout.version) for one in drawn.lists} == {(1, (0.0,), 2)}
    assert measured(run, "train/behavior_gap") == []  # nobody drew what is chosen


def test_what_the_data_have_is_no_sample_of_the_policy(tmp_path, monkeypatch):
    beside = []
    monkeypatch.setattr(steps, "with_samples", lambda rows, samples: with_samples(rows, seen(samples)))

    def seen(samples):
        beside.append([[ids.tolist() for ids in of_list] for of_list in samples])
        return samples

    changes = {**SAMPLED, "trainer": {"max_steps": 1}}
    train(drawing(tmp_path, lists="against_data", samples=2, judge=nobody, changes=changes), tmp_path)
    drawn = Rollouts(tmp_path).past(0).trained
    assert beside[-1] == [[ids.tolist() for ids in one.rollout.responses] for one in drawn]
    assert {len(of_list) for of_list in beside[-1]} == {2}


def test_a_round_of_pairs_that_the_policy_labels_itself_is_gone_on_with(tmp_path, monkeypatch):
    config = {
        "policy": {"_target_": "alignlab.policies.causal_lm.model.CausalLM"},
        "objective": {"loss": {"decoupling": 0.5}},
    }
    changes = {
        "hyper": {**REFINED["hyper"], "decoupling": 0.5},
        "trainer": {"max_steps": 4},
        "make_policy": partial(make_policy, config),
        "load_initial": partial(load_small, seed=1),
    }
    judge = partial(ImplicitJudge, reference="initial")
    spec = {"objective": "spa", "judge": judge, "samples": 2, "every": 0, "changes": changes}
    run = gone_on_with(tmp_path, monkeypatch, update=4, **spec)
    assert [file.name for file in (run / "rollouts").iterdir()] == ["step-000000.jsonl"]
    assert any(measured(run, "train/spa/threshold"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Stages that nothing stops, by their settings."""
    results = {}

    def trained(**spec):
        key = tuple(sorted(spec.items()))
        if key not in results:
            folder = tmp_path_factory.mktemp("whole")
            results[key] = (
                train(drawing(folder, **spec, changes={"trainer": {"max_steps": 3}}), folder),
                folder,
            )
        return results[key]

    return trained


class Killed(BaseException):
    """Ends a process where it stands."""


class Stops:
    """A judge that ends the process at its nth call, before or after it has said something."""

    def __init__(self, call):
        self.call, self.gold, self.identity = call, Gold(), Gold().identity

    def __call__(self, asked):
        self.call -= 1
        if self.call == 0:
            raise Killed
        return self.gold(asked)


PLACES = {"drawing": (InProcess, "draw"), "writing": (Rollouts, "write"), "update": (Engine, "update")}


def killed(monkeypatch, folder, where, call, steps=3, **spec):
    """Train until something ends the process: at the nth call, or behind it where files are written."""
    stage = drawing(folder, **spec, changes={"trainer": {"max_steps": steps}})
    if where == "judging":
        judge = Stops(call + 1)  # the first call is the probe of the start
        stage = replace(stage, online=replace(stage.online, make_judge=lambda: judge))
    with monkeypatch.context() as patch:
        if where in PLACES:
            owner, method = PLACES[where]
            patch.setattr(owner, method, stopping(getattr(owner, method), call, after=where == "writing"))
        with pytest.raises(Killed):
            train(stage, folder)


def stopping(function, call, *, after):
    def called(*arguments, **keywords):
        nonlocal call
        call -= 1
        if call == 0 and not after:
            raise Killed
        value = function(*arguments, **keywords)
        if call == 0:
            raise Killed
        return value

    return called


@pytest.mark.parametrize(("where", "call"), [("drawing", 2), ("judging", 3), ("writing", 3), ("update", 1)])
def test_killed_anywhere_it_ends_bit_equal_with_every_prompt_once(where, call, whole, tmp_path, monkeypatch):
    result, folder = whole()
    killed(monkeypatch, tmp_path, where, call)
    again = train(drawing(tmp_path, changes={"trainer": {"max_steps": 3}}), tmp_path)
    assert same(again, result)
    assert ids(tmp_path) == ids(folder)
    assert len({*ids(tmp_path)}) == len(ids(tmp_path)) >= 12
    files = [sorted((run / "rollouts").glob("*.jsonl")) for run in (tmp_path, folder)]
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]


def test_killed_within_a_round_it_ends_bit_equal(tmp_path, monkeypatch):
    spec = {"every": 2, "updates": 2, "buffer": {"size": 6, "choose": "weighted"}}
    result = train(
        drawing(tmp_path / "whole", **spec, changes={"trainer": {"max_steps": 6}}), tmp_path / "whole"
    )
    run = tmp_path / "run"
    killed(monkeypatch, run, "update", 4, steps=6, **spec)
    again = train(drawing(run, **spec, changes={"trainer": {"max_steps": 6}}), run)
    assert same(again, result)
    assert ids(run) == ids(tmp_path / "whole")


def test_a_torn_file_ahead_is_drawn_again_and_one_behind_is_told(whole, tmp_path, monkeypatch, caplog):
    result, _ = whole()
    killed(monkeypatch, tmp_path, "update", 3)
    file = Rollouts(tmp_path).file(2)
    file.write_text(file.read_text().replace("lab-train", "lab-trein", 1))
    shutil.copytree(tmp_path, tmp_path / "copy")
    assert same(train(drawing(tmp_path, changes={"trainer": {"max_steps": 3}}), tmp_path), result)
    assert "is torn" in caplog.text
    Rollouts(tmp_path / "copy").file(1).unlink()
    with pytest.raises(
        RunError, match=r"step-000001\.jsonl is gone, and the weights that drew it have moved on"
    ):
        train(drawing(tmp_path / "copy", changes={"trainer": {"max_steps": 3}}), tmp_path / "copy")


def test_the_first_step_is_of_log_ratios_0_and_of_what_was_drawn(whole):
    _, folder = whole()
    assert measured(folder, "train/loss")[0] == pytest.approx(math.log(2), abs=1e-7)
    assert measured(folder, "online/kl")[0] == 0
    lists = [of_line(json.loads(line)) for line in Rollouts(folder).file(0).read_text().splitlines()[1:-1]]
    rewards = [reward for one in lists for reward in one.judged.rewards]
    assert measured(folder, "online/reward")[0] == pytest.approx(sum(rewards) / len(rewards))
    model = load_small()[0]
    for one, scored in zip(lists, token_logps(model, [one.rollout for one in lists]), strict=True):
        for ours, theirs in zip(one.rollout.token_logps, scored, strict=True):
            assert ours == pytest.approx(theirs, abs=1e-5)


class Half(Gold):
    """A judge that waits, and ties the lists of prompts with an odd number."""

    waits = True

    def __call__(self, asked):
        return [
            Judged(rewards=(0.0,) * len(one.responses)) if int(one.id.split("#")[0][-1]) % 2 else said
            for one, said in zip(asked, super().__call__(asked), strict=True)
        ]


def test_lists_that_are_drawn_ahead_have_their_age_and_are_gone_on_with(tmp_path, monkeypatch):
    spec = {"judge": Half, "ahead": 2, "changes": {"trainer": {"max_steps": 5}}}
    done = train(drawing(tmp_path / "whole", **spec), tmp_path / "whole")
    ages = measured(tmp_path / "whole", "online/staleness")
    drawn = [Rollouts(tmp_path / "whole").past(step) for step in range(5)]
    versions = [[one.rollout.version for one in of_step.trained] for of_step in drawn]
    assert ages == [step - sum(own) / len(own) for step, own in enumerate(versions)]
    first = [{one.rollout.version for one in of_step.lists[:4]} for of_step in drawn]
    assert first == [{max(0, step - 2)} for step in range(5)]  # and what takes the place of others is newer
    gaps = measured(tmp_path / "whole", "train/behavior_gap")
    assert gaps[0] < 1e-4 < gaps[-1]
    for where, call in (("drawing", 6), ("update", 4)):
        run = tmp_path / where
        with monkeypatch.context() as patch:
            owner, method = PLACES[where]
            patch.setattr(owner, method, stopping(getattr(owner, method), call, after=False))
            with pytest.raises(Killed):
                train(drawing(run, **spec), run)
        shutil.copytree(run, tmp_path / "gone", dirs_exist_ok=True)
        assert same(train(drawing(run, **spec), run), done)
        assert ids(run) == ids(tmp_path / "whole")
        assert len({*ids(run)}) == len(ids(run))
    Rollouts(tmp_path / "gone").file(3).unlink()
    with pytest.raises(
        RunError, match=r"step-000003\.jsonl is gone, and the weights that drew it have moved on"
    ):
        train(drawing(tmp_path / "gone", **spec), tmp_path / "gone")


def test_as_many_prompts_follow_as_are_likely_to_do_and_no_more_lists_are_trained_on(tmp_path):
    train(drawing(tmp_path, judge=Half, changes={"trainer": {"max_steps": 2}}), tmp_path)
    for step in range(2):
        drawn = Rollouts(tmp_path).past(step)
        assert len(drawn.trained) == 4
        reasons = [one.dropped for one in drawn.lists if one.dropped]
        assert {*reasons} <= {"all tied", "more than were wanted"}


class TiesFirst:
    """A judge that ties the first list of each draw."""

    identity = "ties first"

    def __call__(self, asked):
        several = len(asked) > 1  # neither the probe of the start, nor what takes the place of a list
        return [
            Judged(rewards=tuple(k * float(place > 0 or not several) for k in range(len(one.responses))))
            for place, one in enumerate(asked)
        ]


@pytest.mark.parametrize(("objective", "dropped"), [("dpo", 1), ("dapo", 1), ("rloo", 0)])
def test_tied_lists_give_way_to_the_next_prompts_unless_the_objective_counts_them(
    objective, dropped, tmp_path
):
    stage = drawing(tmp_path, objective, TiesFirst, changes={"trainer": {"max_steps": 1}})
    train(stage, tmp_path)
    drawn = Rollouts(tmp_path).past(0)
    assert len([one for one in drawn.lists if one.dropped == "all tied"]) == dropped
    assert (len(drawn.trained), len(drawn.lists), drawn.after) == (4, 4 + dropped, 4 + dropped)


def test_a_policy_labels_by_its_log_ratio_to_the_model_that_the_run_began_with(tmp_path):
    first = partial(load_small, seed=1)
    changes = {"trainer": {"max_steps": 1}, "load_initial": first}
    train(drawing(tmp_path, judge=partial(ImplicitJudge, reference="initial"), changes=changes), tmp_path)
    lists, (model, tokenizer) = Rollouts(tmp_path).past(0).lists, first()
    read = 0
    for one, scored in zip(lists, token_logps(model, [one.rollout for one in lists]), strict=True):
        drawn = zip(one.rollout.responses, one.texts, strict=True)
        for k, (ids, text) in enumerate(drawn):
            if tokenizer(text)["input_ids"] == ids.tolist():  # random ids may spell another text
                ratio = one.rollout.token_logps[k].sum() - scored[k].sum()
                assert one.judged.rewards[k] == pytest.approx(ratio, abs=1e-3)
                read += 1
    assert read > 4


@pytest.mark.parametrize("adapted", [False, True])
def test_xpo_has_one_response_of_each_list_drawn_from_the_reference(adapted, tmp_path):
    load = partial(lora, load_small, PeftSettings("lora", r=2), "CAUSAL_LM") if adapted else load_small
    stage = drawing(tmp_path, "xpo", samples=3, changes={"trainer": {"max_steps": 2}, "load_model": load})
    train(replace(stage, reference=replace(stage.reference, adapters_off=adapted)), tmp_path)
    lists, reference = Rollouts(tmp_path).past(1).trained, load_small()[0]
    for one, scored in zip(lists, token_logps(reference, [one.rollout for one in lists]), strict=True):
        gaps = [np.abs(a - b).max() for a, b in zip(one.rollout.token_logps, scored, strict=True)]
        assert [gap < 1e-5 for gap in gaps] == [False, False, True]
        assert [value.item() for value in one.told["from_reference"]] == [0, 0, 1]
    first = Rollouts(tmp_path).past(0).lists  # drawn by one model, with other noise
    assert any(len({*one.texts}) > 1 for one in first)
    assert sum(one.texts[2] in one.texts[:2] for one in first) < len(first)
    assert any(value < 0 for value in measured(tmp_path, "train/xpo/from_reference"))


def test_adapters_and_moving_references_train_on_their_own_lists(tmp_path):
    base = drawing(tmp_path)
    adapted = partial(lora, load_small, PeftSettings("lora", r=2), "CAUSAL_LM")
    reference = replace(base.reference, adapters_off=True)
    done = train(replace(base, load_model=adapted, reference=reference), tmp_path)
    assert done.facts["reference"]["mode"] == "adapter"
    moving = replace(base.reference, moving=MovingSpec("ema", 1, 0.5))
    assert train(replace(base, reference=moving), tmp_path / "ema").status == "finished"


def test_the_policy_of_a_config_scores_at_the_temperature_of_its_draws(tmp_path):
    config = {
        "policy": {"_target_": "alignlab.policies.causal_lm.model.CausalLM"},
        "online": {"temperature": 0.5},
    }
    changes = {"trainer": {"max_steps": 1}, "make_policy": partial(make_policy, config)}
    train(drawing(tmp_path, "cispo", temperature=0.5, changes=changes), tmp_path)
    lists = Rollouts(tmp_path).past(0).trained
    policy = make_policy(config, load_small()[0])
    with torch.no_grad():
        scored = policy(batch_of([one.rollout for one in lists])).token_logps
    drawn = np.concatenate([values for one in lists for values in one.rollout.token_logps])
    assert drawn == pytest.approx(scored.numpy(), abs=1e-5)


def test_little_room_is_told(tmp_path, caplog):
    stage = drawing(tmp_path, max_new_tokens=505, changes={"trainer": {"max_steps": 1}})
    stage = replace(stage, data=replace(stage.data, lists_per_step=1))
    train(stage, tmp_path)
    assert "leave less than online.max_new_tokens=505" in caplog.text


def test_a_judge_that_gives_all_the_same_or_raises_ends_the_run_with_one_message(tmp_path):
    for number, (say, message) in enumerate(BAD):
        folder = tmp_path / str(number)
        with pytest.raises(AlignlabError, match=message):
            train(drawing(folder, judge=lambda say=say: Told(say), refills=2), folder)


BAD = [
    (lambda one: Judged(rewards=(1.0,) * len(one.responses)), "all tied: 12.*judge gives all responses"),
    (lambda one: 1 / 0, "judge told.*division by zero"),
]


def test_ratio_losses_and_a_critic_train_on_prompts_without_scores(tmp_path):
    def prompts(*, split, size):
        for example in world.examples(split=split, size=size):
            yield replace(example, responses=example.responses[:1], labels=[1.0], rewards=None)

    for name, policy in (("grpo", CausalLM), ("ppo", ActorCritic)):
        changes = {
            "trainer": {"max_steps": 2},
            "make_policy": policy,
            "data": {"source": prompts, "form": "single", "limit": 24, "limit_validation": 8},
        }
        done = train(drawing(tmp_path / name, name, changes=changes), tmp_path / name)
        assert math.isfinite(done.final["val/loss"])
    of_tokens = Rollouts(tmp_path / "ppo").past(1).lists[0].told["token_behavior_values"]
    assert [len(values) for values in of_tokens] == [
        len(ids) for ids in Rollouts(tmp_path / "ppo").past(1).lists[0].rollout.responses
    ]
