"""LoRA adapters inside a transformers model: put in, switched off, and merged away again (needs `peft`)."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from alignlab.errors import ConfigError
from alignlab.policies.causal_lm.head import Head
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.causal_lm.signals import Encoded
from alignlab.types import Batch

LoadModel = Callable[[], tuple[Any, Any]]


def lora(
    load: LoadModel,
    *,
    r: int = 16,
    alpha: int = 32,
    target_modules: str | Sequence[str] = "all-linear",
    task: str = "CAUSAL_LM",
) -> tuple[Any, Any]:
    """Return (model, tokenizer) with LoRA layers of rank `r` (arXiv:2106.09685) put in by peft; only these train.

    They start at zero, so the model starts as it was. No dropout: a score is a fact. `task` is peft's word for what
    the model is; a new scalar head (SEQ_CLS) trains whole.

    Raises ConfigError without the package `peft`, and for modules that the model does not have.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ConfigError("peft=lora needs the package peft: pip install 'alignlab[peft]'") from error
    model, tokenizer = load()
    wanted = target_modules if isinstance(target_modules, str) else list(target_modules)
    config = LoraConfig(r=r, lora_alpha=alpha, target_modules=wanted, task_type=task)
    try:
        return get_peft_model(model, config), tokenizer
    except ValueError as error:
        raise ConfigError(f"peft.target_modules={target_modules}: {str(error).partition('. ')[0]}") from error


@contextmanager
def switched_off(model: Any) -> Iterator[None]:
    """Give the model with its adapters switched off, as long as the context lasts."""
    with model.disable_adapter():
        yield


class WithoutAdapter:
    """A policy that scores with its adapters off, to be its own reference without a second copy of the weights."""

    def __init__(self, policy: CausalLM) -> None:
        self.policy = policy

    @property
    def head(self) -> Head:
        """The map from hidden states to logits, with adapters off."""
        return _HeadWithoutAdapter(self.policy.model)

    def encode(self, batch: Batch, *, prompts: bool = False, features: Collection[str] = ()) -> Encoded:
        """Run the decoder with adapters off; the result is that of `CausalLM.encode`."""
        with switched_off(self.policy.model):
            return self.policy.encode(batch, prompts=prompts, features=features)


class _HeadWithoutAdapter(Head):
    """A head that switches adapters off at every call, because the backward computes chunks again."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.model = model

    def __call__(self, hidden: Tensor) -> Tensor:
        with switched_off(self.model):
            return super().__call__(hidden)
