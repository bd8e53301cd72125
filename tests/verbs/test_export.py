"""`alignlab export`: from a checkpoint of any strategy to a folder that transformers loads."""

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from alignlab.disk import sha256
from alignlab.lab import vocabulary
from alignlab.program import main
from alignlab.training.checkpointing import tensor_file
from alignlab.training.checkpointing.checkpoints import hash_file
from alignlab.training.checkpointing.sharded_files import HELD, file_name

RANKS = 3
PREFIX = "scorer.policy.model."


def small(seed, *, tied=False):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=60, tie_word_embeddings=tied, **sizes))


@pytest.fixture
def run(tmp_path):
    """A run folder that began with a saved model; checkpoints are put into it by the tests."""

    def run(model, *, peft=None, precision="32-true"):
        start = tmp_path / "start"
        model.save_pretrained(start)
        vocabulary.build().save_pretrained(start)
        loader = {"_target_": "alignlab.policies.causal_lm.pretrained.load", "path": str(start)}
        config = {
            "model": {"name": "local", "path": str(start), "loader": loader},
            "objective": {"name": "dpo", "loss": {"_target_": "alignlab.losses.pairs.dpo.dpo", "beta": 0.1}},
            "data": {"name": "local"},
            **{group: {} for group in ("regularizers", "modifiers", "pipeline")},
            "peft": peft or {"method": "none"},
            "trainer": {"precision": precision},
        }
        folder = tmp_path / "run"
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        return folder

    return run


def write_file(folder, step, model):
    file = folder / "checkpoints" / f"step-{step:06d}.ckpt"
    state = {PREFIX + name: tensor for name, tensor in model.state_dict().items()}
    tensor_file.write(file, tensor_file.flatten({"state_dict": {**state, "terms.x": torch.ones(2)}}))
    hash_file(file).write_text(f"{sha256(file)}  {file.name}\n")
    link(folder, "last", file)
    return file


def write_folder(folder, step, model):
    """As ranks write it: each has a run of the elements of every weight, some ranks none."""
    place = folder / "checkpoints" / f"step-{step:06d}.ckpt"
    place.mkdir()
    lines = []
    for rank in range(RANKS):
        held = {}
        for name, weight in model.named_parameters():
            start, end = (weight.numel() * (rank + more) // RANKS for more in (0, 1))
            if start < end:
                part = weight.detach().flatten()[start:end].clone()
                held[PREFIX + name] = {
                    "start": start,
                    "elements": {"weight": part, "exp_avg": part},
                    "numbers": {},
                }
        state = {HELD: held, **({"state_dict": {}, "global_step": step} if rank == 0 else {})}
        file = place / file_name(rank, RANKS)
        tensor_file.write(file, tensor_file.flatten(state))
        lines.append(f"{sha256(file)}  {place.name}/{file.name}\n")
    hash_file(place).write_text("".join(lines))
    link(folder, "last", place)
    return place


def link(folder, name, target):
    (folder / "checkpoints" / f"{name}.ckpt").unlink(missing_ok=True)
    (folder / "checkpoints" / f"{name}.ckpt").symlink_to(target.name)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("write", [write_file, write_folder])
def test_a_checkpoint_becomes_a_plain_folder(write, tied, run, tmp_path, capsys):
    folder, trained = run(small(0, tied=tied)), small(1, tied=tied)
    write(folder, 25, trained)
    main(["export", f"run={folder}", f"out={tmp_path / 'made' / 'model'}"])
    assert "step-000025.ckpt" in capsys.readouterr().out
    made = AutoModelForCausalLM.from_pretrained(tmp_path / "made" / "model")
    for name, weight in made.state_dict().items():
        assert torch.equal(weight, trained.state_dict()[name]), name
    assert AutoTokenizer.from_pretrained(tmp_path / "made" / "model").eos_token_id is not None
    assert "25 optimizer steps" in (tmp_path / "made" / "model" / "README.md").read_text()


def test_best_and_paths(run, tmp_path):
    folder = run(small(0))
    files = {step: write_file(folder, step, small(step)) for step in (10, 20)}
    link(folder, "best", files[10])
    for which, step in (("best", 10), ("last", 20), (str(files[10]), 10)):
        main(["export", f"run={folder}", f"checkpoint={which}", f"out={tmp_path / 'out'}"])
        made = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
        assert torch.equal(made.lm_head.weight, small(step).lm_head.weight)


def test_low_precision_stays_low(run, tmp_path):
    folder = run(small(0), precision="bf16-true")
    write_folder(folder, 5, small(1).to(torch.bfloat16))
    main(["export", f"run={folder}", f"out={tmp_path / 'out'}"])
    made = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto")
    assert made.dtype == torch.bfloat16
    assert torch.equal(made.lm_head.weight, small(1).lm_head.weight.to(torch.bfloat16))


def test_adapters_are_merged(run, tmp_path):
    pytest.importorskip("peft")
    from alignlab.policies.causal_lm.adapter_settings import PeftSettings
    from alignlab.policies.causal_lm.adapters import lora
    from alignlab.policies.causal_lm.decoder import merge

    settings = {"r": 2, "alpha": 4, "target_modules": "all-linear"}
    trained, _ = lora(lambda: (small(0), None), PeftSettings("lora", **settings))
    with torch.no_grad():
        for name, weight in trained.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.01)
    folder = run(small(0), peft={"method": "lora", **settings})
    place = write_folder(folder, 5, trained)
    main(["export", f"run={folder}", f"checkpoint={place}", f"out={tmp_path / 'out'}"])
    made, wanted = AutoModelForCausalLM.from_pretrained(tmp_path / "out"), merge(trained)
    ids = torch.arange(1, 9)[None]
    torch.testing.assert_close(made(ids).logits, wanted(ids).logits)


def test_errors_say_what_is_wrong(run, tmp_path):
    folder = run(small(0))
    out = f"out={tmp_path / 'out'}"

    def fails(message, *arguments):
        with pytest.raises(SystemExit, match=message):
            main(["export", *arguments])

    fails("out= is missing", f"run={folder}")
    fails("did you mean 'checkpoint'", f"run={folder}", "checkpont=last", out)
    fails("checkpoint=last: no .*there|checkpoint=last: no .*none", f"run={folder}", out)
    fails("no run folder", f"run={tmp_path / 'nowhere'}", out)
    file = write_file(folder, 5, small(1))
    file.write_bytes(file.read_bytes()[:-1])
    fails("is torn", f"run={folder}", out)
    other = LlamaForCausalLM(
        LlamaConfig(vocab_size=60, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    )
    write_file(folder, 6, other)
    fails("is no weight of LlamaForCausalLM", f"run={folder}", out)
    place = write_folder(folder, 7, small(1))
    (place / file_name(1, RANKS)).unlink()
    fails("torn|not all files", f"run={folder}", out)
    assert not (tmp_path / "out").exists()


def test_stages_have_their_own(run, tmp_path):
    folder = run(small(0))
    stage = folder / "stages" / "01-first"
    (stage / "checkpoints").mkdir(parents=True)
    with pytest.raises(SystemExit, match=r"several stages.*run=.*01-first"):
        main(["export", f"run={folder}", f"out={tmp_path / 'out'}"])
