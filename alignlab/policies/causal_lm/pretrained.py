"""The loader of causal LMs and their tokenizers, from a local folder or the hub."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

from alignlab import hub
from alignlab.errors import ConfigError
from alignlab.free_memory import free_memory
from alignlab.policies.causal_lm.model_folder import TOKENIZER_FILES, ModelFolder, kind_problems

log = logging.getLogger(__name__)

Dtype = Literal["float32", "bfloat16", "float16", "float64"]


def load(
    *,
    path: str | None,
    local_copy: str | None = None,
    dtype: Literal["float32", "bfloat16", "float16", "float64"] = "float32",
    attn_implementation: str = "sdpa",
    trust_remote_code: bool = False,
    revision: str | None = None,
    chat_template: str | None = None,
    four_bit: bool = False,
) -> tuple[Any, Any]:
    """Load (model, tokenizer) of a Hugging Face folder or hub id; a `local_copy` that exists replaces a hub id.

    The model is a causal LM, or the sequence classifier that the folder's config says it is. The folder of a LoRA
    adapter gives its base model with the adapter in it (as peft's model), and the adapter's tokenizer where it has one.
    `chat_template` names a template, or its file, to use in place of the tokenizer's own.
    `four_bit` quantizes the weights of the linear layers while they are loaded, with bitsandbytes.

    Raises ConfigError where the folder is incomplete, its parts do not fit, or the hub cannot be reached.
    """
    source = resolve(path, local_copy)
    shared = {"trust_remote_code": trust_remote_code, "revision": revision}

    def weights(folder: str, tokenizer: Any) -> Any:
        options = {"dtype": dtype, "attn_implementation": attn_implementation, "four_bit": four_bit}
        return _model(folder, tokenizer, shared, options)

    if not (folder := ModelFolder(Path(source))).is_adapter:
        tokenizer = _tokenizer(source, shared)
        model = weights(source, tokenizer)
    else:
        from alignlab.policies.causal_lm.adapters import with_adapter  # imports torch

        base = resolve(folder.base)
        tokenizer = _tokenizer(source if folder.has_tokenizer else base, shared)
        model = with_adapter(weights(base, tokenizer), source)
    if chat_template is not None:
        from alignlab.policies.causal_lm.chat_format import use_template  # imports torch

        use_template(model, tokenizer, chat_template)
    return model, tokenizer


def _tokenizer(source: str, shared: Mapping[str, Any]) -> Any:
    """Load a tokenizer; ConfigError where it has no end of sequence."""
    from transformers import AutoTokenizer

    offline = _offline(source)
    with _told(source, offline):
        tokenizer = AutoTokenizer.from_pretrained(source, **shared, local_files_only=offline)
    if tokenizer.eos_token_id is None:
        raise ConfigError(
            f"model.path={source}: its tokenizer has no end-of-sequence token; set eos_token there"
        )
    return tokenizer


def _model(source: str, tokenizer: Any, shared: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    """Load a model that fits its tokenizer; ConfigError where weights are missing, or layers would be left out."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    offline = _offline(source)
    shared = {**shared, "local_files_only": offline}
    dtype = getattr(torch, options["dtype"])
    with _told(source, offline):
        config = AutoConfig.from_pretrained(source, **shared)
        for problem in kind_problems(config.to_dict()):
            raise ConfigError(f"model '{source}': {problem}")
        _require_tokens(source, tokenizer, config)
        is_classifier = any(name.endswith("ForSequenceClassification") for name in config.architectures or ())
        kind_of_model: Any = AutoModelForSequenceClassification if is_classifier else AutoModelForCausalLM
        if not (options["four_bit"] or shared["trust_remote_code"]):
            with torch.device("meta"):
                _require_memory(source, kind_of_model.from_config(config), dtype.itemsize)
        model, report = kind_of_model.from_pretrained(
            source,
            dtype=dtype,
            attn_implementation=options["attn_implementation"],
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            **(in_four_bits() if options["four_bit"] else {}),
            **shared,
        )
    _require_weights(source, model, report)
    if is_classifier:
        model.generation_config = _ends_of_turn(source, shared)
    return model


@contextmanager
def _told(source: str, offline: bool) -> Iterator[None]:
    """Turn what libraries raise over a model into a ConfigError."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    try:
        yield
    except UnpicklingError as error:
        raise ConfigError(
            f"model '{source}': its pickled weights (.bin) are damaged or hold more than weights, and nothing else is "
            "read from a pickle: give the weights as safetensors, which hold no code"
        ) from error
    except (
        OSError,
        ValueError,
        ImportError,
        RuntimeError,
        SafetensorError,
        StrictDataclassError,
    ) as error:
        raise ConfigError(_failure(source, offline, error)) from error


def _require_memory(source: str, model: Any, width: int) -> None:
    """Raise ConfigError where the weights that a config asks for do not fit into memory, at `width` bytes each."""
    count, free = sum(weight.numel() for weight in model.parameters()), free_memory()
    if count * width > free:
        raise ConfigError(
            f"model '{source}' has {count} weights by its config.json, {count * width / 2**30:.1f} GB of "
            f"{8 * width} bits each, and {free / 2**30:.1f} GB of memory are free: choose a smaller model, or fewer "
            "bits (model.loader.dtype=bfloat16), or correct the sizes in config.json"
        )


def _require_tokens(source: str, tokenizer: Any, config: Any) -> None:
    """Raise ConfigError where the token that ends a sequence, or the padding, is beyond the model's embeddings."""
    size = config.get_text_config().vocab_size
    for name in ("eos_token", "pad_token"):
        token = getattr(tokenizer, f"{name}_id")
        if token is not None and token >= size:
            raise ConfigError(
                f"model '{source}': the {name} of its tokenizer, {getattr(tokenizer, name)!r}, is number {token}, and "
                f"the model's {size} tokens are 0 to {size - 1}: choose another {name} in tokenizer_config.json, or "
                "resize the model's embeddings"
            )


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _require_weights(source: str, model: Any, report: Mapping[str, Any]) -> None:
    """Raise ConfigError for missing weights, for those of another shape, and for those in layers without their place.

    Other weights without a place, as those of a second head, are told in a warning.
    """
    if misshapen := sorted(report["mismatched_keys"]):
        name, stored, expected = misshapen[0]
        raise ConfigError(
            f"model '{source}' has {len(misshapen)} weights of another shape than its config.json says (first: {name}, "
            f"{_by(stored)} in the file and {_by(expected)} by the config): correct the sizes there, as vocab_size or "
            "hidden_size, or give the weights that belong to it"
        )
    if missing := sorted(report["missing_keys"]):
        raise ConfigError(
            f"model '{source}' lacks {len(missing)} of its weights (first: {missing[0]}); they would start at random: "
            "complete the folder"
        )
    beyond = sorted(report["unexpected_keys"])
    places = _places_of_layers(model) if beyond else ()
    if inside := [name for name in beyond if name.startswith(places)]:
        raise ConfigError(
            f"model '{source}' has {len(inside)} weights in its layers that its config.json has no place for (first: "
            f"{inside[0]}), so that it would compute something else: correct the settings of the layers there"
        )
    if beyond:
        log.warning(
            "%s: %d weights are not used, because %s has no place for them (first: %s)",
            source,
            len(beyond),
            type(model).__name__,
            beyond[0],
        )


def _places_of_layers(model: Any) -> tuple[str, ...]:
    """Return what the names of the layers' weights begin with, in the model and in checkpoints without a head."""
    from alignlab.policies.causal_lm.decoder import layers_of

    first = layers_of(model)[0]
    place = next(name for name, module in model.named_modules() if module is first).removesuffix("0")
    return place, place.removeprefix(f"{model.base_model_prefix}.")


def in_four_bits() -> dict[str, Any]:
    """Return the arguments of transformers that load linear layers in 4 bits (NF4, arXiv:2305.14314), on the GPU.

    Raises ConfigError without the package bitsandbytes.
    """
    import torch
    from transformers import BitsAndBytesConfig

    settings = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    place = torch.cuda.current_device() if torch.cuda.is_available() else "cpu"
    return {"quantization_config": settings, "device_map": {"": place}}


def _ends_of_turn(source: str, shared: dict[str, Any]) -> Any | None:
    """Return the generation config beside a classifier, which names the tokens that end a turn; None without one."""
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(source, **shared)
    except OSError:
        return None


def resolve(path: str | None, local_copy: str | None = None) -> str:
    """Return the folder or hub id to load from.

    Raises ConfigError for a missing path, and for a folder that holds no causal language model whose weights can train,
    or no adapter of one. Only the folder's small files are read, and the headers of its weights.
    """
    if not path:
        raise ConfigError("model.path is not set: give a local folder or a hub id (model.path=/my/model)")
    if hub.is_id(path):
        has_copy = local_copy is not None and (Path(local_copy) / "config.json").is_file()
        return local_copy if has_copy and local_copy else path
    folder = ModelFolder(Path(path).expanduser())
    if not folder.path.is_dir():
        raise ConfigError(f"model.path={path}: no such folder")
    if not folder.is_model and not folder.is_adapter:
        raise ConfigError(f"model.path={path}: no config.json there, so this is no Hugging Face model folder")
    if not folder.is_adapter and not folder.has_tokenizer:
        raise ConfigError(
            f"model.path={path}: the folder has no tokenizer (none of {', '.join(TOKENIZER_FILES)}); "
            "save it there with tokenizer.save_pretrained(folder)"
        )
    for problem in folder.problems():
        raise ConfigError(f"model.path={path}: {problem}")
    if folder.is_adapter:
        resolve(folder.base)
    return str(folder.path)


def is_adapter(path: str | None) -> bool:
    """Whether a path is the folder of an adapter, which is loaded into its base model."""
    return path is not None and not hub.is_id(path) and ModelFolder(Path(path).expanduser()).is_adapter


def _offline(source: str) -> bool:
    """Whether a hub id is to be read from the local cache, as the hub cannot be reached."""
    return not Path(source).is_dir() and not hub.reachable()


def _failure(source: str, offline: bool, error: Exception) -> str:
    if offline:
        return (
            f"model '{source}' is neither a local folder nor in the local hub cache, and {hub.endpoint()} cannot "
            "be reached: pass model=local model.path=/my/model (or, for smollm2_135m, run 'make smollm2')"
        )
    first, _, rest = str(error).partition("\n")
    reason = f"{first} {rest.partition(chr(10))[0].strip()}" if first.endswith(":") else first
    return f"model '{source}' cannot be loaded: {reason}"
