"""`alignlab score` scores a dataset under a run, or under a model alone."""

import pyarrow.parquet as pq
import pytest
import torch
import yaml

from alignlab.analysis import examined
from alignlab.assembly.build import call
from alignlab.config.stage_of import stage_of, stage_to_score, trained_run
from alignlab.errors import ConfigError, RunError
from alignlab.program import main
from alignlab.training.opened import open_rows
from tests.data.shared import DATA, STORIES, needs_data
from tests.verbs.small_run import MODEL, make_run


def scored(overrides, split="validation", run=None):
    trained = None if run is None else trained_run(run)
    return examined.scored(examined.examine(stage_to_score(overrides, trained), split))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("scored") / "run")


def said(capsys):
    return " ".join(capsys.readouterr().out.split())


def test_a_run_is_scored_on_its_own_data(run, tmp_path, capsys):
    out = tmp_path / "scores.parquet"
    main(["score", f"run={run}", f"out={out}"])
    text = said(capsys)
    assert "validation, beta 0.1" in text
    assert "lists │ 12" in text
    assert "implicit accuracy │ 0." in text
    table = pq.read_table(out)
    assert table.column_names == [
        "id",
        "response",
        "source",
        "label",
        "score",
        "length",
        "logp",
        "ref_logp",
        "reward",
    ]
    assert table.schema.metadata[b"beta"] == b"0.1"
    first = table.to_pylist()[0]
    assert first["source"] == "lab"
    assert first["reward"] == pytest.approx(0.1 * (first["logp"] - first["ref_logp"]))
    assert table.num_rows == 48


def naive(model, prompt, response):
    """The log-probability of a response, by the model's own logits."""
    ids = torch.tensor([[*prompt, *response]])
    logps = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].double().log_softmax(-1)
    return logps[range(len(response)), list(response)].sum().item()


@torch.no_grad()
def test_scores_are_those_of_the_trained_model_and_of_its_start(run):
    rows = scored([], run=run)
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    start, _ = call(config["model"]["loader"], "model.loader")()
    trained = type(start).from_pretrained(run / "model")
    known = open_rows(
        stage_of((run / "overrides.txt").read_text(encoding="utf-8").splitlines())
    ).splits.validation
    for index in (0, 7):
        (part,) = known.parts(index)
        prompt, members = part
        for place, member in enumerate(members):
            response = known.responses[member].tolist()
            assert rows.lengths[index, place] == len(response)
            for model, found in ((trained, rows.logps), (start, rows.ref_logps)):
                assert found[index, place].item() == pytest.approx(
                    naive(model, prompt.tolist(), response), abs=1e-3
                )
    assert rows.ids == list(known.ids)


def test_overrides_change_the_data_and_not_the_model(run):
    own = scored([], run=run)
    few = scored(["data.limit_validation=5"], run=run)
    assert few.ids == own.ids[:5]
    torch.testing.assert_close(few.logps, own.logps[:5], atol=1e-4, rtol=1e-5)
    pairs = scored(
        ["data=lab", "pipeline=[pairs]", "data.limit=20", "data.limit_validation=5"], run=run, split="train"
    )
    assert pairs.where.shape[1] == 2
    assert pairs.ref_logps is not None


def test_a_model_alone_has_log_probabilities_alone(run, tmp_path, capsys):
    out = tmp_path / "alone.parquet"
    given = [*MODEL, f"cache_dir={run.parent / 'cache'}", "data.limit=20", "data.limit_validation=6"]
    main(["score", *given, "reference=none", f"out={out}"])
    text = said(capsys)
    assert "ranking accuracy │ 0." in text
    assert "implicit" not in text
    assert "ref_logp" not in pq.read_table(out).column_names
    two = scored([*given, f"reference.path={run / 'model'}"])
    assert two.ref_logps is not None


def test_a_run_without_a_reference_has_none_unless_it_is_given_one(tmp_path):
    run = make_run(tmp_path / "run", "objective=simpo")
    assert scored([], run=run).ref_logps is None
    assert scored(["reference=precomputed"], run=run).ref_logps is not None


def test_of_a_stage_the_reference_is_its_own_start_or_that_of_the_run(tmp_path):
    run, other = make_run(tmp_path / "run"), make_run(tmp_path / "other", "model.loader.steps=3")
    for name, of in (("01-a", "start"), ("02-b", "base")):
        config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        loader = {"_target_": "alignlab.policies.causal_lm.pretrained.load", "path": str(other / "model")}
        config["model"] |= {"path": str(other / "model"), "loader": loader}
        config["reference"]["of"] = of
        stage = run / "stages" / name
        stage.mkdir(parents=True)
        (stage / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        (stage / "overrides.txt").write_text("", encoding="utf-8")
        (stage / "model").symlink_to(run / "model")
    whole = scored([], run=run)
    first, second = (scored([], run=run / f"stages/{name}") for name in ("01-a", "02-b"))
    torch.testing.assert_close(second.ref_logps, whole.ref_logps)
    assert not torch.allclose(first.ref_logps, whole.ref_logps)
    torch.testing.assert_close(first.logps, whole.logps)


@needs_data
def test_real_data_under_a_real_model(tmp_path, capsys):
    path = DATA / "ultrafeedback_binarized"
    main(
        [
            "score",
            "model=local",
            f"model.path={STORIES}",
            "data=ultrafeedback_binarized",
            f"data.path={path}",
            "data.limit=4",
            "data.limit_validation=8",
            "data.max_length=256",
            "data.max_prompt_length=128",
            f"cache_dir={tmp_path}",
        ]
    )
    assert "lists │ 8" in said(capsys)


def test_errors_are_messages(run, tmp_path):
    with pytest.raises(SystemExit, match=r"error: run=.*: no run folder there"):
        main(["score", f"run={tmp_path}"])
    with pytest.raises(SystemExit, match=r"expected a file that ends in \.parquet"):
        main(["score", f"run={run}", "out=scores.csv"])
    with pytest.raises(SystemExit, match=r"error: .*data\.nonsense"):
        main(["score", f"run={run}", "data.nonsense=1"])
    with pytest.raises(ConfigError, match="split=test: "):
        scored([], run=run, split="test")
    (tmp_path / "config.yaml").write_text("model: {}", encoding="utf-8")
    with pytest.raises(RunError, match="has no model/ yet"):
        scored([], run=tmp_path)
    with pytest.raises(ConfigError, match="model=tiny knows only the words of data=lab"):
        scored(["data=local", f"data.path={tmp_path}"], run=run)
