"""KTO and BCO: the shared vectors, the statistics of the step, and what absent responses do."""

import math

import pytest
import torch
from torch.testing import assert_close

from alignlab.errors import ConfigError
from alignlab.losses.single.bco import bco
from alignlab.losses.single.kto import kto
from alignlab.objective.gathered import Gathered, join
from alignlab.objective.term import make_term
from tests.losses.calls import values_of
from tests.vectors import case, load, tensor

DESIRABLE = tensor([[1, 0], [0, 1], [0, 0], [1, 0], [0, 0]])
WHERE = torch.tensor([[1, 1], [1, 1], [1, 1], [1, 0], [0, 0]], dtype=torch.bool)
LOGRATIOS = tensor([[0.5, -2.0], [3.0, 1.0], [-4.0, 0.25], [2.0, 0.0], [0.0, 0.0]])
PROBS = tensor([[0.5, 0.3], [0.9, 0.8], [0.1, 1.0], [0.6, 0.0], [0.0, 0.0]])
WEIGHTS = tensor([1, 0.5, 2, 1, 3])
LOSSES = {
    "kto": {},
    "kto_weighted": {"desirable_weight": 1.5, "undesirable_weight": 0.5},
    "kto_zero": {"z0": "zero"},
    "bco": {},
    "bco_running": {"delta": "running"},
    "bco_none": {"delta": "none"},
    "bco_udm": {"udm": True},
    "bco_udm_none": {"udm": True, "delta": "none"},
}
every = pytest.mark.parametrize("name", LOSSES)


def make(name, **hyper):
    return (kto if name.startswith("kto") else bco)(**LOSSES[name], **hyper)


def gather(loss, logratios, desirable=None, where=None, weights=None):
    """Rows as an objective brings them together; KTO's are taken from the first column."""
    desirable = DESIRABLE if desirable is None else desirable
    where = WHERE[: len(logratios)] if where is None else where
    weights = torch.ones(len(logratios), dtype=logratios.dtype) if weights is None else weights
    if hasattr(loss, "shift"):
        rows = loss.contribute(logratios.detach(), desirable).flatten(0, 1)
        return Gathered(rows, (weights[:, None] * where).flatten())
    first = logratios.detach()[:, 0]
    return Gathered(loss.contribute(first, torch.zeros_like(first)), weights * where.any(dim=1))


def call(loss, logratios, desirable=DESIRABLE, where=WHERE, probs=PROBS, gathered=None):
    """The values, with whichever of the signals this variant asks for."""
    pool = {"logratios": logratios, "desirable": desirable, "desirable_probs": probs, "where": where}
    term = make_term("loss", lambda: loss, {})
    signals = {name: pool[name] for name in term.contract.signals}
    if term.contribution is not None:
        if gathered is None:
            gathered = gather(loss, logratios, desirable, where)
        signals["gathered"] = gathered
    return values_of(loss(**signals))


def value_and_gradient(loss, logratios, **given):
    logratios = logratios.clone().requires_grad_()
    values = call(loss, logratios, **given)
    (gradient,) = torch.autograd.grad(values.sum(), logratios)
    return values.detach(), gradient


def pairs(dtype):
    """The PAIR fixture as lists of two: log-ratios that require a gradient, and the fixture."""
    pair = load()["fixtures"]["PAIR"]
    sides = [tensor(pair[f"logp_{s}"], dtype) - tensor(pair[f"ref_logp_{s}"], dtype) for s in "wl"]
    return torch.stack(sides, dim=1).requires_grad_(), pair


def assert_pairs(values, logratios, name):
    """A pair is worth twice the mean over its two sides."""
    exact = {"rtol": 1e-9, "atol": 1e-9} if values.dtype == torch.float64 else {"rtol": 1e-5, "atol": 1e-5}
    (gradient,) = torch.autograd.grad(2 * values.mean(), logratios)
    expected = tensor([case(name)["grad_logp_w"], case(name)["grad_logp_l"]], values.dtype).T
    assert_close(values.sum(dim=1), tensor(case(name)["per_example"], values.dtype), **exact)
    assert_close(2 * values.mean(), tensor(case(name)["loss"], values.dtype), **exact)
    assert_close(gradient, expected, **exact)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_vector_of_kto(dtype):
    logratios, pair = pairs(dtype)
    loss = kto(beta=0.1)
    rows = loss.contribute(tensor(pair["kl_logp"], dtype), tensor(pair["kl_ref_logp"], dtype))
    gathered = Gathered(rows, torch.ones(4, dtype=dtype))
    assert gathered.mean.item() == load()["meta"]["kto_z0"]
    desirable, where = tensor([[1, 0]] * 4, dtype), torch.ones(4, 2, dtype=torch.bool)
    assert_pairs(values_of(loss(logratios, desirable, where, gathered)), logratios, "kto_pairsum")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    ("name", "hyper"),
    [
        ("bco_delta_batchmean", {"delta": "batch"}),
        ("bco_delta_batchmean", {"delta": "running"}),
        ("bco_pair_nodelta", {"delta": "none"}),
        ("bco_udm", {"delta": "batch", "udm": True}),
    ],
)
def test_vector_of_bco(name, hyper, dtype):
    logratios, pair = pairs(dtype)
    desirable, where = tensor([[1, 0]] * 4, dtype), torch.ones(4, 2, dtype=torch.bool)
    probs = tensor([[0.5, p] for p in pair["udm_p"]], dtype)
    loss = bco(beta=0.1, **hyper)
    gathered = None
    if hyper["delta"] != "none":
        gathered = gather(loss, logratios, desirable, where)
        loss.absorb(gathered)
    assert_pairs(call(loss, logratios, desirable, where, probs, gathered), logratios, name)


@every
def test_micro_batches_add_up(name):
    """The statistics of the whole step reach every micro-batch."""
    loss = make(name)
    values, gradient = value_and_gradient(loss, LOGRATIOS)
    for sizes in ([2, 3], [1] * 5):
        cut = [x.split(sizes) for x in (LOGRATIOS, DESIRABLE, WHERE, PROBS)]
        cut = list(zip(*cut, strict=True))
        views = [None] * len(cut)
        if hasattr(loss, "contribute"):
            views = join([gather(loss, lr, d, w) for lr, d, w, _ in cut])
        pieces = [
            value_and_gradient(loss, lr, desirable=d, where=w, probs=p, gathered=view)
            for (lr, d, w, p), view in zip(cut, views, strict=True)
        ]
        assert_close(torch.cat([v for v, _ in pieces]), values)
        assert_close(torch.cat([g for _, g in pieces]), gradient)


@every
def test_absent_responses(name):
    loss = make(name)
    values, gradient = value_and_gradient(loss, LOGRATIOS)
    assert (values[~WHERE] == 0).all()
    assert (gradient[~WHERE] == 0).all()
    assert (values[WHERE] > 0).all()
    nothing = torch.zeros_like(WHERE)
    values, gradient = value_and_gradient(loss, 0 * LOGRATIOS, where=nothing)
    assert (values == 0).all()
    assert (gradient == 0).all()


@pytest.mark.parametrize("name", ["kto_zero", "bco_none", "bco_udm_none"])
def test_without_statistics_nothing_is_gathered(name):
    assert make_term("loss", lambda: make(name), {}).contribution is None


def test_kto_of_a_divergence_of_zero_is_kto_at_zero():
    """Estimates below 0 count as 0."""
    loss, below = kto(), Gathered(-torch.ones(5).double(), torch.ones(5).double())
    assert_close(call(loss, LOGRATIOS, gathered=below), call(kto(z0="zero"), LOGRATIOS))


def test_kto_weighs_lists_in_its_divergence():
    rows, weights = tensor([1, 2, 4]), tensor([1, 0.5, 0])
    values = call(kto(), LOGRATIOS[:1], DESIRABLE[:1], WHERE[:1], gathered=Gathered(rows, weights))
    z0 = (1 + 1) / 1.5
    assert values[0, 0].item() == pytest.approx(1 / (1 + math.exp(0.1 * (0.5 - z0))))
    assert values[0, 1].item() == pytest.approx(1 / (1 + math.exp(0.1 * (z0 + 2.0))))


def test_kto_class_weights():
    plain, weighted = (call(make(name), LOGRATIOS) for name in ("kto", "kto_weighted"))
    assert_close(weighted, plain * torch.where(DESIRABLE > 0, 1.5, 0.5))


def test_bco_shift_weighs_both_classes_alike():
    loss = bco()
    gathered = gather(loss, LOGRATIOS, weights=WEIGHTS)
    desirable = (0.5 + 0.5 * 1 + 2) / (1 + 0.5 + 1)
    others = (-2 + 0.5 * 3 + 2 * (-4 + 0.25)) / (1 + 0.5 + 2 + 2)
    assert loss.shift(gathered).item() == pytest.approx((desirable + others) / 2)


def test_bco_shift_of_one_class_is_its_mean():
    loss = bco()
    assert loss.shift(gather(loss, LOGRATIOS, WHERE.double())).item() == pytest.approx(0.75 / 7)
    assert loss.shift(gather(loss, LOGRATIOS, where=torch.zeros_like(WHERE))).item() == 0


def test_running_shift_is_the_mean_of_all_rewards_so_far():
    loss = bco(delta="running")
    seen, steps = [], (LOGRATIOS, LOGRATIOS + 1, 3 * LOGRATIOS)
    for step in steps:
        loss.absorb(gather(loss, step))
        seen += step[WHERE].tolist()
        assert loss.shift(gather(loss, LOGRATIOS)).item() == pytest.approx(sum(seen) / len(seen))
    nothing = gather(loss, LOGRATIOS, where=torch.zeros_like(WHERE))
    loss.absorb(nothing)
    assert loss.shift(nothing).item() == pytest.approx(sum(seen) / len(seen))
    assert loss.count.item() == len(seen)


def test_matched_weights_of_undesirable_responses():
    plain, matched = (call(bco(delta="none", udm=udm), LOGRATIOS) for udm in (False, True))
    odds = tensor([[1, 0.5], [9, 1], [0.5, 10], [1, 1], [1, 1]])  # of desirable responses 1
    assert_close(matched, plain * odds)
    narrow = bco(delta="none", udm=True, udm_min=1.0, udm_max=1.0)
    assert_close(call(narrow, LOGRATIOS), plain)


def test_unknown_options():
    for call_ in (lambda: kto(z0="mismatch"), lambda: bco(delta="ema")):
        with pytest.raises(ConfigError, match=r"did you mean|valid names"):
            call_()
