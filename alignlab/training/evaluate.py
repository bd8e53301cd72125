"""The metrics of a model on a stage's validation rows, without training it."""

from dataclasses import replace
from typing import Any

from alignlab.data.batching.batches import StepLoader
from alignlab.data.encoding.tokenize import Encoder
from alignlab.data.load import load_examples
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.training.callbacks.validation import sources_of
from alignlab.training.gold import measure
from alignlab.training.module import PreferenceModule
from alignlab.training.references import attach_reference
from alignlab.training.rows import (
    extras_for,
    feature_sizes,
    tokenize,
    with_rationales,
)
from alignlab.training.setup import stop_ids
from alignlab.training.spec import Stage, on_gpu
from alignlab.training.token_steps import selected


def evaluate(stage: Stage) -> dict[str, float]:
    """`val/` metrics of the stage's model against its reference, and `gold/` ones where it has a reward.

    In the model's own dtype. Objectives with state, such as running means, have that of their start.
    """
    examples = load_examples(with_rationales(stage.data, stage.objective), stage.cache_dir)
    model, tokenizer = stage.load_model()
    policy = CausalLM(model, packing=stage.packing)
    policy.to("cuda" if on_gpu(stage.trainer.accelerator) else "cpu")
    encoder = Encoder(tokenizer, stop_ids(model))
    splits, _ = selected(stage, policy, tokenize(stage, examples, encoder, model), examples, model.device)
    splits = replace(splits, train=splits.validation)  # nothing else is scored
    stage.objective.bind(feature_sizes(model))
    order: dict[str, Any] = {
        "lists_per_step": stage.data.lists_per_step,
        "microbatch_tokens": stage.data.microbatch_tokens,
        "packed": policy.packed,
        "extras": extras_for(stage.objective, stage.data, tokenizer, model),
    }
    loader = StepLoader(splits.validation, **order)
    _, references, splits = attach_reference(stage, policy, splits, loader, model.device)
    module = PreferenceModule(
        policy,
        stage.objective,
        lambda trained: stage.make_optimizer(trained, 1, 0),
        steps=1,
        references=references,
    ).to(model.device)
    module.on_fit_start()
    metrics = module.evaluate(StepLoader(splits.validation, **order), sources=sources_of(splits.validation))
    found = {f"val/{name}": value for name, value in metrics.items()}
    if stage.gold:
        prompts = [
            splits.validation.messages(i) for i in range(min(stage.gold.prompts, len(splits.validation)))
        ]
        start = None if stage.load_initial is None else stage.load_initial()[0].to(model.device)
        report = measure(stage.gold, model, start, encoder, prompts)
        found |= {f"gold/{name}": value for name, value in report.metrics.items()}
    return found
