"""Loading a model folder, and every way in which that can fail."""

import json
import logging
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from alignlab import hub
from alignlab.errors import ConfigError, RunError
from alignlab.lab import vocabulary
from alignlab.policies.causal_lm.model import CausalLM, verify_head
from alignlab.policies.causal_lm.pretrained import PLAIN_TEMPLATE, load, resolve
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


def test_without_a_chat_template_turns_are_written_plainly(folder, caplog):
    (folder / "chat_template.jinja").unlink()
    with caplog.at_level(logging.WARNING, logger="alignlab"):
        _, tokenizer = load(path=str(folder))
    assert "has no chat template" in caplog.text
    assert tokenizer.chat_template == PLAIN_TEMPLATE
    turns = [{"role": "user", "content": "Hello."}]
    asked = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    answered = tokenizer.apply_chat_template(
        [*turns, {"role": "assistant", "content": "It is red."}], tokenize=False
    )
    assert asked == "User: Hello.\nAssistant: "
    assert answered == "User: Hello.\nAssistant: It is red.</s>\n"


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
