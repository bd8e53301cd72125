"""What a local model folder says of itself in its small files, read before anything is loaded; imports no torch."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from alignlab.errors import ConfigError
from alignlab.places import ADAPTER

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tokenizer_config.json")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""The names under which transformers looks for weights, the first that is there; shards are in `<name>.index.json`."""
TRAINABLE = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForSequenceClassification")
"""The ends of architecture names that have a head over the vocabulary, or of a classifier."""
SENTENCES = ("modules.json", "config_sentence_transformers.json")
LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
"""A decoder layer's number in the name of a weight."""
POINTER = b"version https://git-lfs"
LARGEST = {"*.jinja": 2**20, "*.json": 2**28, "vocab.*": 2**28, "merges.txt": 2**28, "*.model": 2**28}
"""The bytes of the largest files that are read whole, by the form of their names."""


class ModelFolder:
    """A folder that should hold a Hugging Face model, or an adapter of one.

    Attributes are read from its small files as they are asked for; ConfigError where one of them is no json.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The contents of config.json; empty without one."""
        return self._json("config.json")

    @cached_property
    def adapter(self) -> Mapping[str, Any]:
        """The contents of adapter_config.json, as peft writes it; empty without one."""
        return self._json(ADAPTER)

    @property
    def is_adapter(self) -> bool:
        """Whether it holds an adapter alone, which needs its base model."""
        return bool(self.adapter) and not self.is_model

    @property
    def is_model(self) -> bool:
        """Whether it has the config of a model."""
        return (self.path / "config.json").is_file()

    @property
    def has_tokenizer(self) -> bool:
        """Whether a tokenizer is there."""
        return any((self.path / name).is_file() for name in TOKENIZER_FILES)

    @property
    def base(self) -> str:
        """The model that an adapter belongs to, a folder or a hub id; ConfigError where none is named, or it is gone.

        A relative folder is looked for from where we are, and beside the adapter.
        """
        named = self.adapter.get("base_model_name_or_path")
        way = f"write its base model into base_model_name_or_path of {self.path / ADAPTER}"
        if not isinstance(named, str) or not named:
            raise ConfigError(f"model.path={self.path}: an adapter that names no base model; {way}")
        for folder in (Path(named).expanduser(), self.path.parent / named):
            if folder.is_dir():
                return str(folder)
        if named.startswith((".", "/", "~")) or named.count("/") > 1:
            raise ConfigError(
                f"model.path={self.path}: an adapter whose base model {named} is not there; {way}"
            )
        return named

    def problems(self) -> Iterator[str]:
        """Yield what keeps the folder from being a model that can train, each with the way out."""
        if large := self._too_large():
            yield large
            return
        if self.is_adapter:
            yield from self._adapter_problems()
            return
        if self.adapter:
            yield (
                f"it holds a whole model and an adapter ({ADAPTER}), and nothing says whether the model has it in it "
                "already: move the adapter's files away to take the model as it is, or the model's to take the "
                "adapter on its base"
            )
        yield from self._kind()
        yield from self._ends()
        yield from self._weights()

    def _too_large(self) -> str:
        """Say which file is too large to be what its name says; empty where none is."""
        for form, most in LARGEST.items():
            for file in sorted(self.path.glob(form)):
                if (size := file.stat().st_size) > most:
                    return (
                        f"{file.name} has {size} bytes, and no such file has more than {most}: fetch it again"
                    )
        return ""

    def _adapter_problems(self) -> Iterator[str]:
        kind, task = self.adapter.get("peft_type"), self.adapter.get("task_type")
        if kind != "LORA" or task not in ("CAUSAL_LM", None):
            yield (
                f"an adapter of another kind ({ADAPTER}: peft_type {kind}, task_type {task}): LoRA of language models "
                "is read; merge this one into its base with peft, and give the folder of the merged model"
            )
        if not any(
            (self.path / name).is_file() for name in ("adapter_model.safetensors", "adapter_model.bin")
        ):
            yield f"it has {ADAPTER} and no adapter_model.safetensors: complete the folder"

    def _kind(self) -> Iterator[str]:
        """Yield a message for models that are no causal language model, and for weights that cannot train."""
        if any((self.path / name).is_file() for name in SENTENCES):
            yield "a sentence-transformers folder, whose model gives embeddings of texts: give a causal language model"
        else:
            yield from kind_problems(self.config)

    def _ends(self) -> Iterator[str]:
        """Yield a message for tokens that end a turn and that the model does not have."""
        size = self._text_config.get("vocab_size")
        if not isinstance(size, int):
            return
        for name, contents in (("config.json", self.config), ("generation_config.json", self.generation)):
            ends = contents.get("eos_token_id")
            for token in ends if isinstance(ends, list) else [ends]:
                if token is not None and type(token) is not int:
                    yield f"{name} has eos_token_id {token!r}, which is no token's number: write the number there"
                elif token is not None and not 0 <= token < size:
                    yield (
                        f"{name} has eos_token_id {token}, and the model's {size} tokens are 0 to {size - 1}: write "
                        "the number of the tokenizer's end-of-turn token there"
                    )

    @cached_property
    def generation(self) -> Mapping[str, Any]:
        """The contents of generation_config.json; empty without one."""
        return self._json("generation_config.json")

    @property
    def _text_config(self) -> Mapping[str, Any]:
        """The settings of the language model, which one of several modalities keeps in a part of its own."""
        own = self.config.get("text_config")
        return own if isinstance(own, Mapping) else self.config

    def _weights(self) -> Iterator[str]:
        """Yield a message where files of weights are missing, are no weights, or hold other layers than the config."""
        files = self._weight_files()
        if not files:
            others = sorted(
                file.name for end in ("*.gguf", "*.pth", "*.h5", "*.msgpack") for file in self.path.glob(end)
            )
            seen = f" (there are {', '.join(others[:3])}, which are of another format)" if others else ""
            yield f"it has no weights: none of {', '.join(WEIGHTS)}, whole or in shards{seen}; complete the folder"
            return
        if missing := [file.name for file in files if not file.is_file()]:
            what = f"{len(missing)} of its {len(files)} files of weights are missing (first: {missing[0]})"
            yield f"{what}; complete the folder"
            return
        if pointers := [file.name for file in files if _starts(file, POINTER)]:
            yield f"{pointers[0]} is a pointer of Git LFS and no weights: fetch the file with git lfs pull"
            return
        for file in files:
            if file.suffix == ".safetensors" and (damage := _damage(file)):
                yield f"{file.name} is damaged, or not whole ({damage}): copy or fetch the file again"
                return
        yield from self._layers(files)

    def _layers(self, files: list[Path]) -> Iterator[str]:
        """Yield a message where weights and config have different layers. Other modalities are let be."""
        layers = self.config.get("num_hidden_layers", self.config.get("n_layer"))
        if not isinstance(layers, int) or self._text_config is not self.config:
            return
        matches = (LAYER.search(name) for file in files for name in _names(file))
        held = 1 + max((int(match[1]) for match in matches if match), default=-1)
        predicting = (
            self.config.get("num_nextn_predict_layers") or 0
        )  # kept behind the others, and used by nobody here
        if held > layers + predicting:
            yield (
                f"its weights have {held} layers, and config.json says {layers} (num_hidden_layers), so that the last "
                "ones would be left out: write the right number there"
            )
        elif 0 < held < layers:
            yield (
                f"its weights have {held} layers, and config.json says {layers} (num_hidden_layers), so that the last "
                "ones would start at random: write the right number there, or complete the folder"
            )

    def _weight_files(self) -> list[Path]:
        """The files of weights that transformers would load; none where there are none."""
        for name in WEIGHTS:
            if (self.path / name).is_file():
                return [self.path / name]
            if shards := self._json(f"{name}.index.json").get("weight_map"):
                return sorted({self.path / shard for shard in shards.values()})
        return []

    def _json(self, name: str) -> Mapping[str, Any]:
        file = self.path / name
        if not file.is_file():
            return {}
        if file.stat().st_size > LARGEST["*.json"]:
            raise ConfigError(
                f"{file} has {file.stat().st_size} bytes, which is no file of settings: fetch it again"
            )
        try:
            contents = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{file} is no json ({error}): complete the folder") from error
        if not isinstance(contents, dict):
            raise ConfigError(
                f"{file} holds {type(contents).__name__} where an object belongs: complete the folder"
            )
        return contents


def kind_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what keeps the model of a config.json from training as a causal language model, each with the way out."""
    if quantized := config.get("quantization_config"):
        method = quantized.get("quant_method", "?") if isinstance(quantized, Mapping) else quantized
        yield (
            f"its weights are quantized ({method}; quantization_config in config.json), and such weights cannot train: "
            "give the model as it was before (peft=qlora loads that in 4 bits)"
        )
    names = [str(name) for name in config.get("architectures") or ()]
    own_code = "AutoModelForCausalLM" in (config.get("auto_map") or {})
    if config.get("is_encoder_decoder"):
        yield f"{', '.join(names) or 'the model'} is an encoder-decoder: give a causal language model"
    elif names and not own_code and not any(name.endswith(TRAINABLE) for name in names):
        yield (
            f"{', '.join(names)} in config.json is no causal language model (a class that ends in ForCausalLM): give "
            "one; if this is one, write its class into 'architectures'"
        )


def _names(file: Path) -> list[str]:
    """The names of the tensors in a safetensors file, from its header; none of another file."""
    if file.suffix != ".safetensors":
        return []
    from safetensors import safe_open

    with safe_open(file, framework="np") as tensors:
        return list(tensors.keys())


def _damage(file: Path) -> str:
    """Return what keeps a safetensors file from being opened, which reads its header and size; empty if nothing."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np"):
            return ""
    except SafetensorError as error:
        return str(error)


def _starts(file: Path, word: bytes) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(word)) == word
