"""Runs brought together: settings, table, pictures over settings."""

import csv
import io
import math

import pytest

from alignlab.errors import ConfigError, RunError
from alignlab.report import comparison, tradeoffs
from alignlab.report.comparison import best_first, compare_plots, curve
from alignlab.report.formats import as_csv, as_latex, as_markdown
from alignlab.report.table import comparable, make_table, title_of
from alignlab.report.tradeoffs import MOST_SETTINGS, Shown, best_samples, front, lines
from alignlab.runs.record import find_runs
from alignlab.runs.setting import finished_settings, grid, short_names
from tests.report.runs import make_run, make_sweep

SEEDS = range(4)


def finals(base, step=0.0):
    return {
        seed: {"gold/reward": base + seed + step * (1 + seed / 100), "val/loss": base, "gold/kl": base}
        for seed in SEEDS
    }


@pytest.fixture
def sweep(tmp_path):
    return make_sweep(tmp_path / "sweep", {"dpo": finals(1.0), "ipo": finals(1.0, 0.5), "simpo": finals(1.0)})


def test_runs_that_differ_by_their_seed_are_one_group(sweep):
    settings = finished_settings(find_runs([sweep]))
    assert [setting.name for setting in settings] == ["objective=dpo", "objective=ipo", "objective=simpo"]
    assert all([*setting.finished] == [str(seed) for seed in SEEDS] for setting in settings)
    assert settings[0].values("gold/reward") == {"0": 1.0, "1": 2.0, "2": 3.0, "3": 4.0}
    assert settings[0].values("nothing") == {}


def test_stages_and_unfinished_runs_are_in_no_group(tmp_path):
    make_run(tmp_path / "a/run")
    make_run(tmp_path / "a/run/stages/01-first")
    make_run(tmp_path / "b", status="failed")
    runs = find_runs([tmp_path])
    assert {run.path.name for run in runs} == {"run", "b"}
    assert [len(setting.runs) for setting in finished_settings(runs)] == [1]


def test_jobs_come_in_the_order_of_their_numbers(tmp_path):
    for name in ("10", "2", "1"):
        make_run(tmp_path / name)
    assert [run.path.name for run in find_runs([tmp_path])] == ["1", "2", "10"]


def test_where_there_is_no_run(tmp_path):
    with pytest.raises(RunError, match="no such folder"):
        find_runs([tmp_path / "nowhere"])
    with pytest.raises(RunError, match="no run in there"):
        find_runs([tmp_path])
    make_run(tmp_path / "run", status="interrupted")
    with pytest.raises(RunError, match="none of these 1 runs is finished"):
        finished_settings(find_runs([tmp_path]))


def test_stars_stand_where_a_paired_test_held(sweep):
    """Differences of 0.5 over seeds that lie 1 apart: only pairs see them."""
    table = make_table(finished_settings(find_runs([sweep])))
    assert table.metrics == [
        "gold/reward"
    ]  # no losses of several objectives, and nothing that is equal in all
    texts = {row[0]: row[2] for row in table.rows}
    assert texts == {
        "objective=dpo": "2.500 ± 2.054",
        "objective=ipo": "3.007 ± 2.065***",
        "objective=simpo": "2.500 ± 2.054",
    }
    assert math.isnan(table.cells[2][0].p)  # equal to the baseline: nothing to test
    assert table.differences[0][:2] == ["objective=ipo", "+0.507 ± 0.010***"]
    assert table.differences[1][:2] == ["objective=simpo", "+0.000 ± 0.000"]
    assert "paired t over the seeds that both have, two-sided, Holm-corrected" in table.notes[1]


def test_holm_counts_the_rows_that_were_tested(tmp_path):
    values = {"dpo": finals(1.0), "ipo": finals(1.0, 0.5), "kto": finals(1.0, -0.5)}
    table = make_table(
        finished_settings(find_runs([make_sweep(tmp_path / "s", values)])), metrics=["gold/reward"]
    )
    ipo = table.cells[1][0]
    assert ipo.p == pytest.approx(2 * ipo.difference.p)


def test_another_baseline_and_unknown_names(sweep):
    settings = finished_settings(find_runs([sweep]))
    table = make_table(settings, baseline="objective=ipo", metrics=["gold/reward"])
    assert [bool(cell.difference) for (cell,) in table.cells] == [True, False, True]
    with pytest.raises(ConfigError, match="did you mean 'objective=ipo'"):
        make_table(settings, baseline="objective=ip")
    with pytest.raises(ConfigError, match="did you mean 'gold/reward'"):
        make_table(settings, metrics=["gold/rewrd"])


def test_two_seeds_are_not_tested(tmp_path):
    values = {
        name: {seed: {"gold/reward": seed + shift} for seed in (0, 1)}
        for name, shift in (("dpo", 0.0), ("ipo", 9.0))
    }
    table = make_table(finished_settings(find_runs([make_sweep(tmp_path / "s", values)])))
    assert "*" not in "".join(cell for row in table.rows for cell in row)
    assert "no differences were tested: too few seeds" in table.notes[1]


def test_table_as_csv_markdown_and_latex(sweep):
    table = make_table(finished_settings(find_runs([sweep])))
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert len(rows) == 3
    assert float(rows[1]["mean"]) == pytest.approx(3.0075)
    assert (rows[1]["test"], rows[1]["pairs"], rows[0]["test"]) == ("paired t", "4", "")
    assert rows[2]["p_holm"] == ""
    markdown = as_markdown(table).splitlines()
    assert markdown[0].startswith("|  | seeds | gold reward of samples |")
    assert {line.count("|") for line in markdown[:5]} == {4}
    assert "| objective=ipo | 4 | 3.007 ± 2.065\\*\\*\\* |" in markdown
    assert "| objective=ipo | +0.507 ± 0.010\\*\\*\\* |" in markdown
    latex = as_latex(table)
    assert r"objective=ipo & 4 & 3.007 $\pm$ 2.065$^{***}$ \\" in latex
    assert latex.count(r"\\") == 4


def test_what_latex_takes_for_commands_is_escaped(tmp_path):
    for seed, name in enumerate(("a_b%", r"c&\d")):
        make_run(
            tmp_path / str(seed), config={"x": name}, overrides=(f"x={name}",), final={"gold/reward": 1.0}
        )
    text = as_latex(make_table(finished_settings(find_runs([tmp_path]))))
    assert r"x=a\_b\% & 1" in text
    assert r"x=c\&\textbackslash{}d & 1" in text


def test_the_front_of_reward_against_kl():
    points = {
        "cheap": (1.0, 1.0),
        "worse": (2.0, 0.5),
        "good": (2.0, 3.0),
        "equal": (4.0, 3.0),
        "best": (5.0, 4.0),
    }
    assert front(points) == ["cheap", "good", "best"]


def test_curves_are_means_over_seeds(tmp_path):
    for seed, end in enumerate((1.0, 3.0)):
        make_run(tmp_path / str(seed), config={"seed": seed}, metrics={"val/loss": [0.5, math.nan, end]})
    (setting,) = finished_settings(find_runs([tmp_path]))
    steps, points = curve(setting, "val/loss")
    assert (steps, [point.value for point in points]) == ([0, 2], [0.5, 2.0])
    assert points[1].half == pytest.approx(12.706, rel=1e-4)


def two_settings(folder, drop=()):
    for i, (beta, lr) in enumerate((b, r) for b in ("0.1", "1", "0.5") for r in ("1e-3", "1e-4")):
        if i not in drop:
            make_run(
                folder / str(i),
                config={"b": beta, "lr": lr},
                overrides=(f"objective.loss.beta={beta}", f"optimizer.lr={lr}"),
                final={"gold/reward": float(i), "gold/kl": 1.0 + i, "gold/length": 20.0},
            )
    return finished_settings(find_runs([folder]))


def test_a_sweep_over_two_settings_has_a_grid_in_order(tmp_path, sweep):
    (down, rows), (across, columns) = grid(two_settings(tmp_path / "two"))
    assert (down, rows) == ("objective.loss.beta", ["0.1", "0.5", "1"])
    assert (across, columns) == ("optimizer.lr", ["1e-4", "1e-3"])
    assert grid(finished_settings(find_runs([sweep]))) is None


def test_a_log_ratio_on_the_data_is_no_cost(tmp_path):
    for name, away in (("dpo", -2.0), ("ipo", 3.0)):
        final = {"val/rewards/accuracy": 0.7, "val/logratio": away, "val/kl": away}
        make_run(tmp_path / name, overrides=(f"objective={name}",), config={"n": name}, final=final)
    made = compare_plots(finished_settings(find_runs([tmp_path])), tmp_path / "plots")
    assert not [file.name for file in made if "pareto" in file.name]


def test_pictures_of_a_sweep(tmp_path, sweep):
    made = {file.name for file in compare_plots(two_settings(tmp_path / "two", drop=(3,)), tmp_path / "out")}
    assert made == {"pareto-kl.png", "pareto-length.png", "heat-map.png", "curve-loss.png"}
    assert all((tmp_path / "out" / name).stat().st_size > 5000 for name in made)
    assert "heat-map.png" not in {
        file.name for file in compare_plots(finished_settings(find_runs([sweep])), tmp_path / "other")
    }


def forty(folder):
    for i in range(40):
        kl = (i * 7 % 40) / 10
        make_run(
            folder / str(i),
            config={"lr": i},
            overrides=(f"optimizer.lr={i}",),
            final={
                "gold/reward": -float(i),
                "gold/kl": kl,
                "gold/win_rate": 0.5 + i / 100,
                "gold/length": 20.0,
            },
        )
    return finished_settings(find_runs([folder]))


def test_of_many_rows_the_best_have_the_curves_and_the_front_the_names(tmp_path, monkeypatch):
    settings = forty(tmp_path / "runs")
    assert [setting.name for setting in best_first(settings)][:2] == ["optimizer.lr=0", "optimizer.lr=1"]
    assert short_names(settings)["optimizer.lr=3"] == "lr=3"
    legends = {}
    for module in (comparison, tradeoffs):
        monkeypatch.setattr(module, "finish", lambda axes, **_: legends.update({axes: names_of(axes)}))
    made = {file.name for file in compare_plots(settings, tmp_path / "out")}
    assert {"pareto-kl.png", "frontier.png", "curve-loss.png"} <= made
    assert max(len(names) for names in legends.values()) <= MOST_SETTINGS + 4
    curves = next(axes for axes in legends if axes.get_title(loc="left"))
    assert curves.get_title(loc="left") == "the best 16 of 40 rows by gold reward of samples"
    assert legends[curves] == [f"lr={i}" for i in range(MOST_SETTINGS)]
    named = next(names for names in legends.values() if "best of n of the start" in names)
    assert any(name.endswith("other rows") for name in named)


def names_of(axes):
    return axes.get_legend_handles_labels()[1]


def test_few_rows_stand_in_their_order(sweep):
    settings = finished_settings(find_runs([sweep]))
    assert best_first(settings) == settings
    assert short_names(settings) == {setting.name: setting.name for setting in settings}


def test_implicit_rewards_of_two_objectives_are_on_no_common_scale(tmp_path):
    values = {"val/rewards/margin": 1.0, "val/rewards/accuracy": 0.6, "val/kl_exact": 2.0}
    settings = finished_settings(
        find_runs([make_sweep(tmp_path, {"dpo": {0: values}, "simpo": {0: values}})])
    )
    assert not comparable(settings, "val/rewards/margin")
    assert comparable(settings, "val/rewards/accuracy")
    assert comparable(settings[:1], "val/rewards/margin")


def test_the_unit_of_rewards_is_that_of_the_objectives(tmp_path):
    for name, objective in {
        "a": {"name": "simpo", "implicit_reward": "mean"},
        "b": {"name": "ipo", "implicit_reward": "aggregate", "loss": {"aggregate": "sum"}},
    }.items():
        make_run(
            tmp_path / name, config={"objective": objective}, overrides=(f"objective={objective['name']}",)
        )
    settings = finished_settings(find_runs([tmp_path]))
    assert title_of("val/rewards/margin", settings) == "implicit reward margin, nats or nats a token"
    assert title_of("val/rewards/margin", settings[:1]) == "implicit reward margin, nats a token"
    assert title_of("val/logps/chosen", settings) == "log-prob of chosen, nats"


def test_best_of_n_of_the_start_beside_the_reward(tmp_path):
    """From several samples of a prompt; runs of other models, or with one sample each, have no such curve."""
    samples = tuple(
        {"prompt": p, "reward_before": r}
        for p, rewards in {"a": (0.0, 2.0), "b": (1.0, 3.0)}.items()
        for r in rewards
    )
    runs = {"dpo": samples, "ipo": samples, "one": samples[::2]}
    for place, (name, drawn) in enumerate(runs.items()):
        told = {
            "config": {"objective": {"name": name}},
            "overrides": (f"objective={name}",),
            "samples": drawn,
        }
        make_run(tmp_path / name, final={"gold/reward": float(place), "gold/kl": 1.0 + place}, **told)
    settings = finished_settings(find_runs([tmp_path]))
    both = [setting for setting in settings if "one" not in setting.name]
    assert best_samples(both) == [(0.0, 1.5), (pytest.approx(math.log(2) - 0.5), 2.5)]
    assert best_samples(settings) == []
    assert tmp_path / "plots/pareto-kl.png" in compare_plots(both, tmp_path / "plots")


def test_rows_that_a_number_sets_apart_make_a_line(tmp_path):
    """One for each objective, in order of the number; rows of two numbers' values or of one setting make none."""
    for name in ("dpo", "ipo"):
        for rate in ("1e-3", "5e-5", "1e-4"):
            make_run(
                tmp_path / name / rate,
                overrides=(f"objective={name}", f"optimizer.lr={rate}"),
                config={"objective": {"name": name}, "optimizer": {"lr": float(rate)}},
                final={"gold/reward": 1.0, "gold/kl": 1.0},
            )
    settings = finished_settings(find_runs([tmp_path]))
    rows = [Shown(setting, setting.name, place) for place, setting in enumerate(settings)]
    found = lines(rows)
    assert list(found) == ["objective=dpo", "objective=ipo"]
    for name, line in found.items():
        assert [row.setting.choices["optimizer.lr"] for row in line] == ["5e-5", "1e-4", "1e-3"]
        assert all(f"objective={row.setting.choices['objective']}" == name for row in line)
    assert lines([row for row in rows if row.setting.choices["optimizer.lr"] != "1e-4"]) == {}
    assert lines([row for row in rows if row.setting.choices["objective"] == "dpo"]) == {}
    assert tmp_path / "plots/pareto-kl.png" in compare_plots(settings, tmp_path / "plots")
