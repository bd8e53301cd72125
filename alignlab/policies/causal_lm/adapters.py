"""LoRA adapters inside a transformers model: put in, switched off, and merged away again (needs `peft`)."""

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from torch import nn

from alignlab.errors import ConfigError
from alignlab.policies.causal_lm.adapter_settings import PeftSettings
from alignlab.policies.causal_lm.decoder import ADAPTER_DROPOUT, has_adapter, keeps_dropout, unwrapped

log = logging.getLogger(__name__)

LoadModel = Callable[[], tuple[Any, Any]]


def lora(load: LoadModel, settings: PeftSettings, task: str = "CAUSAL_LM") -> tuple[Any, Any]:
    """Return (model, tokenizer) with LoRA layers (arXiv:2106.09685) that peft puts in, and that alone train.

    They start at zero, so the model starts as it was; with `dora` (arXiv:2402.09353) up to rounding. A loaded model
    that has adapters already keeps them, with their own rank, alpha and modules, and these go on training. `task` is
    peft's word for what the model is; a new scalar head (SEQ_CLS) trains whole.

    Raises ConfigError without the package `peft`, for modules that the model does not have, and for dropout in the
    head over the vocabulary, which is computed again in the backward.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ConfigError(
            f"peft={settings.method} needs the package peft: pip install -e '.[peft]'"
        ) from error
    model, tokenizer = load()
    if has_adapter(model):
        return _going_on(model, settings), tokenizer
    config = LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        use_rslora=settings.rslora,
        use_dora=settings.dora,
        target_modules=_plain(settings.target_modules),
        modules_to_save=_plain(settings.modules_to_save),
        task_type=task,
    )
    for name in settings.modules_to_save or ():
        if not any(path == name or path.endswith(f".{name}") for path, _ in model.named_modules()):
            raise ConfigError(f"peft.modules_to_save: {type(model).__name__} has no module '{name}'")
    _require_targets(model, settings.target_modules)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*tie_word_embeddings.*")  # `merge` knows what to do
            adapted = get_peft_model(model, config)
    except ValueError as error:
        raise ConfigError(
            f"peft.target_modules={settings.target_modules}: {str(error).partition('. ')[0]}"
        ) from error
    _require_no_dropout_in_the_head(adapted)
    drop_out(adapted, on=False)
    return adapted, tokenizer


def _require_targets(model: nn.Module, targets: str | Sequence[str]) -> None:
    """Raise ConfigError for names of modules that the model does not have; peft would pass over some of a list.

    A text is a regular expression of whole paths, as for peft.
    """
    if targets == "all-linear":
        return
    paths = [path for path, _ in model.named_modules() if path]
    linear = sorted(
        {path.rpartition(".")[2] for path, module in model.named_modules() if isinstance(module, nn.Linear)}
    )
    way = f"its linear layers are named {', '.join(linear)}"
    if isinstance(targets, str):
        try:
            if any(re.fullmatch(targets, path) for path in paths):
                return
        except re.error as error:
            raise ConfigError(
                f"peft.target_modules={targets}: no regular expression ({error}); {way}"
            ) from error
        raise ConfigError(
            f"peft.target_modules={targets}: a text is a regular expression of whole paths, and no module of "
            f"{type(model).__name__} fits it; names are a list, 'peft.target_modules=[{targets}]', and {way}"
        )
    if not targets:
        raise ConfigError(
            f"peft.target_modules=[]: no module would be trained; {way}, and all-linear takes them all"
        )
    for name in targets:
        if not any(path == name or path.endswith(f".{name}") for path in paths):
            raise ConfigError(f"peft.target_modules: {type(model).__name__} has no module '{name}'; {way}")


def with_adapter(model: Any, folder: str) -> Any:
    """Return peft's model of a base and the adapter in a folder, frozen.

    Raises ConfigError without the package `peft`, and where the two do not fit.
    """
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ConfigError(
            f"model.path={folder} is an adapter, and needs the package peft: pip install -e '.[peft]'"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*tie_word_embeddings.*")
            adapted = PeftModel.from_pretrained(model, folder)
    except UnpicklingError as error:
        raise ConfigError(
            f"model.path={folder}: its pickled weights (adapter_model.bin) are damaged or hold more than weights, and "
            "nothing else is read from a pickle: give them as safetensors, which hold no code"
        ) from error
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"model.path={folder}: the adapter does not fit its base model {model.name_or_path} ({reason}): merge it "
            "into the right one with peft, and give the folder of the merged model"
        ) from error
    drop_out(adapted, on=False)
    return adapted.requires_grad_(False)


def save_adapter(model: Any, folder: Path) -> None:
    """Save the adapters of peft's model alone, with the absolute path or hub id of the base model that they need."""
    settings = model.peft_config[model.active_adapter]
    base = Path(unwrapped(model).name_or_path).expanduser()
    settings.base_model_name_or_path = str(base.resolve()) if base.is_dir() else str(base)
    model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)


def _plain(names: Any) -> Any:
    """Return names as peft writes them to json: a list, or what is no sequence of names as it is."""
    return list(names) if isinstance(names, (list, tuple)) else names


def _going_on(model: Any, settings: PeftSettings) -> Any:
    """Return a model with adapters, which go on training, with the dropout of the settings."""
    own = model.peft_config[model.active_adapter]
    log.info(
        "going on with the adapter of %s: its r=%d, alpha=%d and modules stand, and of peft only the dropout",
        model.name_or_path,
        own.r,
        own.lora_alpha,
    )
    own.inference_mode = False
    model.set_adapter(model.active_adapter)
    for module in _dropouts(model):
        module.p = settings.dropout
    if settings.dropout and own.lora_dropout == 0:
        raise ConfigError(
            f"peft.dropout={settings.dropout}: the adapter that training goes on with has no place for dropout: set "
            "peft.dropout=0"
        )
    _require_no_dropout_in_the_head(model)
    return model


def _require_no_dropout_in_the_head(model: Any) -> None:
    if any(module.p for module in _dropouts(model.get_output_embeddings())):
        raise ConfigError(
            "peft.dropout: the head over the vocabulary is computed again in the backward, where dropout would differ: "
            "leave it out of peft.target_modules, or set peft.dropout=0"
        )


def _dropouts(model: nn.Module) -> Iterator[nn.Dropout]:
    """Yield the dropout modules of adapters."""
    for name, module in model.named_modules():
        if ADAPTER_DROPOUT in name and isinstance(module, nn.Dropout):
            yield module


def drop_out(model: nn.Module, *, on: bool) -> None:
    """Switch the dropout of adapters and gates on, for a training step, or off; a policy has no other dropout left."""
    for name, module in model.named_modules():
        if keeps_dropout(name) and isinstance(module, nn.Dropout):
            module.train(on)


@contextmanager
def switched_off(model: Any) -> Iterator[None]:
    """Give the model with its adapters switched off, as long as the context lasts."""
    with model.disable_adapter():
        yield
