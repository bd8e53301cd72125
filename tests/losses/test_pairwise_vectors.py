"""Every pairwise loss against the shared vectors: values and gradients, down to the logits."""

import pytest
import torch
from torch.testing import assert_close

from alignlab import load_objective
from alignlab.derived import Signals
from alignlab.modifiers.dynamic_beta import scaled_beta
from alignlab.modifiers.wpo import pair_weights
from alignlab.objective.numeric import log1mexp
from alignlab.objective.pair_selection import select
from tests.losses.calls import call, with_logratios
from tests.losses.vector_cases import PAIRS, TOKENS
from tests.vectors import case, load, more, tensor

DTYPES = {torch.float64: {"rtol": 1e-9, "atol": 1e-9}, torch.float32: {"rtol": 1e-5, "atol": 1e-5}}
SIDES = {"chosen": "w", "rejected": "l"}


def pair_signals(dtype):
    """The PAIR fixture by the names of its signals."""
    pair = {name: tensor(values, dtype) for name, values in load()["fixtures"]["PAIR"].items()}
    signals = {"strength": 2 * pair["p_soft"] - 1}
    for side, short in SIDES.items():
        long = {"w": "win", "l": "lose"}[short]
        signals |= {
            f"{side}_logps": pair[f"logp_{short}"].clone().requires_grad_(),
            f"{side}_ref_logps": pair[f"ref_logp_{short}"],
            f"{side}_other_ref_logps": pair[f"ref2_logp_{short}"][:, None],
            f"{side}_lengths": pair[f"len_{short}"],
            f"{side}_labels": pair[f"p_{long}"],
            f"{side}_rewards": pair[f"s_{long}"],
            f"{side}_ref_entropy": pair["ref_entropy"],
        }
    return with_logratios(signals)


def token_signals(dtype):
    """The TOKEN fixture: logits, and the signals that come of them."""
    token, logits, signals = load()["fixtures"]["TOKEN"], {}, {}
    for side, short in SIDES.items():
        logits[side] = tensor(token[f"logits_{short}"], dtype).requires_grad_()
        policy = logits[side].log_softmax(-1)
        reference = tensor(token[f"ref_logits_{short}"], dtype).log_softmax(-1)
        mask, ids = tensor(token[f"mask_{short}"], dtype), torch.tensor(token[f"labels_{short}"])[..., None]
        by_token = {
            "logps": policy.gather(-1, ids).squeeze(-1),
            "ref_logps": reference.gather(-1, ids).squeeze(-1),
            "kl_forward": (reference.exp() * (reference - policy)).sum(-1),
            "log_collisions": (2 * policy).logsumexp(-1),
        }
        signals |= {f"{side}_token_{name}": value * mask for name, value in by_token.items()}
        signals |= {f"{side}_{name}": (value * mask).sum(1) for name, value in by_token.items()}
        signals[f"{side}_lengths"] = mask.sum(1)
    return logits, with_logratios(signals)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vector", PAIRS)
def test_pairs(vector, dtype):
    name, hyper = PAIRS[vector]
    signals, expected = pair_signals(dtype), case(vector)
    values = call(name, signals, **hyper)
    assert_close(values, tensor(expected["per_example"], dtype), **DTYPES[dtype])
    assert_close(values.mean(), tensor(expected["loss"], dtype), **DTYPES[dtype])
    got = torch.autograd.grad(values.mean(), [signals["chosen_logps"], signals["rejected_logps"]])
    for gradient, side in zip(got, SIDES.values(), strict=True):
        assert_close(gradient, tensor(expected[f"grad_logp_{side}"], dtype), **DTYPES[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vector", TOKENS)
def test_tokens(vector, dtype):
    name, hyper = TOKENS[vector]
    (logits, signals), expected = token_signals(dtype), case(vector)
    values = call(name, signals, **hyper)
    assert_close(values, tensor(expected["per_example"], dtype), **DTYPES[dtype])
    assert_close(values.mean(), tensor(expected["loss"], dtype), **DTYPES[dtype])
    got = torch.autograd.grad(values.mean(), list(logits.values()))
    for gradient, side in zip(got, SIDES.values(), strict=True):
        assert_close(gradient, tensor(expected[f"grad_logits_{side}"], dtype), **DTYPES[dtype])


def test_every_vector_of_a_pairwise_loss_is_used():
    """The rest are unpaired, sorted over the batch, regularizers, or need masks and heads."""
    other = ("bco", "kto", "aot", "sft", "reg", "sparsepo", "spo", "hypo", "robust", "flex_dpo_sft")
    wanted = {
        vector
        for vector, found in load()["cases"].items()
        if found["fixture"] in ("PAIR", "TOKEN") and not vector.startswith(other)
    }
    assert wanted == set(PAIRS) | set(TOKENS)


def test_divergences_of_tdpo():
    _, signals = token_signals(torch.float64)
    for side, short in SIDES.items():
        assert_close(signals[f"{side}_kl_forward"], tensor(case("tdpo1")[f"seqkl_{short}"]))


def test_weights_of_wpo():
    _, signals = token_signals(torch.float64)
    sides = [signals[f"{side}_logps"] - signals[f"{side}_log_collisions"] for side in SIDES]
    weights = pair_weights(*sides, *(signals[f"{side}_lengths"] for side in SIDES), clamp_max=None)
    assert not weights.requires_grad
    assert_close(weights, tensor(case("wpo")["w_w"]) * tensor(case("wpo")["w_l"]))


def test_flex_dpo_with_its_likelihood_term():
    hyper = {"beta_plus": 0.1, "beta_minus": 0.05}
    sft = {"weight": 0.1, "reduction": "seq_mean"}
    objective = load_objective("flex_dpo", regularizers={"sft": sft}, **hyper)
    pair = pair_signals(torch.float64)
    signals = {
        n: torch.stack([pair[f"{s}_{n}"] for s in SIDES], 1) for n in ("logps", "ref_logps", "lengths")
    }
    loss = objective(**signals, labels=tensor([[1.0, 0.0]] * 4)).loss
    got = torch.autograd.grad(loss, [pair["chosen_logps"], pair["rejected_logps"]])
    expected = case("flex_dpo_sft")
    assert_close(loss, tensor(expected["loss"]), rtol=1e-9, atol=1e-9)
    for gradient, side in zip(got, SIDES.values(), strict=True):
        assert_close(gradient, tensor(expected[f"grad_logp_{side}"]), rtol=1e-9, atol=1e-9)


def test_robust_dpo_over_flips_is_dpo_on_clean_labels():
    signals = pair_signals(torch.float64)
    swapped = signals | {"chosen_logratios": signals["rejected_logratios"]}
    swapped["rejected_logratios"] = signals["chosen_logratios"]
    kept, flipped = (call("rdpo", given, beta=0.1, epsilon=0.1) for given in (signals, swapped))
    assert_close((0.9 * kept + 0.1 * flipped).mean(), tensor(case("robust_grad_identity")["loss"]))


@pytest.mark.parametrize("x", ["-1e-10", "-1e-3", "-0.6931471805599453", "-5", "-50"])
def test_log1mexp(x):
    expected = load()["numerics"]["log1mexp"][x]
    assert_close(log1mexp(tensor([float(x)])).item(), expected, rtol=1e-9, atol=0)


def vector_b(name):
    """Inputs and outputs of one of the second set of vectors."""
    found = more()[name]
    return found["inputs"], found["outputs"]


@pytest.mark.parametrize(("form", "key"), [("nll", "paper"), ("logsigmoid", "repo")])
def test_rationale_dpo(form, key):
    given, expected = vector_b("A4_rdpo")
    h = tensor(given["h_logratio_diff"])
    signals = {
        "chosen_logratios": h,
        "rejected_logratios": 0 * h,
        "rationale_logps": tensor(given["logp_rationale"]),
    }
    values = call("rationale_dpo", signals, beta=given["beta"], gamma=given[f"gamma_{key}"], form=form)
    assert_close(values, tensor(expected[key]), rtol=1e-9, atol=1e-9)


def test_dove_of_different_prompts():
    given, expected = vector_b("A5_dove")
    one = {name: tensor([value]) for name, value in given.items() if name != "beta"}
    signals = {}
    for side, short in SIDES.items():
        signals |= {
            f"{side}_logratios": one[f"pi_R{short}"] - one[f"ref_R{short}"],
            f"{side}_prompt_logps": one[f"pi_I{short}"],
            f"{side}_ref_prompt_logps": one[f"ref_I{short}"],
        }
    joint, same = (call("dove", signals, beta=given["beta"], prompt=prompt) for prompt in ("sum", "none"))
    assert_close(joint, tensor([expected["loss"]]), rtol=1e-9, atol=1e-9)
    assert_close(same, tensor([expected["dpo_loss_same_instruction"]]), rtol=1e-9, atol=1e-9)


def test_osp_of_judged_strengths():
    given, expected = vector_b("A8_osp")
    margins = tensor(given["implicit_margin"]).requires_grad_()
    signals = {"chosen_logratios": margins, "rejected_logratios": torch.zeros_like(margins)}
    values = call("osp", signals | {"strength": 2 * tensor(given["strength"]) - 1}, beta=1.0)
    assert_close(values, tensor(expected["spce"]), rtol=1e-9, atol=1e-9)
    (gradient,) = torch.autograd.grad(values.sum(), margins)
    assert_close(gradient, tensor(expected["grad_wrt_margin"]), rtol=1e-9, atol=1e-9)


def test_ranked_pairs_by_the_judge_itself():
    """Labels rank the list; what a pair is worth is the probability of that pair, and not a difference of labels."""
    given, expected = vector_b("A8_osp")
    wins, margins = tensor(expected["debiased"])[None], tensor(given["implicit_margin"])
    where, labels = torch.ones(1, 3, dtype=torch.bool), tensor(expected["score"])[None]
    seen = Signals({"wins": wins, "labels": labels}, where, lambda: select("all")(labels, where))
    told = zip(
        seen.pairs.chosen.tolist(), seen.pairs.rejected.tolist(), seen["pair_wins"].tolist(), strict=True
    )
    assert sorted(told) == sorted((i, j, pytest.approx(p)) for i, j, p in expected["pairs"])
    signals = {"chosen_logratios": margins, "rejected_logratios": 0 * margins}
    values = call("spce", signals | {"pair_wins": tensor(given["strength"])}, beta=1.0)
    assert_close(values, tensor(expected["spce"]), rtol=1e-9, atol=1e-9)
    best = torch.logit(tensor(given["strength"])).requires_grad_()
    signals = {"chosen_logratios": best, "rejected_logratios": 0 * margins}
    loss = call("spce", signals | {"pair_wins": tensor(given["strength"])}, beta=1.0)
    assert_close(torch.autograd.grad(loss.sum(), best)[0], torch.zeros(3, dtype=torch.float64))


def test_beta_of_mm_dpo():
    given, expected = vector_b("A17_mm_dpo_beta")
    betas = scaled_beta(tensor(given["delta"]), beta=given["beta0"], w=given["w"], k=given["k"])
    assert_close(betas, tensor(expected["beta"]), rtol=1e-9, atol=1e-9)
    assert (betas < expected["upper_bound"]).all()
