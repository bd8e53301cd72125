"""Every yaml of conf/ composes, is checked, and builds; files are found, not listed."""

from dataclasses import MISSING, fields
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import save_file

from alignlab.assembly.build import build_data, build_stage, make_optimizer
from alignlab.assembly.schema import SCHEMA, at
from alignlab.places import choices
from alignlab.runs.folder import RunFolder
from alignlab.training.spec import Stage
from tests.config.compose import STORIES, composed, group, problem
from tests.repository import ROOT
from tests.training.small import small_policy

MULTI_SELECT = ("regularizers", "modifiers", "pipeline", "logger")
GROUPS = sorted(folder.name for folder in (ROOT / "conf").iterdir() if any(folder.glob("*.yaml")))
OF_SAMPLES = ("hypo",)
"""Regularizers that take samples of the policy as it trains."""
OF_VALUES = ("ties", "simcse", "swav")
"""Regularizers of reward models."""
TRAINED = [name for name in group("regularizers") if name not in (*OF_SAMPLES, *OF_VALUES)]
ELSEWHERE = [
    ("judge", name) for name in choices("judge") if name not in ("gold", "function", "implicit", "self")
]
"""Judges that are models of a folder or a server, or stand in a program: their own tests build them."""
CHOICES = [(name, choice) for name in GROUPS for choice in group(name) if (name, choice) not in ELSEWHERE]
NEEDS = {
    "reference=none": ["objective=simpo"],
    "generator=server": ["generator.url=http://127.0.0.1:8000"],
    "generator=vllm": ["generator.url=http://127.0.0.1:8000"],
    "reference=adapter": ["peft=lora"],
    "objective=bradley_terry": ["policy=reward_model"],
    "objective=plackett_luce_values": ["policy=reward_model"],
    **{
        f"objective={name}": ["policy=reward_model"]
        for name in ("bt_margin", "softmax_values", "regression", "more")
    },
    "judge=gold": ["recipe=online"],
    "judge=function": ["recipe=online", "judge.function=math.sqrt"],
    "judge=implicit": ["recipe=online"],
    "judge=self": ["recipe=online"],
    "judge=self_rubric": ["recipe=online"],
    **{f"pairs={name}": ["recipe=online"] for name in choices("pairs")},
    "pairs=rejection_sampling": ["recipe=online", "online.samples=8"],
    "draw=tree": ["recipe=online"],
    "draw=segments": ["recipe=online", "~judge"],
    "model=sums": ["data=sums"],
    "evaluation=sums": ["data=sums"],
    "policy=reward_model": ["objective=bradley_terry"],
    "objective=gpm": ["policy=preference_model"],
    "objective=pal": ["policy=reward_model"],
    "objective=ppo": ["policy=actor_critic"],
    "modifiers=[truncated_is]": ["objective=grpo"],
    "policy=user_model": ["objective=pal", "policy.users=[anna]"],
    "policy=preference_model": ["objective=gpm"],
    "policy=classifier": ["objective=p2c"],
    "objective=p2c": ["policy=classifier"],
    "policy=reranker": ["objective=dpa_rag"],
    "objective=dpa_rag": ["policy=reranker"],
    "policy=attribute_model": ["objective=bradley_terry", "policy.attributes=[quality]"],
    "objective=attribute_regression": [
        "policy=attribute_model",
        "policy.attributes=[quality]",
        "policy.fit=attributes",
    ],
    **{f"regularizers=[{name}]": ["policy=reward_model", "objective=bradley_terry"] for name in OF_VALUES},
    "data=kto": ["objective=kto"],
    "data=sentiment": ["objective=kto"],
    "data=mixture": ["data.parts={hh_rlhf:{weight:2},shp:{}}"],
    **{f"regularizers=[{name}]": ["recipe=online", "online.lists=data"] for name in OF_SAMPLES},
    "pipeline=[unpaired]": ["objective=kto"],
    "optimizer=custom": ["optimizer._target_=torch.optim.SGD"],
    "scheduler=custom": ["scheduler._target_=torch.optim.lr_scheduler.CosineAnnealingLR"],
}
"""What a choice cannot be without."""
PACKAGES = {
    f"strategy=deepspeed_{stage}": "deepspeed" for stage in ("zero1", "zero2", "zero3", "zero3_offload")
} | {"peft=qlora": "bitsandbytes", "pipeline=desirable_probs": "sklearn"}
"""Packages that may not be there, and a choice needs."""


def overrides(name, choice, folder):
    """A command line with that choice that is in order."""
    chosen = f"{name}=[{choice}]" if name in MULTI_SELECT else f"{name}={choice}"
    line = [chosen, *NEEDS.get(chosen, []), f"cache_dir={folder}/cache"]
    if chosen in ("model=local", "peft=qlora"):
        line += ["model=local"] if chosen == "peft=qlora" else []
        line += ["data=hh_rlhf", f"model.path={model_folder(folder)}"]
    if chosen.removeprefix("data=") in ("local", "sentiment", "token_ids", "human_eval", "pandalm"):
        (folder / "rows.jsonl").write_text("{}\n")
        line += [f"data.path={folder / 'rows.jsonl'}"]
    return line


def model_folder(folder):
    """What looks like a model folder to check()."""
    for file in ("config.json", "tokenizer.json"):
        (folder / file).write_text("{}")
    save_file({}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(("name", "choice"), CHOICES)
def test_composes_checks_and_builds(name, choice, tmp_path):
    if (package := PACKAGES.get(f"{name}={choice}")) and not find_spec(package):
        pytest.skip(f"{package} is not installed")
    config = composed(*overrides(name, choice, tmp_path))
    assert problem(config) == ""
    stage = build_stage(config, RunFolder(tmp_path), {"name": "n", "group": ""})
    assert isinstance(stage, Stage)
    assert stage.objective.name == config["objective"]["name"]
    assert build_data(config).name == config["data"]["name"]


@pytest.mark.parametrize(
    "objective", [name for name in group("objective") if f"objective={name}" not in NEEDS]
)
def test_every_regularizer_goes_with_every_objective(objective):
    everything = f"regularizers=[{','.join(TRAINED)}]"
    assert problem(composed(f"objective={objective}", everything)) == ""


def test_samples_that_a_run_does_not_draw_are_told_with_what_draws_them():
    said = problem(composed("regularizers=[hypo]"))
    assert "hypo takes sample_logps, sample_ref_logps" in said
    assert "use recipe=online online.lists=data" in said
    of_kl = [f"regularizers.kl.{key}" for key in ("responses=samples", "estimator=k2", "reduction=seq_sum")]
    assert problem(composed("regularizers=[kl]", *of_kl, *NEEDS["regularizers=[hypo]"], "~judge")) == ""


def test_what_settles_drawn_lists_is_not_used_beside_those_of_the_data():
    line = ["regularizers=[hypo]", *NEEDS["regularizers=[hypo]"]]
    said = problem(composed(*line, "online.updates=2", "online.buffer.size=4"))
    assert "online.updates, online.buffer settles drawn lists alone" in said
    assert "nothing takes them" in problem(composed(*line[1:]))
    said = problem(composed("regularizers=[hypo]", "recipe=online", "online.updates=2"))
    assert "online.updates=2 trains on those of an earlier step" in said
    assert "of the whole policy: use online.top_p=1" in problem(composed(*line, "online.top_p=0.9"))


@pytest.mark.parametrize("optimizer", choices("optimizer"))
def test_optimizers_and_schedules_step(optimizer):
    config = composed(f"optimizer={optimizer}", "optimizer.lr=0.1", *NEEDS.get(f"optimizer={optimizer}", ()))
    for scheduler in choices("scheduler"):
        policy = small_policy()
        chosen = composed(f"scheduler={scheduler}", *NEEDS.get(f"scheduler={scheduler}", ()))["scheduler"]
        made, schedule = make_optimizer(config["optimizer"], chosen, policy, 10, 100)
        before = policy.model.lm_head.weight.detach().clone()
        for _ in range(2):
            policy.model.lm_head.weight.sum().backward()
            made.step()
            schedule.step()
        assert not torch.equal(before, policy.model.lm_head.weight)


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_command_line_goes_before_an_experiment(experiment):
    config = composed(f"experiment={experiment}", "objective=dpo", "seed=7", "pipeline=[]")
    assert (config["objective"]["name"], config["seed"]) == ("dpo", 7)


def test_every_group_has_a_default_choice_that_trains():
    assert problem(composed()) == ""
    assert composed()["model"]["name"] == "tiny"


def test_no_setting_is_left_open_but_those_that_must_be():
    texts = {f: f.read_text() for f in (ROOT / "conf").rglob("*.yaml")}
    left_open = {f"{f.parent.name}/{f.stem}" for f, text in texts.items() if "???" in text}
    assert left_open == {
        *(f"data/{name}" for name in ("local", "knobs", "mixture", "sentiment", "pandalm", "human_eval")),
        *("model/local", "optimizer/custom", "scheduler/custom", "generator/server", "generator/vllm"),
        *(f"judge/{name}" for name in ("function", "reward_model", "preference_model", "density_ratio")),
        *("judge/active", "judge/discriminator"),
    }


@pytest.mark.skipif(not STORIES.is_dir(), reason=f"no model in {STORIES}: set ALIGNLAB_SHARED")
def test_loader_of_a_local_model(tmp_path):
    config = composed("data=hh_rlhf", "model=local", f"model.path={STORIES}")
    stage = build_stage(config, RunFolder(tmp_path), {"name": "n", "group": ""})
    model, tokenizer = stage.load_model()
    assert model.config.vocab_size == len(tokenizer)
    assert stage.reference.is_start


@pytest.mark.parametrize(
    ("path", "overrides"),
    {
        "trainer": [],
        "callbacks.checkpoint": [],
        "callbacks.progress": [],
        "reference": [],
        "evaluation": [],
        "data": ["data=hh_rlhf", "model=smollm2_135m"],
    }.items(),
)
def test_python_and_yaml_have_the_same_defaults(path, overrides):
    """Whoever makes the dataclass by hand gets what the command line gives."""
    chosen, told = (
        at(composed(*overrides), path),
        {"reward", "prompts", "hub", "source", "form", "title", "licence"},
    )
    defaults = {
        f.name: f.default for f in fields(SCHEMA[path]) if f.default is not MISSING and f.name not in told
    }
    shared = defaults.keys() & chosen.keys() - {"paper"}
    assert len(shared) > 1 or path == "callbacks.progress"
    assert {name: chosen[name] for name in shared} == {name: defaults[name] for name in shared}
