"""Loading a model folder, and every way in which that can fail."""

import json
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
from alignlab.policies.causal_lm.model import CausalLM, verify_head
from alignlab.policies.causal_lm.pretrained import load, resolve
from alignlab.training.opened import stop_ids
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
    assert f"model '{folder}' cannot be loaded" in refused(folder)


def test_weights_cut_short(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert f"model '{folder}' cannot be loaded" in refused(folder)


def test_missing_weights_never_start_at_random(folder):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.norm.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    assert "lacks 1 of its weights (first: model.norm.weight)" in refused(folder)


def test_a_config_that_does_not_fit_the_weights(folder):
    edit(folder / "config.json", hidden_size=32)
    assert "cannot be loaded" in refused(folder)


@pytest.mark.parametrize("kind", ["no_such_architecture", None])
def test_an_unknown_architecture(folder, kind):
    edit(folder / "config.json", model_type=kind)
    assert "cannot be loaded" in refused(folder)


def test_broken_json(folder):
    (folder / "config.json").write_text("{")
    assert "cannot be loaded" in refused(folder)


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
    assert not caplog.records
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
