"""check(): every misuse is found before anything is loaded, and the message names the way out."""

from importlib.metadata import PackageNotFoundError

import pytest

from alignlab.assembly import check as check_module
from alignlab.assembly import check_built as module
from alignlab.data.steps import Lists
from tests.config.compose import composed, problem

BATCHES = [
    {
        "+objective.foo=1": "objective.foo: no such setting",
        "+objective.loss.betaa=1": "did you mean 'beta'?",
        "+regularizers.kl.weight=1": "regularizers=[kl]",
        "+pipeline.pairs.choose=all": "pipeline=[pairs]",
        "+foo=1": "foo: no such setting",
        "+traner.max_steps=1": "did you mean 'trainer'?",
        "+trainer.max_step=1": "did you mean 'max_steps'?",
        "+data.limits=1": "did you mean 'limit'?",
        "+data.steps=1": "data.steps: no such setting",
        "+callbacks.checkpoint.every=1": "callbacks.checkpoint.every: no such setting",
        "+logger.wandbx.mode=online": "did you mean 'wandb'?",
        "+evaluation.promts=1": "did you mean 'prompts'?",
        "+recipe.foo=1": "takes no 'foo'",
        "+model.loader.layer=1": "did you mean 'layers'?",
        "+data.source.nois=1": "did you mean 'noise'?",
        "+reference.modus=live": "reference.modus: no such setting",
        "+strategy.stage=3": "strategy.stage: no such setting",
    },
    {
        "objective.loss.beta=abc": "objective.loss.beta=abc: expected a number",
        "trainer.max_steps=x": "trainer.max_steps=x: expected a whole number from 1 to 10**12 or null",
        "trainer.max_epochs=1.5": "trainer.max_epochs=1.5: expected a whole number",
        "trainer.gradient_clip_val=x": "trainer.gradient_clip_val=x: expected a number above 0 or null",
        "trainer.precision=bf16": "trainer.precision=bf16: did you mean",
        "trainer.accelerator=gpux": "did you mean 'gpu'?",
        "optimizer.lr=fast": "optimizer.lr=fast: expected auto or a number",
        "scheduler.warmup_ratio=x": "scheduler.warmup_ratio=x: expected a share between 0 and 1",
        "data.shuffle=maybe": "data.shuffle=maybe: expected true or false",
        "data.source.noise=loud": "data.source.noise=loud: expected a number",
        "data.on_bad_row=ignore": "valid names: raise, skip",
        "reference.check_start=maybe": "reference.check_start=maybe: expected true or false",
        "cache_dir=/dev/null/x": "cache_dir=/dev/null/x: not a folder",
        "run_name=null": "run_name=null: expected the name of one folder",
    },
    {
        "objective.pairs=best_wrst": "did you mean 'best_worst'?",
        "strategy=single": "strategy=single trains on one device, not on 2",
        "trainer.devices=2": "data.lists_per_step=0: 2 ranks share the lists of a step; raise it to 2 at least",
        "trainer.max_steps=0": "trainer.max_steps=0: expected a whole number from 1 to 10**12 or null",
        "trainer.gradient_clip_val=0": "trainer.gradient_clip_val=0: expected a number above 0",
        "seed=-1": "seed=-1: expected a whole number from 0 to 4294967295",
        "optimizer.lr=-1": "optimizer.lr=-1: expected auto or a number of at least 0",
        "scheduler.warmup_ratio=2": "scheduler.warmup_ratio=2: expected a share between 0 and 1",
        "data.validation_fraction=2": "data.validation_fraction=2: expected a share between 0 and 1",
        "data.lists_per_step=0": "data.lists_per_step=0: expected a whole number from 1 to 10**12",
        "data.source._target_=alignlab.lab.world.example": "did you mean 'examples'?",
        "data.path=/nowhere": "data.path=/nowhere: no such file or folder",
        "reference.path=/nowhere": "reference.path=/nowhere: no such folder",
    },
    {
        "objective.reduction=meen": "did you mean 'mean'?",
        "data.source._target_=alignlab.nowhere.examples": "cannot import 'alignlab.nowhere'",
    },
    {"optimizer.eps=x": "optimizer.eps=x: expected a number"},
    {"+optimizer.foreach=1": "expected true or false"},
    {"scheduler.name=liner": "did you mean 'linear'?"},
    {"reference.mode=liv": "did you mean 'live'?"},
    {"reference=none": "use reference=auto"},
    {"seed=abc": "seed=abc: expected a whole number", "trainer.max_steps=1.5": "or null"},
]

TOGETHER = {
    ("regularizers=[kl]", "regularizers.kl.direction=revers"): "regularizers.kl",
    ("regularizers=[sft]", "regularizers.sft.reduction=tokenmean"): "did you mean 'token_mean'?",
    ("regularizers=[kl]", "regularizers.kl.weight=x"): "regularizers.kl.weight=x: expected a number",
    ("regularizers=[kl]", "+regularizers.kl.wieght=1"): "has no hyper-parameter 'wieght'",
    ("regularizers=[length]", "regularizers.length.kind=ofset"): "did you mean 'offset'?",
    ("regularizers=[kl]", "reference=precomputed"): "use reference=live",
    ("objective=slic", "objective.loss.aggregate=summ"): "did you mean 'sum'?",
    ("pipeline=[pairs]", "pipeline.pairs.choose=best_wors"): "did you mean 'best_worst'?",
    ("pipeline=[ranked]", "pipeline.ranked.k=1"): "pipeline.ranked.k=1",
    ("objective=lipo_lambda", "pipeline=[pairs]"): "needs lists",
    ("objective=dpo", "pipeline=[unpaired]"): "has one response a row",
    ("objective=dpo", "data=kto", "model=smollm2_135m"): "objective=kto",
    ("objective=lipo_lambda", "data=hh_rlhf", "model=smollm2_135m"): "data=ultrafeedback",
    ("objective=list_mle", "data=ultrafeedback_binarized"): "objective=dpo",
    ("data=hh_rlhf", "model=tiny"): "use model=smollm2_135m",
    ("data=hh_rlhf", "model=local", "model.path=/nowhere"): "model.path=/nowhere: no such folder",
    ("model=smollm2_135m", "model.chat_template=chatlm"): "model.chat_template=chatlm: no such template",
    ("data.special_tokens=letters",): "data.special_tokens=letters",
    ("data=hh_rlhf", "evaluation=gold"): "use evaluation=none",
    ("data=local",): "set data.path=",
    ("optimized_metric=val/kl",): "is called val/logratio",
    ("data=local", "data.path="): "data.path=: expected a path",
    ("cache_dir=null",): "cache_dir=null: expected a path",
    ("seed=99999999999",): "seed=99999999999: expected a whole number from 0 to 4294967295",
    ("callbacks.checkpoint=null",): "callbacks.checkpoint=null: expected a group of settings",
    ("objective.loss.beta=nan",): "objective.loss.beta=nan: expected a number",
    ("data.scale=[10,1]",): "data.scale=[10, 1]: expected [low,high]",
    ("data.scale=[1,2,3]",): "expected [low,high]",
    (
        "data.scale=[a,1]",
    ): "data.scale=['a', 1]: expected [low,high], the ends of a scale or minmax, keep or null",
    ("data.path=.",): "data 'lab' makes its own rows, and reads no files: take out data.path",
    ("data.columns={prompt: question}",): "take out data.columns, or use data=local",
    ("peft=lora", "peft.dropout=1.0"): "peft.dropout=1.0: expected a share of at least 0 and below 1",
    ("data.split=train",): "take out data.split, or use data=local",
    ("data=hh_rlhf", "data.split={trian: train}"): "data.split.trian: did you mean 'train'?",
    ("data=local", "data.path=2024"): "data.path=2024: no such file or folder",
    ("data=local", "data.path=[/nowhere]"): "data.path=/nowhere: no such file or folder",
    (
        "data=mixture",
        "data.parts={shp:{path:1.5}}",
    ): "data.parts.shp.path=1.5: expected a path or a list, each a path or null",
    ("data=mixture", "data.parts={shp:{path:2024}}"): "data.parts.shp.path=2024: no such file or folder",
    ("data=mixture", "data.parts={shp:{}}", "data.split=train"): "set data.parts.<name>.split",
    ("logger=[wandb]", "logger.wandb.mode=onlin"): "did you mean 'online'?",
    ("logger=[wandb]", "logger.wandb.tags=x"): "logger.wandb.tags=x: expected a list of texts",
    ("data=hh_rlhf", "model.loader.dtype=float31"): "did you mean 'float32'?",
}


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: next(iter(batch)))
def test_all_errors_are_told_at_once(batch):
    said = problem(composed(*batch))
    for override, wanted in batch.items():
        assert wanted in said, override
    if len(batch) > 10:
        assert said.startswith(f"{len(batch)} things are wrong")


@pytest.mark.parametrize("overrides", TOGETHER, ids=" ".join)
def test_misuse_of_several_choices(overrides):
    assert TOGETHER[overrides] in problem(composed(*overrides))


def test_a_missing_group_is_named_with_its_choices():
    config = composed()
    del config["evaluation"]
    config["trainer"] = None
    said = problem(config)
    assert "nothing is chosen for 'evaluation': evaluation=..., of gold, none" in said
    assert "nothing is chosen for 'trainer'" in said


def test_an_empty_data_folder(tmp_path):
    said = problem(composed("data=local", "model=smollm2_135m", f"data.path={tmp_path}"))
    assert "no data files there" in said
    assert ".jsonl" in said


def test_a_model_folder_without_tokenizer(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    said = problem(composed("data=hh_rlhf", "model=local", f"model.path={tmp_path}"))
    assert "has no tokenizer" in said
    assert "save_pretrained" in said


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(module.torch.cuda, "is_available", lambda: False)
    assert "set trainer.accelerator=auto" in problem(composed("trainer.accelerator=gpu"))
    monkeypatch.setattr(module.torch.cuda, "is_available", lambda: True)
    assert problem(composed("trainer.accelerator=gpu")) == ""


def never(example, *, least: int, words: str = "many"):
    raise AssertionError("a step of one's own is not called before the run")


def of_lists(example) -> Lists:
    yield example


def unsaid(example) -> "NotThere":
    yield example


def test_a_step_of_ones_own_is_checked_by_its_signature_alone():
    def told(**settings):
        config = composed()
        config["pipeline"] = {"mine": {"_target_": f"{__name__}.never", **settings}}
        return problem(config)

    assert told(least=3) == ""
    assert "pipeline.mine needs a value for least" in told()
    assert "takes no 'leest': did you mean 'least'?" in told(least=3, leest=4)
    assert "pipeline.mine.least=x: expected a whole number" in told(least="x")


@pytest.mark.parametrize("step", ["of_lists", "unsaid"])
def test_a_step_may_make_lists_of_pairs(step):
    config = composed("objective=lipo_lambda", "data=hh_rlhf", "model=smollm2_135m")
    assert "needs lists" in problem(config)
    config["pipeline"] = {"mine": {"_target_": f"{__name__}.{step}"}}
    assert problem(config) == ""


def test_density_ratios_want_the_step_that_computes_them_and_its_package(monkeypatch):
    line = ["objective=bco", "objective.loss.udm=true"]
    alone = problem(composed(*line, "pipeline=[unpaired]"))
    assert "bco takes desirable_probs" in alone
    assert "use pipeline=[unpaired,desirable_probs]" in alone
    monkeypatch.setattr(check_module, "version", lambda name: "1")
    assert problem(composed(*line, "pipeline=[unpaired,desirable_probs]")) == ""

    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(check_module, "version", version)
    missing = problem(composed(*line, "pipeline=[unpaired,desirable_probs]"))
    assert "pipeline=[desirable_probs] needs the package scikit-learn: pip install -e '.[udm]'" in missing
