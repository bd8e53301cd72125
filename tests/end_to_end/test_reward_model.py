"""A reward model from the command line: trained, exported as a plain classifier, and whole without samples."""

import json

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from alignlab.config.stage_of import stage_of_model
from alignlab.data.batching.batches import collate
from alignlab.program import main
from alignlab.runs.folder import RunFolder
from alignlab.training.opened import open_rows
from tests.end_to_end.command import SMALL, summary

LINE = (*SMALL, "policy=reward_model", "objective=bradley_terry", "trainer.max_steps=12", "optimizer.lr=0.01")


@pytest.mark.slow
def test_a_reward_model_trains_and_is_a_plain_classifier(command, tmp_path):
    line = [word for word in LINE if word not in ("evaluation=none", "report=false")]
    done = command(*line, "hydra.run.dir=run")
    assert done.code == 0, done.err
    run = RunFolder(tmp_path / "run")
    told = summary(run.path)
    assert told["status"] == "finished"
    for moment in ("initial", "final"):
        assert {"val/rewards/accuracy", "val/rewards/margin", "val/ranking_accuracy"} <= told[moment].keys()
        assert not any(
            name.startswith(("gold", "val/logps", "val/logratio", "val/kl")) for name in told[moment]
        )
    assert told["final"]["val/loss"] < told["initial"]["val/loss"]
    assert told["final"]["val/rewards/accuracy"] > told["initial"]["val/rewards/accuracy"]
    assert "pipeline_tag: text-classification" in (run.model / "README.md").read_text()
    assert (run.path / "report.html").is_file()

    opened = open_rows(stage_of_model(run, run.model))
    rows = opened.splits.validation
    batch = collate(rows, range(4))
    model = AutoModelForSequenceClassification.from_pretrained(run.model)
    tokenizer = AutoTokenizer.from_pretrained(run.model)
    with torch.no_grad():
        values = opened.policy.signals(batch, (None, ()), {"values"})["values"]
        for i in range(4):
            ids = [
                [*rows.prompts[i].tolist(), *rows.responses[member].tolist()] for member in rows.members[i]
            ]
            inputs = tokenizer.pad({"input_ids": ids}, return_tensors="pt")
            plain = model(**inputs).logits[:, 0]
            torch.testing.assert_close(values[i, : len(plain)], plain, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_checkpoint_is_exported_as_a_classifier_and_log_probabilities_are_refused(command, tmp_path):
    assert command(*LINE, "hydra.run.dir=run").code == 0
    main(["export", "run=run", "out=exported"])
    config = json.loads((tmp_path / "exported" / "config.json").read_text())
    assert config["architectures"] == ["LlamaForSequenceClassification"]
    with pytest.raises(
        SystemExit, match="needs a policy that gives logps, and RewardModel gives values alone"
    ):
        main(["score", "run=run"])
