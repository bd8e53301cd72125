"""Quantities of token distributions in chunks, against whole logits, for every kind of head."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from alignlab.policies.causal_lm import distributions
from alignlab.policies.causal_lm import head as heads
from alignlab.policies.causal_lm.head import Head, token_scores
from tests.policies.models import policy

TOKENS, WIDTH, VOCABULARY = 11, 5, 13


class Adapted(nn.Module):
    """No plain linear layer, as with an adapter in it."""

    def __init__(self, bias):
        super().__init__()
        self.base, self.more = nn.Linear(WIDTH, VOCABULARY, bias=bias), nn.Linear(WIDTH, VOCABULARY)

    def forward(self, hidden):
        return self.base(hidden) + self.more(hidden).tanh()


def make(project=nn.Linear, bias=False, seed=0, temperature=1.0, **settings):
    """A head as a model of these settings has it."""
    torch.manual_seed(seed)
    layer = (Adapted(bias) if project is Adapted else nn.Linear(WIDTH, VOCABULARY, bias=bias)).double()
    config = SimpleNamespace(
        vocab_size=VOCABULARY, get_text_config=lambda: SimpleNamespace(vocab_size=VOCABULARY, **settings)
    )
    return Head(SimpleNamespace(config=config, get_output_embeddings=lambda: layer), temperature), layer


def logits_of(layer, hidden, scale=1.0, cap=None):
    logits = layer(hidden) * scale
    return torch.tanh(logits / cap) * cap if cap else logits


def whole(layer, hidden, **settings):
    return logits_of(layer, hidden, **settings).log_softmax(-1)


def inputs(dtype=torch.float64):
    torch.manual_seed(3)
    hidden = 2 * torch.randn(TOKENS, WIDTH, dtype=torch.float64)
    return (
        hidden.to(dtype).requires_grad_(),
        torch.randint(VOCABULARY, (TOKENS,)),
        torch.randn(TOKENS, dtype=torch.float64),
    )


KINDS = [
    ({}, {}),
    ({"logit_scale": 0.3}, {"scale": 0.3}),
    ({"logits_scaling": 4.0}, {"scale": 0.25}),
    ({"final_logit_softcapping": 1.5}, {"cap": 1.5}),
    ({"final_logit_softcapping": 1.5, "logit_scale": 0.3}, {"cap": 1.5, "scale": 0.3}),
]


@pytest.fixture(params=[1, 4, 100])
def chunks(request, monkeypatch):
    """Tokens of a chunk; nothing is kept for the backward."""
    monkeypatch.setattr(heads, "CHUNK_ELEMENTS", dict.fromkeys(("cpu", "cuda"), request.param * VOCABULARY))
    monkeypatch.setattr(heads, "KEPT_ELEMENTS", 0)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("project", [nn.Linear, Adapted])
@pytest.mark.parametrize(("settings", "meaning"), KINDS)
def test_log_probabilities_and_gradients(chunks, settings, meaning, project, bias, frozen):
    head, layer = make(project, bias, **settings)
    layer.requires_grad_(not frozen)
    assert head.is_linear == (project is nn.Linear)
    hidden, targets, weights = inputs()
    leaves = [hidden, *(p for p in layer.parameters() if p.requires_grad)]
    expected = whole(layer, hidden, **meaning)[range(TOKENS), targets]
    found = token_scores(hidden, targets, head)["logps"]
    torch.testing.assert_close(found, expected, atol=1e-13, rtol=1e-13)
    wanted = torch.autograd.grad((expected * weights).sum(), leaves)
    for ours, theirs in zip(torch.autograd.grad((found * weights).sum(), leaves), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


def test_frozen_states_still_teach_the_head(chunks):
    head, layer = make()
    hidden, targets, weights = inputs()
    (token_scores(hidden.detach(), targets, head)["logps"] * weights).sum().backward()
    found, layer.weight.grad = layer.weight.grad, None
    (whole(layer, hidden.detach())[range(TOKENS), targets] * weights).sum().backward()
    torch.testing.assert_close(found, layer.weight.grad)


QUANTITIES = {
    "logps": lambda p, q, at: p[at],
    "entropy": lambda p, q, at: -(p.exp() * p).sum(-1),
    "log_collisions": lambda p, q, at: p.exp().square().sum(-1).log(),
    "uniform_logps": lambda p, q, at: p.mean(-1),
    "kl_reverse": lambda p, q, at: (p.exp() * (p - q)).sum(-1),
    "kl_forward": lambda p, q, at: (q.exp() * (q - p)).sum(-1),
}


def compared(names, project, meaning, settings):
    """The quantities, and the reference's own: by the head and from whole distributions; and what they come from."""
    (head, layer), (other, other_layer) = make(project, **settings), make(project, seed=1, **settings)
    hidden, targets, weights = inputs()
    theirs = torch.randn(TOKENS, WIDTH, dtype=torch.float64)
    found = token_scores(
        hidden, targets, head, names=names, reference=(theirs, other), ref_names=["logps", "entropy"]
    )
    p, q, at = (
        whole(layer, hidden, **meaning),
        whole(other_layer, theirs, **meaning),
        (range(TOKENS), targets),
    )
    expected = {name: QUANTITIES[name](p, q.detach(), at) for name in names}
    expected |= {f"ref_{name}": QUANTITIES[name](q, q, at).detach() for name in ("logps", "entropy")}
    assert not any(weight.grad_fn or weight.grad is not None for weight in other_layer.parameters())
    return found, expected, weights, [hidden, *layer.parameters()]


@pytest.mark.parametrize("project", [nn.Linear, Adapted])
@pytest.mark.parametrize(("settings", "meaning"), KINDS)
def test_quantities_of_whole_distributions(chunks, settings, meaning, project):
    found, expected, weights, leaves = compared([*QUANTITIES], project, meaning, settings)
    assert found.keys() == expected.keys()
    gradients = []
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, atol=1e-12, rtol=1e-12, msg=lambda m, n=name: f"{n}: {m}"
        )
        assert found[name].requires_grad == (not name.startswith("ref_"))
    for values in (found, expected):
        own = [(k + 1) * (v * weights).sum() for k, (n, v) in enumerate(values.items()) if n in QUANTITIES]
        gradients.append(torch.autograd.grad(sum(own), leaves))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize("project", [nn.Linear, Adapted])
@pytest.mark.parametrize("name", QUANTITIES)
def test_each_quantity_has_its_own_gradient(name, project, monkeypatch):
    monkeypatch.setattr(heads, "KEPT_ELEMENTS", 0)
    monkeypatch.setattr(distributions, "BLOCK_ELEMENTS", dict.fromkeys(("cpu", "cuda"), 3 * VOCABULARY))
    found, expected, weights, leaves = compared([*QUANTITIES], project, {"cap": 1.5}, KINDS[3][0])
    gradients = [torch.autograd.grad((v[name] * weights).sum(), leaves) for v in (found, expected)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("project", [nn.Linear, Adapted])
def test_logits_that_are_kept_give_the_same(project):
    found, expected, weights, leaves = compared([*QUANTITIES], project, {}, {})
    gradients = [
        torch.autograd.grad(sum((v[name] * weights).sum() for name in QUANTITIES), leaves)
        for v in (found, expected)
    ]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


def test_a_reference_that_is_the_policy_is_at_no_distance(chunks):
    head, _ = make()
    hidden, targets, _ = inputs()
    names = ["logps", "kl_reverse", "kl_forward"]
    found = token_scores(
        hidden, targets, head, names=names, reference=(hidden.detach(), head), ref_names=["logps"]
    )
    assert torch.equal(found["logps"], found["ref_logps"])
    assert not found["kl_reverse"].any()
    assert not found["kl_forward"].any()


def test_extreme_logits_are_finite_in_value_and_gradient(chunks):
    head, layer = make()
    hidden, targets, _ = inputs()
    (_, other) = make(seed=1)
    with torch.no_grad():
        layer.weight.mul_(1e4)
    other_head = make(seed=1)[0]
    found = token_scores(hidden, targets, head, names=[*QUANTITIES], reference=(hidden.detach(), other_head))
    assert all(value.isfinite().all() for value in found.values())
    sum(value.sum() for value in found.values()).backward()
    assert hidden.grad.isfinite().all()
    assert layer.weight.grad.isfinite().all()
    assert other.weight.grad is None


def test_narrow_floats_are_widened(chunks):
    head, layer = make()
    layer.bfloat16()
    hidden, targets, _ = inputs(torch.bfloat16)
    logps = token_scores(hidden, targets, head)["logps"]
    torch.testing.assert_close(logps, layer(hidden).float().log_softmax(-1)[range(TOKENS), targets])
    logps.sum().backward()
    assert (hidden.grad.dtype, layer.weight.grad.dtype) == (torch.bfloat16, torch.bfloat16)


def test_how_often_the_layer_itself_is_called_does_not_depend_on_the_rows(chunks):
    head, layer = make()
    hidden, targets, _ = inputs()
    layer.register_forward_pre_hook(lambda *_: pytest.fail("an engine would count the chunks of this rank"))
    token_scores(hidden, targets, head, names=["logps", "entropy"])


@pytest.mark.parametrize("names", [["logps"], ["logps", "entropy"]])
@pytest.mark.parametrize("project", [nn.Linear, Adapted])
def test_autocast_multiplies_in_its_precision_and_normalizes_in_float32(chunks, names, project):
    head, layer = make(project)
    layer.float()
    hidden, targets, _ = inputs(torch.float32)
    leaves = [hidden, *layer.parameters()]
    with torch.autocast("cpu", torch.bfloat16):
        found = token_scores(hidden, targets, head, names=names)
        logits = layer(hidden)
    assert logits.dtype == torch.bfloat16
    logps = logits.float().log_softmax(-1)
    expected = {name: QUANTITIES[name](logps, logps, (range(TOKENS), targets)) for name in names}
    for name in names:
        torch.testing.assert_close(found[name], expected[name])
    gradients = [
        torch.autograd.grad(sum(v.sum() for v in each.values()), leaves) for each in (found, expected)
    ]
    for ours, theirs in zip(*gradients, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, atol=0.03, rtol=0.03)  # bfloat16 has 8 bits


@pytest.mark.parametrize(("settings", "meaning"), KINDS)
def test_a_temperature_divides_the_logits_of_the_model(chunks, settings, meaning):
    head, layer = make(temperature=0.6, **settings)
    hidden, targets, _ = inputs()
    logits = logits_of(layer, hidden, **meaning) / 0.6
    torch.testing.assert_close(head(hidden), logits)
    expected = logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
    found = token_scores(hidden, targets, head)["logps"]
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(
        torch.autograd.grad(found.sum(), [hidden, layer.weight]),
        torch.autograd.grad(expected.sum(), [hidden, layer.weight]),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_the_head_of_a_model_is_the_one_its_logits_come_from():
    model = policy("llama").model
    hidden = torch.randn(3, 16, dtype=torch.float64)
    assert torch.equal(Head(model)(hidden), model.lm_head(hidden))
    assert Head(model).vocabulary == len(model.lm_head.weight)
