"""Validation with samples of the policy, as it is at that moment, beside each list."""

from collections.abc import Sequence

from alignlab.data.batching.batches import StepLoader
from alignlab.online.beside import Beside
from alignlab.online.together import together
from alignlab.sampling.rollout import Prompt, Rollout
from alignlab.training.opened import Prepared


def validation_of(ready: Prepared) -> StepLoader | Beside:
    """Return the steps over the validation rows; with fresh samples, where the objective takes such."""
    opened, stage, loader = ready.opened, ready.opened.stage, ready.validation
    if stage.online is None or not stage.draws_samples:
        return loader
    spec, rows = stage.online.spec, loader.rows
    generator = stage.make_generator(opened.model, sorted(opened.encoder.stops))

    def drawn(prompts: Sequence[Prompt]) -> list[Rollout]:
        return generator.draw(prompts, spec.samples, spec.sampling)

    def draw(numbers: Sequence[int]) -> list[Rollout]:
        asked = [Prompt(rows.ids[number], rows.prompts[number].tolist()) for number in numbers]
        with opened.place.autocast():
            return together(drawn, asked)

    return Beside(loader, draw)
