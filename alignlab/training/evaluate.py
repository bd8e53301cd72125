"""The metrics of a model on a stage's validation rows, without training it."""

from dataclasses import replace

from alignlab.training.callbacks.validation import sources_of
from alignlab.training.gold import initial_model, measure
from alignlab.training.module import PreferenceModule
from alignlab.training.opened import Prepared, first_prompts, one_device, open_rows, prepare
from alignlab.training.own_samples import validation_of
from alignlab.training.spec import Stage


def evaluate(stage: Stage) -> dict[str, float]:
    """`val/` metrics of the stage's model against its reference, and `gold/` ones where it has a reward.

    In the model's own dtype. Objectives with state, such as running means, have that of their start.
    """
    opened = open_rows(stage, one_device(stage))
    splits = replace(opened.splits, train=opened.splits.validation)  # nothing else is scored
    ready = prepare(replace(opened, splits=splits))
    metrics = {f"val/{name}": value for name, value in _validated(ready).items()}
    if stage.gold:
        prompts = first_prompts(splits.validation, stage.gold.prompts)
        start = initial_model(stage, opened.model.device)
        report = measure(stage.gold, opened.model, start, opened.encoder, prompts)
        metrics |= {f"gold/{name}": value for name, value in report.metrics.items()}
    return metrics


def _validated(ready: Prepared) -> dict[str, float]:
    """Metrics of the validation rows, as the training reports them."""
    opened, stage = ready.opened, ready.opened.stage
    module = PreferenceModule(
        opened.policy,
        stage.objective,
        lambda trained: stage.make_optimizer(trained, 1, 0),
        steps=1,
        references=ready.references,
    ).to(opened.model.device)
    module.on_fit_start()
    sources = sources_of(opened.splits.validation)
    return module.evaluate(validation_of(ready), untrained=stage.reference.is_start, sources=sources)
