"""`alignlab extrapolate`: the arithmetic, the files it leaves, and what it says of them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from alignlab.errors import ConfigError
from alignlab.launch.finished_run import evaluated, start_of
from alignlab.program import main
from alignlab.runs import extrapolation
from alignlab.runs.extrapolation import extrapolate, extrapolated
from alignlab.runs.folder import RunFolder
from tests.end_to_end.command import SMALL, forked, summary
from tests.vectors import more


def small(seed, **settings):
    torch.manual_seed(seed)
    sizes = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    return LlamaForCausalLM(
        LlamaConfig(**{**sizes, "num_attention_heads": 2, "num_key_value_heads": 2, **settings})
    )


def weights(folder):
    found = {}
    for file in folder.glob("*.safetensors"):
        found |= load_file(file)
    return found


def saved(folder, **tensors):
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors")
    return folder


def test_vector():
    case = more()["A18_expo"]
    given_, wanted = case["inputs"], case["outputs"]["theta2"]
    ends = (torch.tensor(given_[name], dtype=torch.float64) for name in ("theta0", "theta1"))
    torch.testing.assert_close(
        extrapolated(*ends, given_["alpha"]), torch.tensor(wanted, dtype=torch.float64), atol=1e-9, rtol=0
    )


@given(st.lists(st.floats(-100, 100, width=32), min_size=1), st.floats(-1, 2))
def test_a_line_through_both_models(values, alpha):
    start = torch.tensor(values, dtype=torch.float64)
    trained = start.flip(0) + 1
    assert torch.equal(extrapolated(start, trained, 0.0), trained)
    torch.testing.assert_close(extrapolated(start, trained, -1.0), start)
    torch.testing.assert_close(extrapolated(start, trained, alpha), (1 + alpha) * trained - alpha * start)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_dtypes_are_kept_and_not_computed_in(dtype):
    start, trained = torch.tensor([1.0, 300.0]).to(dtype), torch.tensor([1.0078125, 301.0]).to(dtype)
    made = extrapolated(start, trained, 0.3)
    assert made.dtype == dtype
    exact = trained.double() + 0.3 * (trained.double() - start.double())
    torch.testing.assert_close(made, exact.to(dtype), rtol=0, atol=2e-7 if dtype == torch.float32 else 0)


def test_whole_numbers_are_those_of_the_trained_model():
    assert extrapolated(torch.tensor([1, 2]), torch.tensor([5, 6]), 0.5).tolist() == [5, 6]


def test_a_model_folder(tmp_path):
    """Sharded, tied, and loaded again by transformers."""
    start, trained = small(0, tie_word_embeddings=True), small(1, tie_word_embeddings=True)
    start.save_pretrained(tmp_path / "start")
    trained.save_pretrained(tmp_path / "trained", max_shard_size="5KB")
    (tmp_path / "trained" / "tokenizer.json").write_text("{}")
    assert len(list((tmp_path / "trained").glob("*.safetensors"))) > 2
    extrapolate(tmp_path / "start", tmp_path / "trained", tmp_path / "out", 0.5)
    made = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    ends = (dict(model.named_parameters()) for model in (start, trained))
    before, after = ends
    for name, weight in made.named_parameters():
        torch.testing.assert_close(weight, after[name] + 0.5 * (after[name] - before[name]))
    assert made.lm_head.weight is made.model.embed_tokens.weight
    assert (tmp_path / "out" / "tokenizer.json").is_file()
    assert "0.5" in (tmp_path / "out" / "README.md").read_text()
    assert not list(tmp_path.glob("*.partial"))


def test_one_shard_at_a_time_and_one_tensor_of_the_other(tmp_path, monkeypatch):
    small(0).save_pretrained(tmp_path / "start")
    small(1).save_pretrained(tmp_path / "trained", max_shard_size="5KB")
    held = []
    save = extrapolation.save_file
    monkeypatch.setattr(
        extrapolation,
        "save_file",
        lambda made, *rest, **more: (held.append(len(made)), save(made, *rest, **more)),
    )
    extrapolate(tmp_path / "start", tmp_path / "trained", tmp_path / "out", 0.1)
    assert sum(held) == len(weights(tmp_path / "trained"))
    assert max(held) < sum(held) / 2


@pytest.mark.parametrize("where", ["start", "trained"])
def test_copies_of_tied_weights_may_be_left_out_in_one(where, tmp_path):
    one, two = torch.arange(4.0), torch.arange(4.0) * 2
    folders = {name: {"embed": value} for name, value in (("start", one), ("trained", two))}
    folders[where]["head"] = folders[where]["embed"].clone()
    for name, tensors in folders.items():
        saved(tmp_path / name, **tensors)
    extrapolate(tmp_path / "start", tmp_path / "trained", tmp_path / "out", 1.0)
    made = weights(tmp_path / "out")
    assert made.keys() == folders["trained"].keys()
    assert all(torch.equal(value, torch.arange(4.0) * 3) for value in made.values())


@pytest.mark.parametrize(
    ("start", "trained", "message"),
    [
        ({"a": torch.ones(2)}, {"b": torch.zeros(2)}, "has no tensor b"),
        ({"a": torch.ones(2), "b": torch.zeros(2)}, {"a": torch.ones(2)}, "trained has no tensor b"),
        ({"a": torch.ones(2)}, {"a": torch.ones(3)}, r"a is \(2,\) in .*start and \(3,\) in .*trained"),
        ({"a": torch.ones(2)}, {}, "no safetensors there"),
    ],
)
def test_models_that_do_not_fit(start, trained, message, tmp_path):
    for name, tensors in (("start", start), ("trained", trained)):
        (tmp_path / name).mkdir()
        if tensors:
            save_file(tensors, tmp_path / name / "model.safetensors")
    with pytest.raises(ConfigError, match=message):
        extrapolate(tmp_path / "start", tmp_path / "trained", tmp_path / "out", 0.5)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["start=/x"], "say what to extrapolate"),
        (["strat=/x"], "did you mean 'start'"),
        (["run=/nowhere"], "no finished run there"),
    ],
)
def test_errors_say_what_to_type(arguments, message):
    with pytest.raises(SystemExit, match=message):
        main(["extrapolate", *arguments])


@pytest.mark.slow
def test_a_run_is_scored_as_it_scored_itself(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ALIGNLAB_CACHE", str(tmp_path / "cache"))
    gold = ("evaluation=gold", "evaluation.prompts=4", "evaluation.max_new_tokens=8")
    line = (*SMALL, *gold, "trainer.max_steps=3", "recipe=stepwise", "hydra.run.dir=run")
    done = forked(*line, cwd=tmp_path, cache=tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    main(["extrapolate", f"run={run}", "alphas=[0.5,0.25]"])
    told = capsys.readouterr().out
    assert "by alpha" in told
    assert [folder.name for folder in sorted((run / "model-expo").iterdir())] == ["alpha-0.25", "alpha-0.5"]
    before, after, last = (evaluated(RunFolder(run), folder) for folder in _points(run))
    first, final = summary(run)["initial"], summary(run)["final"]
    assert before["val/loss"] == pytest.approx(first["val/loss"], abs=1e-6)
    assert before["gold/kl"] == pytest.approx(0, abs=1e-6)
    assert after["val/logps/chosen"] == pytest.approx(final["val/logps/chosen"], abs=1e-4)
    assert after["gold/reward"] == final["gold/reward"]
    assert after["gold/kl"] == pytest.approx(final["gold/kl"], abs=1e-5)
    assert last["val/logps/chosen"] != after["val/logps/chosen"]


def _points(run):
    """The first model, the trained one, and one beyond: by an alpha of -1 the first comes back."""
    extrapolate(start_of(RunFolder(run), run / "start"), run / "model", run / "back", -1.0)
    return run / "back", run / "model", run / "model-expo" / "alpha-0.5"
