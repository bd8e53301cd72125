"""Loading a model folder, and every way in which that can fail."""

import json
import logging
import os
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from alignlab import hub
from alignlab.data.encoding.id_turns import id_turns
from alignlab.data.encoding.tokenize import Encoder
from alignlab.errors import ConfigError, RunError
from alignlab.lab import vocabulary
from alignlab.policies.causal_lm.chat_format import stop_ids
from alignlab.policies.causal_lm.model import CausalLM, verify_head
from alignlab.policies.causal_lm.pretrained import load, resolve
from alignlab.types import Example
from tests.data.tokenizers_ import byte_level
from tests.policies.models import policy


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tokenizer = vocabulary.build()
    policy("llama", seed=3, vocabulary=len(tokenizer)).model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(whole, tmp_path / "model")


def edit(file, **changes):
    content = json.loads(file.read_text())
    content = {k: v for k, v in (content | changes).items() if v is not None}
    file.write_text(json.dumps(content))


def refused(path, **options):
    with pytest.raises(ConfigError) as error:
        load(path=str(path), **options)
    return str(error.value)


def test_a_whole_folder_loads_in_the_wanted_precision(whole):
    model, tokenizer = load(path=str(whole), dtype="float64")
    saved = policy("llama", seed=3, vocabulary=len(tokenizer)).model.state_dict()
    assert {name: tensor.dtype for name, tensor in model.state_dict().items()} == dict.fromkeys(
        saved, torch.float64
    )
    assert all(torch.equal(tensor, saved[name]) for name, tensor in model.state_dict().items())
    assert tokenizer.chat_template == vocabulary.CHAT_TEMPLATE


def test_paths_that_are_no_model(folder, tmp_path, monkeypatch):
    assert "model.path is not set" in refused("")
    assert f"model.path={tmp_path}/none: no such folder" in refused(tmp_path / "none")
    assert "no such folder" in refused(folder / "config.json")
    assert "has no tokenizer" not in resolve(str(folder))
    for file in folder.glob("*token*"):
        file.unlink()
    assert "has no tokenizer (none of tokenizer.json" in refused(folder)
    (folder / "config.json").unlink()
    assert "no config.json there" in refused(folder)


def test_a_tilde_is_the_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert resolve("~/model") == str(folder)


def test_a_local_copy_stands_in_for_a_hub_id_where_it_exists(folder, tmp_path):
    assert resolve("someone/model", str(folder)) == str(folder)
    assert resolve("someone/model", str(tmp_path / "none")) == "someone/model"
    assert resolve("someone/model") == "someone/model"


def test_an_unreachable_hub_is_told_with_the_way_out(monkeypatch):
    monkeypatch.setattr(hub, "reachable", lambda: False)
    message = refused("alignlab-tests/no-such-model")
    assert "'alignlab-tests/no-such-model' is neither a local folder nor in the local hub cache" in message
    assert hub.endpoint() in message
    assert "model=local model.path=" in message


def test_a_folder_without_weights(folder):
    (folder / "model.safetensors").unlink()
    assert "it has no weights: none of model.safetensors" in refused(folder)


def test_weights_cut_short(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert "model.safetensors is damaged, or not whole" in refused(folder)


def test_missing_weights_never_start_at_random(folder):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.norm.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    assert "lacks 1 of its weights (first: model.norm.weight)" in refused(folder)


def test_layers_beyond_the_config_are_told_before_anything_is_loaded(folder):
    edit(folder / "config.json", num_hidden_layers=1)
    assert f"model.path={folder}: its weights have 2 layers, and config.json says 1" in refused(folder)
    with pytest.raises(ConfigError, match="2 layers"):
        resolve(str(folder))
    edit(folder / "config.json", num_nextn_predict_layers=1)
    assert resolve(str(folder)) == str(folder)


def test_layers_without_weights_are_told_before_anything_is_loaded(folder):
    edit(folder / "config.json", num_hidden_layers=10**7)
    with pytest.raises(ConfigError, match="its weights have 2 layers, and"):
        resolve(str(folder))


def test_a_model_that_does_not_fit_into_memory(folder):
    edit(folder / "config.json", hidden_size=10**6, intermediate_size=10**6)
    said = refused(folder)
    assert "GB of 32 bits each, and" in said
    assert "model.loader.dtype=bfloat16" in said


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja"])
def test_small_files_that_are_huge(folder, name):
    (folder / name).touch()
    os.truncate(folder / name, 2**40)
    assert f"{name} has {2**40} bytes, and no such file has more" in refused(folder)


def test_settings_that_contradict_each_other(folder):
    edit(folder / "config.json", num_attention_heads=10**9)
    assert "is not a multiple of the number of attention heads" in refused(folder)


def test_weights_in_layers_that_the_config_has_no_place_for(folder):
    file = folder / "model.safetensors"
    bias = "model.layers.1.self_attn.q_proj.bias"
    save_file({**load_file(file), bias: torch.zeros(16)}, file, metadata={"format": "pt"})
    assert f"has 1 weights in its layers that its config.json has no place for (first: {bias})" in refused(
        folder
    )


def test_weights_of_another_head_are_told_and_left_out(folder, caplog):
    file = folder / "model.safetensors"
    save_file({**load_file(file), "v_head.weight": torch.zeros(1, 16)}, file, metadata={"format": "pt"})
    with caplog.at_level(logging.WARNING, logger="alignlab"):
        load(path=str(folder))
    assert "1 weights are not used" in caplog.text
    assert "v_head.weight" in caplog.text


def test_weights_as_torch_pickles_them(folder):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    model, _ = load(path=str(folder), dtype="float64")
    assert torch.equal(model.lm_head.weight, tensors["lm_head.weight"])


class Command:
    """What a pickle may hold: a command that runs where it is read."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize("write", [torch.save, lambda held, file: file.write_bytes(pickle.dumps(held, 2))])
def test_pickles_that_hold_more_than_weights_are_not_read(folder, tmp_path, write):
    (folder / "model.safetensors").unlink()
    write({"lm_head.weight": Command(tmp_path / "ran")}, folder / "pytorch_model.bin")
    assert "hold more than weights" in refused(folder)
    assert not (tmp_path / "ran").exists()


def test_an_adapter_whose_pickle_holds_more_than_weights(adapter, tmp_path):
    (adapter / "adapter_model.safetensors").unlink()
    torch.save({"lm_head.weight": Command(tmp_path / "ran")}, adapter / "adapter_model.bin")
    assert "hold more than weights" in refused(adapter)
    assert not (tmp_path / "ran").exists()


def shards(folder, *names):
    """Cut the weights in two halves of the layers, and keep the files with these numbers."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    files = {1: {}, 2: {}}
    for name, tensor in tensors.items():
        files[1 if "layers.0" in name else 2][name] = tensor
    index = {name: f"model-{n}.safetensors" for n, part in files.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    for number in names:
        save_file(files[number], folder / f"model-{number}.safetensors", metadata={"format": "pt"})


def test_weights_in_shards(folder):
    shards(folder, 1, 2)
    assert load(path=str(folder))[0].config.num_hidden_layers == 2


def test_a_missing_shard(folder):
    shards(folder, 2)
    assert "1 of its 2 files of weights are missing (first: model-1.safetensors)" in refused(folder)


def test_weights_that_git_lfs_has_not_fetched(folder):
    (folder / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    )
    assert "model.safetensors is a pointer of Git LFS" in refused(folder)


def test_weights_of_another_format(folder):
    (folder / "model.safetensors").rename(folder / "model-Q4_K_M.gguf")
    assert "it has no weights" in refused(folder)
    assert "there are model-Q4_K_M.gguf, which are of another format" in refused(folder)


@pytest.mark.parametrize("method", ["gptq", "awq", "bitsandbytes"])
def test_quantized_weights_are_refused_by_name(folder, method):
    edit(folder / "config.json", quantization_config={"quant_method": method, "bits": 4})
    assert f"its weights are quantized ({method};" in refused(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"architectures": ["BertForMaskedLM"]},
            "BertForMaskedLM in config.json is no causal language model",
        ),
        ({"architectures": ["LlamaModel"]}, "LlamaModel in config.json is no causal language model"),
        ({"is_encoder_decoder": True, "architectures": ["T5Model"]}, "T5Model is an encoder-decoder"),
    ],
)
def test_models_of_another_kind(folder, changes, said):
    edit(folder / "config.json", **changes)
    assert said in refused(folder)


def test_models_of_embeddings(folder):
    (folder / "modules.json").write_text("[]")
    assert "a sentence-transformers folder" in refused(folder)


@pytest.mark.parametrize(
    ("file", "ends", "wrong"),
    [("config.json", -1, -1), ("config.json", [2, 5000], 5000), ("generation_config.json", [5000, 2], 5000)],
)
def test_ends_of_turn_beyond_the_vocabulary(folder, file, ends, wrong):
    edit(folder / file, eos_token_id=ends)
    assert f"{file} has eos_token_id {wrong}, and the model's" in refused(folder)


@pytest.mark.parametrize("ends", ["2", [2, "</s>"], 2.0, True])
def test_an_end_of_turn_that_is_no_number_of_a_token(folder, ends):
    edit(folder / "generation_config.json", eos_token_id=ends)
    assert "generation_config.json has eos_token_id" in (said := refused(folder))
    assert "is no token's number" in said


def test_a_tokenizer_whose_padding_was_added_without_an_embedding(folder):
    _, tokenizer = load(path=str(folder))
    size = len(tokenizer)
    tokenizer.add_special_tokens({"pad_token": "<padding>"})
    tokenizer.save_pretrained(folder)
    assert f"the pad_token of its tokenizer, '<padding>', is number {size}" in refused(folder)


def test_a_config_that_does_not_fit_the_weights(folder):
    stored = load_file(folder / "model.safetensors")["lm_head.weight"].shape
    edit(folder / "config.json", vocab_size=stored[0] + 7)
    said = refused(folder)
    assert "2 weights of another shape than its config.json says (first: lm_head.weight" in said
    assert f"{stored[0]} x {stored[1]} in the file and {stored[0] + 7} x {stored[1]} by the config" in said


@pytest.mark.parametrize("kind", ["no_such_architecture", None])
def test_an_unknown_architecture(folder, kind):
    edit(folder / "config.json", model_type=kind)
    assert "cannot be loaded" in refused(folder)


@pytest.mark.parametrize("text", ["{", "[" * 100_000])
def test_broken_json(folder, text):
    (folder / "config.json").write_text(text)
    assert "config.json is no json" in refused(folder)


@pytest.fixture
def adapter(whole, tmp_path):
    """The folder of an adapter of the model, with nothing in it that it learned nothing of."""
    pytest.importorskip("peft")
    from alignlab.policies.causal_lm.adapter_settings import PeftSettings
    from alignlab.policies.causal_lm.adapters import lora, save_adapter

    model, _ = lora(lambda: load(path=str(whole)), PeftSettings("lora", r=2))
    for name, weight in model.named_parameters():
        weight.data += 0.1 * ("lora_B" in name)
    save_adapter(model, tmp_path / "adapter")
    return tmp_path / "adapter"


def logits(model):
    return model(input_ids=torch.arange(3, 9)[None]).logits


def test_an_adapter_is_loaded_into_its_base(adapter, whole):
    model, tokenizer = load(path=str(adapter))
    plain, own = load(path=str(whole))
    assert tokenizer.get_vocab() == own.get_vocab()
    assert not torch.allclose(logits(model), logits(plain))
    with model.disable_adapter():
        torch.testing.assert_close(logits(model), logits(plain))


def test_an_adapter_whose_base_lies_beside_it(adapter, whole):
    shutil.copytree(whole, adapter.parent / "base")
    edit(adapter / "adapter_config.json", base_model_name_or_path="base")
    assert load(path=str(adapter))[0].name_or_path == str(adapter.parent / "base")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base_model_name_or_path": None}, "an adapter that names no base model; write its base model into"),
        ({"base_model_name_or_path": "/nowhere/m"}, "an adapter whose base model /nowhere/m is not there"),
        (
            {"peft_type": "PREFIX_TUNING"},
            "an adapter of another kind (adapter_config.json: peft_type PREFIX_TUNING",
        ),
        ({"task_type": "SEQ_CLS"}, "merge this one into its base with peft"),
        ({"r": 3}, "the adapter does not fit its base model"),
    ],
)
def test_adapters_that_cannot_be_loaded(adapter, changes, said):
    edit(adapter / "adapter_config.json", **changes)
    assert said in refused(adapter)


def test_an_adapter_of_a_quantized_base(adapter, folder):
    edit(folder / "config.json", quantization_config={"quant_method": "awq"})
    edit(adapter / "adapter_config.json", base_model_name_or_path=str(folder))
    assert "its weights are quantized (awq;" in refused(adapter)


def test_a_whole_model_with_an_adapter_beside_it(adapter, folder):
    for file in adapter.glob("adapter*"):
        shutil.copy(file, folder)
    assert "it holds a whole model and an adapter (adapter_config.json)" in refused(folder)


def test_a_tokenizer_without_an_end_of_sequence(folder):
    edit(folder / "tokenizer_config.json", eos_token=None)
    assert "no end-of-sequence token" in refused(folder)


ASKED = [{"role": "user", "content": "Hello."}]


def test_without_a_chat_template_the_first_text_says_how_to_name_one(folder):
    (folder / "chat_template.jinja").unlink()
    encoder = Encoder(load(path=str(folder))[1])
    ids = Example(id_turns([1, 2]), [id_turns([3])], [1.0])
    assert encoder([ids])[0].prompts == [[1, 2]]
    with pytest.raises(ConfigError, match=r"no chat template: name one with model.chat_template=chatml"):
        encoder.prompt_ids(ASKED)


def test_a_named_template_is_used_and_exported(folder, tmp_path):
    (folder / "chat_template.jinja").unlink()
    _, tokenizer = load(path=str(folder), chat_template="plain")
    tokenizer.save_pretrained(tmp_path / "exported")
    for read in (tokenizer, AutoTokenizer.from_pretrained(tmp_path / "exported")):
        asked = read.apply_chat_template(ASKED, tokenize=False, add_generation_prompt=True)
        answer = {"role": "assistant", "content": "It is red."}
        assert asked == "User: Hello.\nAssistant: "
        assert read.apply_chat_template([*ASKED, answer], tokenize=False) == asked + "It is red.</s>\n"


def test_the_end_of_turn_of_a_named_template_is_the_eos_where_the_vocabulary_has_it(folder, caplog):
    tokenizer = byte_level()
    kept = tokenizer.eos_token, tokenizer.chat_template
    tokenizer.eos_token = "<|endoftext|>"
    try:
        tokenizer.save_pretrained(folder)
    finally:
        tokenizer.eos_token, tokenizer.chat_template = kept
    model, tokenizer = load(path=str(folder), chat_template="chatml")
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert tokenizer.eos_token == "<|im_end|>"
    assert stop_ids(model)[0] == end
    assert Encoder(tokenizer, stop_ids(model))([Example(ASKED, ["red"], [1.0])])[0].responses[0][-1] == end
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    load(path=str(folder), chat_template="gemma")
    assert "the tokenizer has no <end_of_turn>, <start_of_turn>" in caplog.text


def test_a_head_that_is_no_function_of_the_hidden_state_is_refused():
    model = policy("llama", seed=4).model
    verify_head(model)
    handle = model.register_forward_hook(
        lambda module, args, output: setattr(output, "logits", output.logits + 1)
    )
    try:
        with pytest.raises(RunError, match=r"LlamaForCausalLM: its head cannot be run.*differ by 1"):
            CausalLM(model)
    finally:
        handle.remove()
