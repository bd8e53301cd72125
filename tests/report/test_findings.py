"""Every warning, on both sides of where it begins."""

import pytest

from alignlab.report import findings as look
from alignlab.runs.record import read_run
from tests.report.runs import make_run


def history(**topics):
    """Series over steps 0, 1, ...; `__` stands for a slash."""
    return {
        name.replace("__", "/"): (list(range(len(values))), list(values)) for name, values in topics.items()
    }


def test_displacement_names_the_nats_and_the_way_out():
    fell = history(val__logps__chosen=[-100.0, -112.0], val__logps__rejected=[-100.0, -130.0])
    text = look.displacement(fell)
    assert "chosen log-prob fell by 12.0 nats" in text
    assert "(rejected: -30.0)" in text
    assert "objective=dpop or regularizers=[sft]" in text
    assert look.displacement(history(val__logps__chosen=[-100.0, -95.0])) is None
    assert look.displacement(history(val__logps__chosen=[-100.0, -104.9])) is None
    assert look.displacement({}) is None


def test_displacement_of_short_responses_begins_earlier():
    def fell(nats, tokens):
        return look.displacement(
            history(val__logps__chosen=[-9.0, -9.0 - nats], val__lengths__chosen=[tokens] * 2)
        )

    assert fell(2.1, 20.0) is not None
    assert fell(1.9, 20.0) is None
    assert fell(4.9, 300.0) is None
    assert fell(5.1, 300.0) is not None


def test_displacement_without_validation_goes_by_the_ends_of_training():
    values = [-50.0 - step for step in range(20)]
    assert "fell by 18.0 nats" in look.displacement(history(train__logps__chosen=values))
    assert look.displacement(history(train__logps__chosen=values[::-1])) is None


def test_length_growth():
    assert "from 20.0 to 30.0 tokens" in look.length_growth(history(gold__length=[20.0, 30.0]))
    assert look.length_growth(history(gold__length=[20.0, 24.0])) is None
    assert look.length_growth(history(gold__length=[4.0, 5.5])) is None
    assert look.length_growth(history(gold__length=[30.0, 20.0])) is None


def test_early_certainty():
    late = [0.5] * 10 + [0.8] * 10
    assert look.early_certainty(history(val__rewards__accuracy=late)) is None
    assert look.early_certainty(history(val__rewards__accuracy=[0.5] * 19 + [1.0])) is None
    text = look.early_certainty(history(val__rewards__accuracy=[0.5, 0.9] + [1.0] * 18))
    assert "in validation reached 0.995 by step 2 of 19: overfitting or leakage" in text
    # of training steps five in a row count: one holds few pairs
    assert (
        look.early_certainty(history(train__rewards__accuracy=[1.0, 1.0, 1.0, 1.0, 0.7] + [0.8] * 15)) is None
    )
    assert "in training" in look.early_certainty(history(train__rewards__accuracy=[1.0] * 20))


def test_overfitting():
    text = look.overfitting(history(val__loss=[0.69, 0.5, 0.55]))
    assert "lowest at step 1 (0.5000) and rose to 0.5500" in text
    assert look.overfitting(history(val__loss=[0.69, 0.5, 0.505])) is None
    assert look.overfitting(history(val__loss=[0.69, 0.6, 0.5])) is None
    assert look.overfitting(history(val__loss=[0.5, 0.69])) is None


def test_no_progress():
    assert "did not fall (0.6931 before, 0.7000 after)" in look.no_progress(history(val__loss=[0.6931, 0.7]))
    assert look.no_progress(history(val__loss=[0.6931, 0.69])) is None
    assert look.no_progress(history(val__loss=[0.6931])) is None


def test_gradient_spikes():
    text = look.gradient_spikes(history(train__gradient_norm=[1.0] * 9 + [30.0]))
    assert "rose to 30, 30 times its median (steps 9)" in text
    assert look.gradient_spikes(history(train__gradient_norm=[1.0] * 9 + [9.0])) is None
    assert look.gradient_spikes(history(train__gradient_norm=[1.0, 30.0])) is None
    assert look.gradient_spikes(history(train__gradient_norm=[0.0] * 9 + [1.0])) is None
    many = look.gradient_spikes(history(train__gradient_norm=[1.0] * 20 + [30.0] * 7))
    assert "20, 21, 22, 23, 24 and more" in many


def test_far_away():
    assert "KL of samples to the start is 26.0 nats" in look.far_away(history(gold__kl=[0.0, 26.0]))
    assert look.far_away(history(gold__kl=[0.0, 24.0])) is None
    assert look.far_away(history(gold__kl=[0.0, 11.0], gold__length=[20.0, 20.0])) is not None
    assert look.far_away(history(gold__kl=[0.0, 9.0], gold__length=[20.0, 20.0])) is None
    assert "exact KL" in look.far_away(history(val__kl_exact=[0.0, 99.0]))


def test_over_optimization():
    better = {"val__rewards__accuracy": [0.5, 0.9]}
    fell = history(gold__reward=[2.0, 1.0], **better)
    assert "fell from 2.00 to 1.00 though reward accuracy rose by 0.40" in look.over_optimization(fell)
    assert (
        look.over_optimization(history(gold__reward=[2.0, 1.0], gold__reward_ci=[0.8, 0.8], **better)) is None
    )
    assert look.over_optimization(history(gold__reward=[1.0, 2.0], **better)) is None
    assert look.over_optimization(history(gold__reward=[2.0, 1.0], val__rewards__accuracy=[0.5, 0.4])) is None


def test_ties():
    assert "30% of the pairs are ties (val/ties)" in look.ties(history(val__ties=[0.1, 0.3]))
    assert look.ties(history(val__ties=[0.3, 0.1])) is None
    still = history(val__rewards__accuracy=[0.5, 0.5], val__rewards__margin=[0.0, 0.0])
    assert "the policy did not move" in look.ties(still)
    assert look.ties(history(val__rewards__accuracy=[0.5, 0.5], val__rewards__margin=[0.0, 0.1])) is None


def test_steps_left_out():
    assert "2 steps were left out" in look.steps_left_out(history(train__nonfinite=[0.0, 2.0]))
    assert look.steps_left_out(history(train__nonfinite=[0.0, 0.0])) is None
    assert look.steps_left_out({}) is None


def test_a_run_is_told_all_of_it(tmp_path):
    moments = {"initial": {"gold/length": 10.0}, "final": {"gold/length": 30.0}}
    metrics = {"val/loss": [0.69, 0.8], "val/logps/chosen": [-9.0, -30.0]}
    texts = look.findings(read_run(make_run(tmp_path / "bad", metrics=metrics, **moments)))
    assert [text.split()[0] for text in texts] == ["chosen", "samples", "validation"]
    assert look.findings(read_run(make_run(tmp_path / "good"))) == []


def test_a_loss_begins_anew_with_a_stage(tmp_path):
    """Its reference is another: 0.69 again. Log-probabilities go on."""
    run = make_run(tmp_path / "run")
    rows = [
        "step,stage,val/loss,val/logps/chosen",
        "0,1,0.69,-20",
        "6,1,0.5,-24",
        "6,2,0.69,-24",
        "12,2,0.6,-28",
    ]
    (run / "metrics.csv").write_text("\n".join(rows) + "\n")
    (text,) = look.findings(read_run(run))
    assert text.startswith("chosen log-prob fell by 8.0 nats")
    (run / "metrics.csv").write_text("\n".join([*rows, "18,2,0.68,-20"]) + "\n")
    (text,) = look.findings(read_run(run))
    assert text.startswith("validation loss was lowest at step 12 (0.6000)")


@pytest.mark.parametrize("finding", look.LOOKED_FOR)
def test_nothing_is_found_in_nothing(finding):
    assert finding({}) is None
    assert finding({"val/loss": ([0], [0.5])}) is None
