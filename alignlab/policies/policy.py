"""The seam between models and all that trains or asks them: a policy gives the signals of a batch."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from alignlab.policies.causal_lm.decoder import merge
from alignlab.types import Batch

References = tuple[Any, Any]
"""What a policy is compared with while it trains: the first and the second reference, None where there is none."""


class Policy(nn.Module, ABC):
    """A transformers model that gives the signals of a batch, as a yaml in `conf/policy` names it.

    Called as `Policy(model, packing=...)` with a model that `adopt` returned. Whatever objective asks for nothing but
    what a policy provides (and the data bring) trains with it.
    """

    provides: ClassVar[frozenset[str]]
    """Base signals that it can give, those of its references included."""
    draws: ClassVar[bool] = False
    """Whether it draws text: metrics of samples (`evaluation`) and analyses of text need that."""
    task: ClassVar[str]
    """The `pipeline_tag` of its model card."""
    peft_task: ClassVar[str]
    """The `task_type` under which peft puts adapters into it."""
    lr_factor: ClassVar[float] = 1.0
    """Times the learning rate that `optimizer.lr=auto` comes to."""
    model: Any
    """The transformers model: engines and checkpoints find its decoder and its weights here."""

    @classmethod
    def adopt(cls, model: Any, tokenizer: Any) -> Any:
        """The transformers model that this policy wraps, made of one that a loader gave.

        Raises ConfigError for a model that cannot serve.
        """
        return model

    @property
    @abstractmethod
    def packed(self) -> bool:
        """Whether each prompt is read once for all its responses."""

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of its features by their letter in the shapes of signals: D, its width, and N, its layers."""
        config = self.model.config.get_text_config()
        return {"D": config.hidden_size, "N": config.num_hidden_layers}

    @abstractmethod
    def signals(self, batch: Batch, references: References, wanted: Collection[str]) -> dict[str, Tensor]:
        """Those of the wanted signals that it provides, by name, in the shapes of `signals.py`; it may give more."""

    def export(self, folder: Path) -> None:
        """Save the model as a plain Hugging Face folder, adapters merged into its weights."""
        merge(self.model).save_pretrained(folder, safe_serialization=True)
