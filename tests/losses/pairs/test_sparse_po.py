"""SparsePO: the loss under given masks, the two kinds of masks, and what a model must tell first."""

import pytest
import torch
from torch.testing import assert_close

from alignlab.errors import ConfigError
from alignlab.losses.pairs.activation_masks import masks_from, masks_from_all
from alignlab.losses.pairs.sparse_po import MaskNetwork, sparse_loss, sparse_po
from alignlab.objective.term import make_term
from tests.losses.calls import values_of
from tests.vectors import case, load, tensor

SIZES = {"ref_layers": (3, 5)}
LEARNED = ["common", "independent"]


def token_fixture(dtype=torch.float64):
    """Of the TOKEN fixture, (chosen, rejected): logits, log-ratios, divergences, masks of tokens."""
    token = load()["fixtures"]["TOKEN"]
    logits, logratios, divergences, wheres = [], [], [], []
    for side in "wl":
        where = torch.tensor(token[f"mask_{side}"], dtype=torch.bool)
        ids = torch.tensor(token[f"labels_{side}"])[..., None]
        own = tensor(token[f"logits_{side}"], dtype).requires_grad_()
        policy = own.log_softmax(-1)
        reference = tensor(token[f"ref_logits_{side}"], dtype).log_softmax(-1)
        logratios.append((policy - reference).gather(-1, ids).squeeze(-1).masked_fill(~where, 0))
        kl = (reference.exp() * (reference - policy)).sum(-1)
        divergences.append(kl.masked_fill(~where, 0))
        logits.append(own)
        wheres.append(where)
    return logits, tuple(logratios), tuple(divergences), wheres


def masks(kind, wheres, dtype=torch.float64):
    token = load()["fixtures"]["TOKEN"]
    sides = zip("wl", wheres, strict=True)
    return tuple(tensor(token[f"{kind}_{side}"], dtype).masked_fill(~where, 0) for side, where in sides)


def random_signals(pairs=3, tokens=4, seed=0, dtype=torch.float64):
    """Everything that some kind of mask asks for; log-ratios and divergences as leaves."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(pairs, tokens, *shape, generator=generator, dtype=torch.float64).to(dtype)

    found = {}
    for i, side in enumerate(("chosen", "rejected")):
        where = torch.arange(tokens) < torch.tensor([[4], [2 + i], [1]])
        found[f"{side}_token_where"] = where
        found[f"{side}_token_logratios"] = normal().masked_fill(~where, 0).requires_grad_()
        found[f"{side}_token_kl_forward"] = normal().square().masked_fill(~where, 0).requires_grad_()
        found[f"{side}_ref_layers"] = normal(3, 5).masked_fill(~where[..., None, None], 0)
        found[f"{side}_ref_activations"] = normal(3, 2).masked_fill(~where[..., None, None], 0)
    return found


def call(loss, signals):
    wanted = make_term("loss", lambda: loss, {}).contract.signals
    return values_of(loss(**{name: signals[name] for name in wanted}))


def learned(mask, **hyper):
    loss = sparse_po(mask=mask, **hyper)
    loss.bind(SIZES)
    return loss.double()


def scattered(loss):
    """The same with random parameters."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in loss.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return loss


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", ["sparsepo_common", "sparsepo_independent", "sparsepo_independent_l1"])
def test_vector(name, dtype):
    expected = case(name)
    logits, logratios, divergences, wheres = token_fixture(dtype)
    u_masks = masks("mu", wheres, dtype)
    d_masks = u_masks if name == "sparsepo_common" else masks("md", wheres, dtype)
    l1 = {key: expected["hparams"].get(key, 0.0) for key in ("l1_u", "l1_d")}
    values = sparse_loss(logratios, divergences, u_masks, d_masks, beta=0.8, **l1)
    exact = {"rtol": 1e-9, "atol": 1e-9} if dtype == torch.float64 else {"rtol": 1e-5, "atol": 1e-5}
    assert_close(values, tensor(expected["per_example"], dtype), **exact)
    assert_close(values.mean(), tensor(expected["loss"], dtype), **exact)
    gradients = torch.autograd.grad(values.mean(), logits)
    for gradient, side in zip(gradients, "wl", strict=True):
        assert_close(gradient, tensor(expected[f"grad_logits_{side}"], dtype), **exact)


def test_vector_of_activation_masks():
    expected, token = case("sparsepo_mapo"), load()["fixtures"]["TOKEN"]
    _, logratios, divergences, wheres = token_fixture()
    signals = {}
    for i, (side, short) in enumerate((("chosen", "w"), ("rejected", "l"))):
        activations = tensor(token[f"act_{short}"])[:, :, None, None].expand(-1, -1, 3, 2)
        found = masks_from(activations, wheres[i])
        assert_close(found, tensor(expected[f"mask_{short}"]), rtol=1e-9, atol=1e-9)
        signals[f"{side}_token_logratios"] = logratios[i]
        signals[f"{side}_token_kl_forward"] = divergences[i]
        signals[f"{side}_token_where"] = wheres[i]
        signals[f"{side}_ref_activations"] = activations
    values = call(sparse_po(mask="activations", beta=0.8), signals)
    assert_close(values, tensor(expected["per_example"]), rtol=1e-9, atol=1e-9)


def test_the_mask_of_all_activations_is_the_mean_of_four_kinds():
    """Of two tokens a point is 0 at one and 1 at the other, so that a kind's mask is the share of points that rise."""
    rises = {"mlp": 0.0, "attention": 2 / 6, "residual": 9 / 16, "logits": 1.0}
    points = torch.zeros(1, 2, 14, 2)
    points[0, 0, 0] = 1.0  # the MLP's hidden layer falls
    points[0, 0, 1:5], points[0, 1, 5:7] = 5.0, 2.0
    points[0, 1, 7:11], points[0, 0, 11:] = 3.0, 1.0
    ends = torch.tensor([[[0.0, 9.0], [0.5, 1.0]]])
    masks = masks_from_all(points, ends, torch.tensor([[-1.0, 4.0]]), torch.ones(1, 2, dtype=torch.bool))
    assert masks[0, 1].item() == pytest.approx(sum(rises.values()) / 4)
    assert_close(masks.sum(), torch.tensor(1.0))


def test_sparsity_counts_tokens_of_each_side_and_mask():
    loss = learned("independent")
    with torch.no_grad():
        loss.networks[1].bias.fill_(-1.0)
    signals = random_signals()
    wanted = make_term("loss", lambda: loss, {}).contract.signals
    _, reports = loss(**{name: signals[name] for name in wanted})
    shares = {name: (sums.sum() / counts.sum()).item() for name, (sums, counts) in reports.items()}
    assert shares == {
        f"{mask}_sparsity_{side}": float(mask == "d") for mask in "ud" for side in ("chosen", "rejected")
    }
    assert [counts.tolist() for _, counts in reports.values()] == [[4, 2, 1], [4, 3, 1]] * 2


@pytest.mark.parametrize("name", ["tdpo1", "token_dpo"])
def test_masks_of_one(name):
    """TDPO1; with the divergence masked out, DPO on tokens."""
    beta = case(name)["hparams"]["beta"]
    _, logratios, divergences, wheres = token_fixture()
    ones = tuple(where.double() for where in wheres)
    d_masks = ones if name == "tdpo1" else tuple(0 * one for one in ones)
    values = sparse_loss(logratios, divergences, ones, d_masks, beta=beta, l1_u=0.0, l1_d=0.0)
    assert_close(values, tensor(case(name)["per_example"]), rtol=1e-9, atol=1e-9)


def test_activations_are_averaged_over_layers_and_kinds():
    generator = torch.Generator().manual_seed(0)
    activations = torch.randn(2, 5, 3, 4, generator=generator, dtype=torch.float64).requires_grad_()
    where = torch.arange(5) < torch.tensor([[5], [3]])
    masks = masks_from(activations, where)
    assert not masks.requires_grad
    for p, tokens in enumerate((5, 3)):
        values = activations[p, :tokens].detach()
        z = (values - values.mean(0)) / values.std(0)
        scaled = (z - z.min(0).values) / (z.max(0).values - z.min(0).values)
        assert_close(masks[p, :tokens], scaled.mean(1).mean(1))
        assert (masks[p, tokens:] == 0).all()


def test_constant_activations_mask_nothing():
    where = torch.tensor([[True, True, True, False], [True, False, False, False], [False] * 4])
    masks = masks_from(torch.full((3, 4, 3, 2), 7.0), where)
    assert masks.tolist() == where.float().tolist()


@pytest.mark.parametrize("mask", LEARNED)
def test_learned_masks_start_at_one(mask):
    signals = random_signals()
    wheres = tuple(signals[f"{side}_token_where"].double() for side in ("chosen", "rejected"))
    logratios, divergences = (
        tuple(signals[f"{side}_{name}"] for side in ("chosen", "rejected"))
        for name in ("token_logratios", "token_kl_forward")
    )
    hyper = {"beta": 0.3, "l1_u": 0.01, "l1_d": 0.02}
    expected = sparse_loss(logratios, divergences, wheres, wheres, **hyper)
    assert_close(call(learned(mask, **hyper), signals), expected)


def test_mask_network_against_a_loop():
    network = scattered(MaskNetwork(3, 5).double())
    hidden = random_signals()["chosen_ref_layers"]
    where = torch.ones(3, 4, dtype=torch.bool)
    masks = network(hidden, where)
    for p in range(3):
        for t in range(4):
            total = 0.0
            for n in range(3):
                h = hidden[p, t, n]
                normed = (h - h.mean()) / (h.var(unbiased=False) + 1e-5).sqrt()
                unit = (network.weight[n] * normed).sum() + network.bias[n]
                total = total + network.mixer[n] * unit.clamp(min=0)
            assert_close(masks[p, t], total.clamp(min=0))


@pytest.mark.parametrize(("mask", "count"), [("common", 1), ("independent", 2)])
def test_every_parameter_learns(mask, count):
    loss = learned(mask)
    gradients = torch.autograd.grad(call(loss, random_signals()).sum(), list(loss.parameters()))
    assert len(gradients) == 3 * count
    assert all(gradient.isfinite().all() and (gradient != 0).any() for gradient in gradients)


@pytest.mark.parametrize("mask", LEARNED)
def test_binding(mask):
    """Needed before the first call; the same sizes again keep what was learned, others start afresh."""
    loss = sparse_po(mask=mask)
    with pytest.raises(ConfigError, match="bind it to a model"):
        call(loss, random_signals())
    loss.bind({"ref_layers": (1, 1)})
    loss.bind(SIZES)
    scattered(loss)
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    loss.bind(SIZES)
    for name, value in loss.state_dict().items():
        assert_close(value, before[name], rtol=0, atol=0)
    assert loss.state_dict()["networks.0.weight"].shape == (3, 5)


def test_hidden_states_of_half_precision():
    signals = random_signals(dtype=torch.float32)
    half = {name: value.bfloat16() if "layers" in name else value for name, value in signals.items()}
    values = call(learned("common").float(), half)
    assert values.dtype == torch.float32
    assert values.isfinite().all()


def test_unknown_mask():
    with pytest.raises(ConfigError, match="did you mean 'common'"):
        sparse_po(mask="comon")
