"""rax's ranking losses on ragged lists."""

import importlib.util
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import pytest
import torch
import yaml
from torch.testing import assert_close

from alignlab import load_objective

if importlib.util.find_spec("rax") is None:
    pytest.skip("no rax: pip install -e '.[oracles]'", allow_module_level=True)

BETA, LISTS, WIDTH = 0.5, 6, 5
WHERE = torch.arange(WIDTH) < torch.tensor([[5], [4], [3], [2], [5], [5]])
CASES = [
    *("lipo_point_mse", "lipo_point_sigmoid", "lipo_pair_logistic", "lipo_pair_hinge", "lipo_softmax"),
    *("info_nca", "list_mle", "lipo_lambda", "lipo_lambda, discount=log2", "lipo_lambda, gain=linear"),
    *("lipo_lambda, topn=2", "lipo_lambda, normalize=true"),
]


def in_jax(case, scores, labels, where):
    """rax's sum over lists, and its gradient by the scores; everything as nested lists."""
    import jax
    import jax.numpy as jnp
    import rax

    jax.config.update("jax_enable_x64", True)

    def dcg(discount=lambda rank: 1 / jnp.log1p(rank), **settings):
        """Weights of LambdaLoss; rax multiplies them by the size of the list."""
        weigh = partial(rax.dcg_lambdaweight, discount_fn=discount, **settings)
        return partial(rax.pairwise_logistic_loss, lambdaweight_fn=lambda *a, **k: weigh(*a, **k) / WIDTH)

    losses = {
        "lipo_point_mse": rax.pointwise_mse_loss,
        "lipo_point_sigmoid": rax.pointwise_sigmoid_loss,
        "lipo_pair_logistic": rax.pairwise_logistic_loss,
        "lipo_pair_hinge": rax.pairwise_hinge_loss,
        "lipo_softmax": rax.softmax_loss,
        "info_nca": rax.softmax_loss,
        "list_mle": partial(rax.listmle_loss, key=jax.random.PRNGKey(0)),
        "lipo_lambda": dcg(),
        "lipo_lambda, discount=log2": dcg(lambda rank: 1 / jnp.log2(1 + rank)),
        "lipo_lambda, gain=linear": dcg(gain_fn=lambda label: label),
        "lipo_lambda, topn=2": dcg(topn=2),
        "lipo_lambda, normalize=true": dcg(normalize=True),
    }
    known = {"labels": jnp.asarray(labels), "where": jnp.asarray(where), "reduce_fn": jnp.sum}
    value, slope = jax.value_and_grad(partial(losses[case], **known))(jnp.asarray(scores))
    return float(value), slope.tolist()


@pytest.fixture(scope="module")
def rax():
    """`rax(case, scores, labels, where)` computes in another process: JAX and `fork` do not go together."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
        yield lambda *arguments: other.submit(in_jax, *arguments).result()


def relabelled(name, labels):
    """What rax's softmax takes for labels: theirs are not made to sum to 1."""
    if name == "lipo_softmax":
        return labels / labels.sum(dim=1, keepdim=True)
    return (labels / 0.1).masked_fill(~WHERE, -torch.inf).softmax(dim=1) if name == "info_nca" else labels


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", CASES)
def test_sum_over_lists_and_gradient(rax, case, seed):
    name, _, option = case.partition(", ")
    key, _, value = option.partition("=")
    rng = torch.Generator().manual_seed(seed)
    logratios = torch.randn(LISTS, WIDTH, generator=rng, dtype=torch.float64).mul(3).requires_grad_()
    labels = torch.rand(LISTS, WIDTH, generator=rng, dtype=torch.float64).masked_fill(~WHERE, 0)

    hyper = {key: yaml.safe_load(value)} if key else {}
    objective = load_objective(name, beta=BETA, reduction="sum", **hyper)
    found = objective(logps=logratios, ref_logps=0 * logratios.detach(), labels=labels, where=WHERE).loss
    (gradient,) = torch.autograd.grad(found, logratios)

    scores = BETA * logratios.detach()
    loss, slope = rax(case, scores.tolist(), relabelled(name, labels).tolist(), WHERE.tolist())
    assert_close(found.item(), loss, rtol=1e-9, atol=1e-9)
    assert_close(gradient, BETA * torch.tensor(slope, dtype=torch.float64), rtol=1e-9, atol=1e-9)
