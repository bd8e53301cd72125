"""The loader of causal LMs and their tokenizers, from a local folder or the hub."""

import logging
from pathlib import Path
from typing import Any, Literal

from alignlab import hub
from alignlab.errors import ConfigError
from alignlab.policies.causal_lm.chat_format import use_template

log = logging.getLogger(__name__)

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tokenizer_config.json")


def load(
    *,
    path: str | None,
    local_copy: str | None = None,
    dtype: Literal["float32", "bfloat16", "float16", "float64"] = "float32",
    attn_implementation: str = "sdpa",
    trust_remote_code: bool = False,
    revision: str | None = None,
    chat_template: str | None = None,
) -> tuple[Any, Any]:
    """Load (model, tokenizer) of a Hugging Face folder or hub id; a `local_copy` that exists replaces a hub id.

    The model is a causal LM, or the sequence classifier that the folder's config says it is. `chat_template` names a
    template, or its file, to use in place of the tokenizer's own.

    Raises ConfigError where the folder is incomplete or the hub cannot be reached.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    kind = getattr(torch, dtype)
    source = resolve(path, local_copy)
    offline = not Path(source).is_dir() and not hub.reachable()
    shared = {"trust_remote_code": trust_remote_code, "revision": revision, "local_files_only": offline}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **shared)
        architectures = AutoConfig.from_pretrained(source, **shared).architectures or ()
        is_classifier = any(name.endswith("ForSequenceClassification") for name in architectures)
        kind_of_model: Any = AutoModelForSequenceClassification if is_classifier else AutoModelForCausalLM
        loaded: Any = kind_of_model.from_pretrained(
            source, dtype=kind, attn_implementation=attn_implementation, output_loading_info=True, **shared
        )
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise ConfigError(_failure(source, offline, error)) from error
    model, report = loaded
    if missing := sorted(report["missing_keys"]):
        raise ConfigError(
            f"model '{source}' lacks {len(missing)} of its weights (first: {missing[0]}); they would start at random: "
            "complete the folder"
        )
    if is_classifier:
        model.generation_config = _ends_of_turn(source, shared)
    if tokenizer.eos_token_id is None:
        raise ConfigError(
            f"model.path={source}: its tokenizer has no end-of-sequence token; set eos_token there"
        )
    if chat_template is not None:
        use_template(model, tokenizer, chat_template)
    return model, tokenizer


def _ends_of_turn(source: str, shared: dict[str, Any]) -> Any | None:
    """Return the generation config beside a classifier, which names the tokens that end a turn; None without one."""
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(source, **shared)
    except OSError:
        return None


def resolve(path: str | None, local_copy: str | None = None) -> str:
    """Return the folder or hub id to load from; raises ConfigError for a missing path or a folder that is no model."""
    if not path:
        raise ConfigError("model.path is not set: give a local folder or a hub id (model.path=/my/model)")
    folder = Path(path).expanduser()
    looks_local = path.startswith((".", "/", "~")) or folder.exists()
    if not looks_local:
        has_copy = local_copy is not None and (Path(local_copy) / "config.json").is_file()
        return local_copy if has_copy and local_copy else path
    if not folder.is_dir():
        raise ConfigError(f"model.path={path}: no such folder")
    if not (folder / "config.json").is_file():
        raise ConfigError(f"model.path={path}: no config.json there, so this is no Hugging Face model folder")
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ConfigError(
            f"model.path={path}: the folder has no tokenizer (none of {', '.join(TOKENIZER_FILES)}); "
            "save it there with tokenizer.save_pretrained(folder)"
        )
    return str(folder)


def _failure(source: str, offline: bool, error: Exception) -> str:
    if offline:
        return (
            f"model '{source}' is neither a local folder nor in the local hub cache, and {hub.endpoint()} cannot "
            "be reached: pass model=local model.path=/my/model (or, for smollm2_135m, run 'make smollm2')"
        )
    return f"model '{source}' cannot be loaded: {str(error).partition(chr(10))[0]}"
