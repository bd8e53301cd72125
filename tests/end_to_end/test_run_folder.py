"""What a run leaves behind, and that the exported model is the trained one."""

import csv
import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from alignlab.assembly.build import build_data
from alignlab.data.load import load_examples
from alignlab.runs.folder import RunFolder
from tests.config.compose import composed
from tests.end_to_end.command import SMALL, summary

FILES = {
    "config.yaml",
    "overrides.txt",
    "manifest.json",
    "metrics.csv",
    "summary.json",
    "train.log",
    "report.html",
    "samples.jsonl",
    "checkpoints/last.ckpt",
    "model/model.safetensors",
    "model/config.json",
    "model/tokenizer.json",
    "model/README.md",
    *(
        f"plots/{name}.png"
        for name in ["loss", "rewards", "margin", "accuracy", "logps", "lengths", "logratio"]
    ),
}
SIDES = [f"{topic}/{side}" for topic in ("rewards", "logps", "lengths") for side in ("chosen", "rejected")]
PREFERENCE = [
    "rewards/margin",
    "rewards/accuracy",
    "ranking_accuracy",
    "logratio",
    "loss",
    "tokens_per_second",
    *SIDES,
]


@pytest.fixture
def run(command, tmp_path):
    gold = ("evaluation=gold", "evaluation.prompts=4", "evaluation.max_new_tokens=8")
    line = (*SMALL, *gold, "trainer.max_steps=4", "regularizers=[sft]", "report=true", "hydra.run.dir=run")
    done = command(*line)
    assert done.code == 0, done.err
    assert "run folder: " in done.out
    return Path(tmp_path / "run")


@pytest.mark.slow
def test_run_folder(run, cache):
    """One run, many questions."""
    files = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()}
    assert files >= FILES
    assert "dropped_rows.jsonl" not in files
    assert not [name for name in files if "partial" in name]
    assert "step 4/4" in (run / "train.log").read_text()
    assert "regularizers=[sft]" in (run / "overrides.txt").read_text().splitlines()
    _metrics(run)
    _summary(run)
    _manifest(run)
    _model(run, cache)


def _metrics(run):
    with (run / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for split in ("train", "val"):
        names = {f"{split}/{name}" for name in (*PREFERENCE, "loss/dpo", "loss/sft")}
        reported = [row for row in rows if row[f"{split}/loss"]]
        assert all(row[name] for row in reported for name in names)
    assert [int(row["step"]) for row in rows if row["train/loss"]] == [1, 2, 3, 4]
    for row in rows:
        for split in ("train", "val"):
            if row[f"{split}/loss"]:
                parts = float(row[f"{split}/loss/dpo"]) + 0.1 * float(row[f"{split}/loss/sft"])
                assert float(row[f"{split}/loss"]) == pytest.approx(parts, rel=1e-6)


def _summary(run):
    told = summary(run)
    assert (told["status"], told["objective"], told["data"], told["steps"]) == ("finished", "dpo", "lab", 4)
    assert told["tokens_per_second"] > 0
    assert {"data", "model", "train", "evaluation", "total"} <= set(told["timings"])
    for moment in ("initial", "final"):
        assert {f"val/{name}" for name in PREFERENCE} <= set(told[moment])
        assert {"gold/reward", "gold/kl", "gold/length"} <= set(told[moment])
    assert told["initial"]["gold/kl"] == 0.0
    assert told["best"]["val/loss"] <= min(told["initial"]["val/loss"], told["final"]["val/loss"])
    assert "error" not in told
    samples = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    assert len(samples) == 4
    assert {"prompt", "before", "after", "reward_before", "reward_after"} == set(samples[0])


def _manifest(run):
    manifest = json.loads((run / "manifest.json").read_text())
    assert {"python", "torch", "lightning", "transformers", "hydra-core"} <= set(manifest["versions"])
    assert manifest["seed"] == 0
    assert manifest["changed"]["data.limit"] == [4096, 96]
    assert manifest["changed"]["regularizers.sft"][0] == "(absent)"
    assert not {"seed", "objective.name", "trainer.precision"} & set(manifest["changed"])
    assert manifest["command"].startswith("train.py evaluation=none")
    assert manifest["rows"]["source"]["in"] == manifest["rows"]["source"]["out"] == 112
    assert set(manifest["data_fingerprints"]) == {"train", "validation"}
    assert manifest["reference"] == {"mode": "precomputed", "model": "tiny"}
    assert len(manifest["first_ids_sha256"]) == 64
    assert manifest["hardware"]["cpu_count"] >= 1


def _model(run, cache):
    """Loaded by transformers alone, it has the validation loss that the run reported."""
    assert "alignlab" in (run / "model/README.md").read_text()
    rows = load_examples(build_data(composed(*SMALL)), cache).validation
    assert len(rows) == 16
    start = next(path for path in (cache / "models").iterdir() if path.is_dir() and _small(path))
    trained, before = (_margins(folder, rows) for folder in (run / "model", start))
    loss = -torch.nn.functional.logsigmoid(0.1 * (trained - before)).mean().item()
    assert loss == pytest.approx(summary(run)["final"]["val/loss/dpo"], abs=1e-5)
    assert loss != pytest.approx(summary(run)["initial"]["val/loss/dpo"], abs=1e-3)


def _small(folder):
    return json.loads((folder / "config.json").read_text())["hidden_size"] == 16


@torch.no_grad()
def _margins(folder, rows):
    """Log-probability of the best response less that of the worst, a row."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    margins = []
    for row in rows:
        ends = (row.labels.index(limit(row.labels)) for limit in (max, min))
        best, worst = (_logp(model, tokenizer, row.prompt, row.responses[i]) for i in ends)
        margins.append(best - worst)
    return torch.tensor(margins)


def _logp(model, tokenizer, prompt, answer):
    before = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template([*prompt, *answer], tokenize=False)
    ids = tokenizer(whole, add_special_tokens=False, return_tensors="pt")["input_ids"]
    start = len(tokenizer(before, add_special_tokens=False)["input_ids"])
    logps = model(ids).logits[0, :-1].log_softmax(-1)
    return sum(logps[i - 1, ids[0, i]].item() for i in range(start, ids.shape[1]))


@pytest.mark.slow
def test_the_status_is_sound_at_every_moment(command, monkeypatch):
    """Every version of summary.json that was ever in place."""
    seen, write = [], RunFolder.write_json

    def spied(folder, name, value):
        write(folder, name, value)
        seen.extend([value["status"]] if name == "summary.json" else [])

    monkeypatch.setattr(RunFolder, "write_json", spied)
    assert command(*SMALL, "trainer.max_steps=2", "hydra.run.dir=run").code == 0
    assert seen == ["interrupted"] * (len(seen) - 1) + ["finished"]
    assert len(seen) > 2
