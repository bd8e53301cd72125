"""`alignlab objectives`: what it prints, what it draws, and the numbers behind the picture."""

import math
import re

import matplotlib.image
import pytest
import torch
from torch.testing import assert_close

from alignlab.analysis.loss_curves import along, has_curve, pair_matrix, reach
from alignlab.errors import ConfigError
from alignlab.objective.card import FAMILIES, GROUPS, cards, find_card
from alignlab.objective.load import load_objective
from alignlab.places import choices
from alignlab.program import main

LIST = [1.0, 2 / 3, 1 / 3, 0.0]
OF_A_FAMILY = ["dpop", "simpo", "kto", "lipo_lambda", "lipo_softmax", "label_smoothing"]


@pytest.fixture
def show(capsys, tmp_path, monkeypatch):
    """`show(*arguments)` runs the verb in an empty folder and gives what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        main(["objectives", *arguments])
        return capsys.readouterr().out

    return run


def doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_lists_all_of_them(show, tmp_path):
    text = show()
    for title in FAMILIES.values():
        assert title in text
    for group in GROUPS:
        for name in choices(group):
            assert f"\n{name} " in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "loss"),
    [
        (["dpo"], "0.6931, of a pair"),
        (["ipo", "tau=0.5"], "1, of a pair"),
        (["kto"], "0.5, of a pair"),
        (["lipo_softmax"], "1.386, of four"),
        (["simpo"], ""),
    ],
)
def test_the_first_loss_against_a_reference(show, words, loss):
    shown = re.search(r"^first loss +(.*)$", show(*words), re.MULTILINE)
    assert (shown[1].startswith(loss) and bool(loss)) if shown else not loss


@pytest.mark.parametrize("name", OF_A_FAMILY)
def test_shows_and_draws_one(show, name, tmp_path):
    card, text = find_card(name), show(name)
    flat = " ".join(text.split())
    for words in (card.title, card.formula, card.target, ", ".join(card.signals)):
        assert " ".join(words.split()) in flat
    for hyper in card.hyper:
        assert hyper.values in text
        assert f"\n{hyper.name} " in text
    assert text.rstrip().endswith(f"outputs/objectives/{name}.png")
    picture = matplotlib.image.imread(tmp_path / "outputs" / "objectives" / f"{name}.png")
    assert picture.shape[1] > picture.shape[0] > 300
    assert picture.std() > 0.05


def test_overrides_and_another_place(show, tmp_path):
    assert show("dpo", "beta=0.5", "out=a/b.png").rstrip().endswith("a/b.png")
    assert "0.5  " in show("dpo", "beta=0.5", "out=a/b.png")
    assert [path.name for path in tmp_path.rglob("*.png")] == ["b.png"]


def test_a_regularizer_has_nothing_to_draw(show, tmp_path):
    assert "KL" in show("hypo") or "logp" in show("hypo")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lipo_lamda"], "did you mean 'lipo_lambda'?"),
        (["modifiers.wop"], "did you mean 'wpo'?"),
        (["dpo", "bta=1"], "did you mean 'beta'?"),
        (["dpo", "beta"], "expected key=value"),
        (["ipo", "aggregate=men"], "did you mean 'mean'?"),
    ],
)
def test_what_is_misspelt(show, arguments, message):
    with pytest.raises(SystemExit, match=r"^error: ") as stop:
        show(*arguments)
    assert message in str(stop.value)


def test_an_objective_goes_before_a_modifier_of_its_name():
    assert find_card("wpo").group == "objective"
    assert find_card("modifiers.wpo").group == "modifiers"
    with pytest.raises(ConfigError, match="did you mean 'sft'"):
        find_card("regularizers.sfd")


@pytest.mark.parametrize("name", [name for name in choices("objective") if has_curve(load_objective(name))])
def test_every_loss_has_a_finite_curve(name):
    objective, card = load_objective(name), find_card(name)
    far = reach(objective, [0.5, -0.5], [1.0, 0.0])
    assert 1 <= far <= 10_000
    labels = {"single": [1.0], "lists": LIST}.get(card.family, [1.0, 0.0])
    moves = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None].repeat(1, len(labels)) * far
    moves[:, 1:] = 0
    losses, gradients = along(objective, moves, labels)
    assert losses.isfinite().all()
    assert gradients.isfinite().all()
    assert losses.std() > 0


def test_curve_of_dpo():
    margins = torch.linspace(-50, 50, 11, dtype=torch.float64)
    losses, gradients = along(
        load_objective("dpo"), torch.stack([margins / 2, -margins / 2], dim=1), [1.0, 0.0]
    )
    assert_close(losses, torch.nn.functional.softplus(-0.1 * margins))
    assert_close(gradients[:, 0], -0.1 * torch.sigmoid(-0.1 * margins))
    assert_close(gradients[:, 1], -gradients[:, 0])


def test_each_point_is_a_step_of_its_own():
    """A sort over all points would couple the best of one with the worst of another."""
    moves = doubles([3.0, 4.0], [-5.0, 1.0], [7.0, 2.0])
    for name in ("aot", "aot_unpaired"):
        losses, _ = along(load_objective(name), moves, [1.0, 0.0])
        assert_close(losses, torch.nn.functional.softplus(-0.01 * (moves[:, 0] - moves[:, 1])))


@pytest.mark.parametrize("delta", ["batch", "running", "none"])
def test_single_responses_meet_a_step_that_has_not_moved(delta):
    losses, _ = along(load_objective("bco", delta=delta), doubles([3.0], [-3.0]), [1.0])
    assert_close(losses, torch.nn.functional.softplus(doubles(-0.3, 0.3)))


@pytest.mark.parametrize(("name", "hyper", "far"), [("ipo", {"aggregate": "sum"}, 10.0), ("slic", {}, 5.0)])
def test_range_reaches_the_target(name, hyper, far):
    """IPO's is 1 / (2 tau) = 5 nats, SLiC's delta = 1."""
    assert reach(load_objective(name, **hyper), [0.5, -0.5], [1.0, 0.0]) == far


def test_weights_of_pairs():
    moves = [1.0, -1.0, 2.0, 0.0]
    ranks = [2, 4, 1, 3]
    title, matrix = pair_matrix(load_objective("lipo_lambda"), moves, LIST)
    assert "weight of pair" in title
    for i in range(4):
        for j in range(4):
            gap = abs(2 ** LIST[i] - 2 ** LIST[j])
            drop = abs(1 / math.log(1 + ranks[i]) - 1 / math.log(1 + ranks[j]))
            assert matrix[i, j].item() == pytest.approx(gap * drop if i < j else 0)


def test_pushes_of_pairs():
    title, matrix = pair_matrix(load_objective("lipo_pair_logistic", beta=0.5), [1.0, -1.0, 2.0, 0.0], LIST)
    assert "alone" in title
    assert matrix[0, 2].item() == pytest.approx(0.5 / (1 + math.exp(-0.5)))
    assert (matrix.tril() == 0).all()


def test_second_derivatives_of_a_softmax():
    moves = doubles(1.0, -1.0, 2.0, 0.0)
    title, matrix = pair_matrix(load_objective("lipo_softmax", beta=0.5), moves.tolist(), LIST)
    shares = (0.5 * moves).softmax(dim=0)
    assert "second derivative" in title
    assert_close(matrix, 0.25 * (shares.diag() - shares[:, None] * shares))


def test_cards_say_when_a_loss_is_another():
    reductions = {card.name: card.reduces for card in cards("objective")}
    assert reductions["cdpo"][0] == "with epsilon = 0 it is `dpo`"
    assert reductions["gpo"] == ("it is `sppo` where the rewards are the labels less 1/2",)
    assert reductions["lipo_softmax"] == ("it is `dpo`",)
    assert reductions["dpo"] == reductions["nca"] == ()


def test_card_of_a_loss_under_a_modifier():
    card = find_card("cdpo")
    assert card.target.endswith("label_smoothing of alignlab.losses.pairs.dpo.dpo")
    assert "epsilon * loss(rejected, chosen)" in card.formula
    assert card.formula.endswith("loss = -log sigmoid(beta * (chosen_logratio - rejected_logratio))")
    assert [(h.name, h.range) for h in card.hyper] == [("beta", (0.01, 0.5)), ("epsilon", (0.05, 0.3))]
