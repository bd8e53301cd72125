"""Architectures without weights: of well-known sizes by name, or read from a config.json."""

from pathlib import Path
from typing import Any

from alignlab import hub
from alignlab.errors import ConfigError, one_of

Sizes = dict[str, Any]


def _llama(width: int, layers: int, heads: int, inner: int, vocabulary: int, **more: Any) -> Sizes:
    return {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "vocab_size": vocabulary,
        **more,
    }


SHAPES: dict[str, tuple[str, Sizes]] = {
    "gpt2": ("gpt2", {}),
    "smollm2-135m": (
        "llama",
        _llama(576, 30, 9, 1536, 49152, num_key_value_heads=3, tie_word_embeddings=True),
    ),
    "pythia-1b": ("gpt_neox", _llama(2048, 16, 8, 8192, 50304)),
    "pythia-2.8b": ("gpt_neox", _llama(2560, 32, 32, 10240, 50304)),
    "pythia-6.9b": ("gpt_neox", _llama(4096, 32, 32, 16384, 50432)),
    "qwen2.5-0.5b": (
        "qwen2",
        _llama(896, 24, 14, 4864, 151936, num_key_value_heads=2, tie_word_embeddings=True),
    ),
    "qwen2.5-1.5b": (
        "qwen2",
        _llama(1536, 28, 12, 8960, 151936, num_key_value_heads=2, tie_word_embeddings=True),
    ),
    "qwen2.5-7b": ("qwen2", _llama(3584, 28, 28, 18944, 152064, num_key_value_heads=4)),
    "llama-1b": (
        "llama",
        _llama(2048, 16, 32, 8192, 128256, num_key_value_heads=8, tie_word_embeddings=True),
    ),
    "llama-3b": (
        "llama",
        _llama(3072, 28, 24, 8192, 128256, num_key_value_heads=8, tie_word_embeddings=True),
    ),
    "llama-7b": ("llama", _llama(4096, 32, 32, 11008, 32000)),
    "llama-8b": ("llama", _llama(4096, 32, 32, 14336, 128256, num_key_value_heads=8)),
    "llama-13b": ("llama", _llama(5120, 40, 40, 13824, 32000)),
    "llama-70b": ("llama", _llama(8192, 80, 64, 28672, 128256, num_key_value_heads=8)),
    "mistral-7b": ("mistral", _llama(4096, 32, 32, 14336, 32768, num_key_value_heads=8, sliding_window=None)),
}
"""The model type and sizes of each shape. Llamas of 1, 3, 8 and 70 B are of Llama 3, those of 7 and 13 B of Llama 2."""


def shape(name: str) -> Any:
    """The transformers config of a well-known size; ConfigError for an unknown name."""
    from transformers import AutoConfig

    kind, sizes = SHAPES[one_of("shape", name, SHAPES)]
    return AutoConfig.for_model(kind, **sizes)


def config_at(path: str | None, local_copy: str | None = None, **options: Any) -> Any:
    """The transformers config of a folder or hub id; only its config.json is read.

    Raises ConfigError where there is none, or the hub cannot be reached.
    """
    from transformers import AutoConfig

    way = f"or plan for a shape: shape= with one of {', '.join(SHAPES)}"
    if not path:
        raise ConfigError(f"no model to plan for: model=local model.path=/my/model, {way}")
    folder = Path(path).expanduser()
    if folder.exists() or path.startswith((".", "/", "~")):
        if not (folder / "config.json").is_file():
            raise ConfigError(f"model.path={path}: no config.json there; {way}")
        source = str(folder)
    else:
        has_copy = local_copy is not None and (Path(local_copy) / "config.json").is_file()
        source = str(local_copy) if has_copy else path
    offline = not Path(source).is_dir() and not hub.reachable()
    try:
        return AutoConfig.from_pretrained(source, local_files_only=offline, **options)
    except (OSError, ValueError, ImportError) as error:
        why = f"{hub.endpoint()} cannot be reached" if offline else str(error).partition("\n")[0]
        raise ConfigError(f"model.path={path}: its config.json cannot be read ({why}); {way}") from error
