"""The protocol between models and all that trains or scores them: a policy gives the signals of a batch."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from alignlab.policies.causal_lm.adapters import save_adapter
from alignlab.policies.causal_lm.decoder import disable_dropout, merge, unwrapped
from alignlab.policies.causal_lm.packing.forms import PADDED, choose
from alignlab.types import Batch, Example

References = tuple[Any, tuple[Any, ...]]
"""The reference that a policy is compared with while it trains, None where there is none, and any others."""
NO_REFERENCES: References = (None, ())


class Policy(nn.Module, ABC):
    """A transformers model that gives the signals of a batch, as a yaml in `conf/policy` names it.

    Called as `Policy(model, packing=...)` with a model that `adopt` returned. Its dropout is off: a score is a fact.
    The decoder reads each prompt once for all its responses where that is exact for its architecture (`packing`: auto |
    on | off; see `forms.py`), and rows of prompt and response elsewhere. Whatever objective asks for nothing but what a
    policy provides (and the data bring) trains with it. Raises RunError on construction where `verify` does.
    """

    provides: ClassVar[frozenset[str]]
    """The base signals that the policy can give, those of its references included."""
    draws: ClassVar[bool] = False
    """Whether the policy generates text, which metrics of samples (`evaluation`) and analyses of text need."""
    reads_users: ClassVar[bool] = False
    """Whether scores depend on the user of a list, whom batches then name."""
    attributes: tuple[str, ...] = ()
    """The attributes whose ratings batches bring."""
    task: ClassVar[str]
    """The `pipeline_tag` of the model card."""
    peft_task: ClassVar[str]
    """The `task_type` under which peft puts adapters into the model."""
    lr_factor: ClassVar[float] = 1.0
    """The factor by which this kind of policy multiplies the learning rate of `optimizer.lr=auto`."""
    temperature: float = 1.0
    """The temperature of the distribution over tokens whose log-probabilities a language model gives; another than 1
    where responses were drawn at it."""
    decoupling: float = 0.0
    """The lambda of the signal `decoupled_logps`."""
    model: Any
    """The transformers model, in which engines and checkpoints find the decoder and the weights."""

    def __init__(self, model: Any, *, packing: Literal["auto", "on", "off"] = "auto") -> None:
        super().__init__()
        self.model = model
        disable_dropout(model)
        self.verify()
        self.form = choose(unwrapped(model), packing)

    def verify(self) -> None:
        """Raise RunError where what the policy reads off the decoder is not what the model itself gives."""

    @classmethod
    def problems(cls, settings: Mapping[str, Any], wanted: Collection[str] = ()) -> Iterator[str]:
        """Yield what is wrong with the settings of `conf/policy`, as far as it shows before anything is loaded.

        `wanted` are the signals that the objective asks for.
        """
        yield from ()

    @classmethod
    def row_problems(cls, settings: Mapping[str, Any], rows: Iterable[Example]) -> Iterator[str]:
        """Yield why these training rows cannot serve the policy with its settings, before a model is loaded."""
        yield from ()

    @classmethod
    def adopt(cls, model: Any, tokenizer: Any) -> Any:
        """Return the transformers model that this policy wraps, made from one that a loader gave.

        It is also given those settings of `conf/policy` that its signature names. Raises ConfigError for a model that
        cannot serve.
        """
        return model

    @property
    def packed(self) -> bool:
        """Whether each prompt is read once for all its responses."""
        return self.form != PADDED

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of features by their letter in the shapes of signals: D, the width, and N, the number of layers."""
        config = self.model.config.get_text_config()
        return {"D": config.hidden_size, "N": config.num_hidden_layers}

    @abstractmethod
    def signals(self, batch: Batch, references: References, wanted: Collection[str]) -> dict[str, Tensor]:
        """Return the wanted signals that the policy provides, by name, in the shapes of `signals.py`, or more."""

    def begin(self, batches: Iterable[Batch]) -> None:
        """Fit what no step of training moves to this rank's share of the training rows, before the first step.

        All ranks call it, on whole weights.
        """

    def export(self, folder: Path) -> None:
        """Save the model as a plain Hugging Face folder, adapters merged into its weights."""
        merge(self.model).save_pretrained(folder, safe_serialization=True)

    def export_adapter(self, folder: Path) -> None:
        """Save the adapters alone, as peft does, with the name of the base model that they need."""
        save_adapter(self.model, folder)
