"""`alignlab report runs=...`: files, what it prints, and what is wrong."""

import pytest

from alignlab.program import main
from tests.report.runs import make_run, make_sweep
from tests.report.test_page import Page

SEEDS = range(3)


@pytest.fixture
def report(capsys):
    def call(*arguments):
        main(["report", *map(str, arguments)])
        return capsys.readouterr().out

    return call


@pytest.fixture
def sweep(tmp_path):
    finals = {
        name: {
            seed: {"gold/reward": seed + gain + seed * gain / 50, "gold/kl": gain, "gold/length": 20.0}
            for seed in SEEDS
        }
        for name, gain in (("dpo", 0.0), ("ipo", 2.0))
    }
    folder = make_sweep(tmp_path / "sweep", finals)
    make_run(folder / "9", status="failed", error="ConfigError: <b>seed</b>", final={"gold/reward": 9.0})
    return folder


def test_a_sweep(report, sweep):
    out = report(f"runs={sweep}")
    assert "objective=ipo" in out
    assert "paired t over the seeds that both have" in out
    made = {
        str(file.relative_to(sweep / "report")) for file in (sweep / "report").rglob("*") if file.is_file()
    }
    assert made == {
        "report.html",
        "table.csv",
        "table.md",
        "table.tex",
        "plots/pareto-kl.png",
        "plots/pareto-length.png",
    }
    page = Page((sweep / "report" / "report.html").read_text())
    assert "ConfigError: <b>seed</b>" in page.text
    assert "b" not in page.tags
    assert page.tags.count("img") == 2
    assert "3.040 ± 2.584***" in page.text


def test_a_second_report_does_not_see_the_first(report, sweep):
    first, second = (report(f"runs={sweep}") for _ in range(2))
    assert first == second


def test_several_folders_a_baseline_and_another_place(report, sweep, tmp_path):
    make_run(
        tmp_path / "more/run",
        final={"gold/reward": 5.0},
        overrides=("objective=kto",),
        config={"objective": {"name": "kto"}},
    )
    out = report(
        f"runs=[{sweep},{tmp_path / 'more'}]",
        f"out={tmp_path / 'out'}",
        "baseline=objective=ipo trainer.max_steps=2",
        "metrics=gold/reward",
    )
    assert "objective=kto" in out
    assert "difference from objective=ipo" in out
    assert (tmp_path / "out/table.csv").read_text().count("\n") == 1 + 3
    assert not (sweep / "report").exists()


def test_of_one_run_its_own_page_is_made_anew(report, tmp_path):
    run = make_run(tmp_path / "run", final={"val/loss": 0.5}, initial={"val/loss": 0.7})
    assert f"written: {run}/report.html" in report(f"runs={run}")
    assert (run / "report.html").is_file()
    assert (run / "plots/loss.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs=nowhere"], "no such folder"),
        ([], "give the folders as runs=DIR"),
        (["multirun"], "expected key=value"),
        (["runs={sweep}", "metrics=[gold/rewrd]"], "did you mean 'gold/reward'"),
        (["runs={sweep}", "baseline=objective=ipoo"], "did you mean 'objective=ipo'"),
        (["runs={sweep}", "test=wilcoxn"], "did you mean 'wilcoxon'"),
    ],
)
def test_what_is_wrong(report, sweep, arguments, message):
    with pytest.raises(SystemExit, match=r"^error: ") as stop:
        report(*(text.format(sweep=sweep) for text in arguments))
    assert message in str(stop.value)
