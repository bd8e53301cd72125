"""Every signal that scoring gives, against a plain computation from whole logits, with its gradient."""

import math

import pytest
import torch
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from alignlab.errors import RunError
from alignlab.policies.causal_lm.decoder import block_of, decoder_of, layers_of
from alignlab.policies.causal_lm.packing.tiny_copy import Exact
from alignlab.signals import BASE
from tests.data.ragged import draw
from tests.policies.models import VOCABULARY, assert_same, distributions, gradients, gradients_of, policy
from tests.policies.packs import pack

STEP_ENDS = [3, 4, 5, 6, 7, 8, 9, 10, 11]
IDS = [ids for _, group in draw((8, 9), vocabulary=VOCABULARY, longest=9, seed=4) for ids in group]
A, B, C, WHY = IDS[:4]
LISTS = [
    [(A, IDS[4]), (B, IDS[5]), (A, [*IDS[6], 3, 20])],
    [([5], [7])],
    [(C, IDS[7]), (C, [4, 4, 30])],
]
EXTRA = {"mismatched": [(A, IDS[8]), None, (C, IDS[9])], "rationale": [None, ([5], IDS[10]), (WHY, IDS[11])]}
SINGLE = (
    "logps",
    "ref_logps",
    "kl_reverse",
    "kl_forward",
    "entropy",
    "log_collisions",
    "uniform_logps",
)
RESPONSE = (*SINGLE, "other_ref_logps", "lengths", "ref_entropy", "prompt_logps", "ref_prompt_logps")
TOKEN = ("token_logps", "token_ref_logps", "token_kl_forward", "hidden", "ref_layers", "ref_activations")
STEP = ("step_logratios", "step_lengths", "step_cosines")
ROW = ("mismatched_logps", "mismatched_ref_logps", "rationale_logps")
WANTED = {*RESPONSE, *TOKEN, *STEP, *ROW}
FAMILIES = ["llama", "gemma2", "gpt2", "lfm2"]


def batch():
    return pack(LISTS, EXTRA, STEP_ENDS)


def found(family="llama", wanted=WANTED, references=2, **options):
    model = policy(family, **options)
    first, *others = [policy(family, seed=s) for s in range(1, references + 1)] or [None]
    made = batch()
    with Exact():
        return made, model(made, wanted=wanted, reference=first, others=others).signals(made)


def prompt_logps(model, prompt):
    """Of all tokens but the first; a prompt of one token has none to predict."""
    if len(prompt) == 1:
        return torch.zeros((), dtype=torch.float64)
    return distributions(model, prompt[:1], prompt[1:])[range(len(prompt) - 1), prompt[1:]].sum()


def hidden_states(model, prompt, response):
    """Final hidden states where the response is predicted."""
    with Exact():
        out = decoder_of(model)(input_ids=torch.tensor([prompt + response]), use_cache=False)
    return out.last_hidden_state[0, len(prompt) - 1 : -1]


def features(model, prompt, response):
    """States after every layer, and mean activations, where the response is predicted."""
    kept, handles, kinds = {}, [], ("attention", "mlp", "layer")
    for n, layer in enumerate(layers_of(model)):
        for kind in kinds:
            block = layer if kind == "layer" else block_of(layer, kind)

            def keep(_module, _inputs, out, name=(kind, n)):
                kept[name] = (out[0] if isinstance(out, tuple) else out)[0, len(prompt) - 1 : -1]

            handles.append(block.register_forward_hook(keep))
    hidden_states(model, prompt, response)
    for handle in handles:
        handle.remove()
    by_kind = [torch.stack([kept[kind, n] for n in range(len(layers_of(model)))], dim=1) for kind in kinds]
    return by_kind[-1], torch.stack([states.mean(-1) for states in by_kind], dim=1)


def naive(model, reference, second, prompt, response):
    """The signals of one response, by name."""
    p, q, r = (distributions(m, prompt, response) for m in (model, reference, second))
    chosen = range(len(response)), response
    return {
        "logps": p[chosen].sum(),
        "ref_logps": q[chosen].sum(),
        "other_ref_logps": r[chosen].sum()[None],
        "kl_reverse": (p.exp() * (p - q)).sum(),
        "kl_forward": (q.exp() * (q - p)).sum(),
        "entropy": -(p.exp() * p).sum(),
        "log_collisions": p.exp().square().sum(-1).log().sum(),
        "uniform_logps": p.mean(-1).sum(),
        "lengths": torch.tensor(float(len(response)), dtype=p.dtype),
        "ref_entropy": -(q.exp() * q).sum(-1).mean() / math.log(VOCABULARY),
        "prompt_logps": prompt_logps(model, prompt),
        "ref_prompt_logps": prompt_logps(reference, prompt),
        "token_logps": p[chosen],
        "token_ref_logps": q[chosen],
        "token_kl_forward": (q.exp() * (q - p)).sum(-1),
        "hidden": hidden_states(model, prompt, response),
    }


def models(family):
    return [policy(family, seed=seed).model for seed in range(3)]


def mixed(values):
    """A sum of all values that the policy decides, each with a weight of its own."""
    terms = [
        value
        for key, value in sorted(values.items())
        if not key[-1].startswith(("ref", "token_ref", "lengths"))
    ]
    flat = torch.cat([value.flatten() for value in terms])
    return (flat * torch.linspace(0, 99, len(flat), dtype=flat.dtype).cos()).sum()


@pytest.mark.parametrize("packing", ["auto", "off"])
@pytest.mark.parametrize("family", FAMILIES)
def test_signals_and_their_gradients_are_the_plain_ones(family, packing):
    names = {*RESPONSE, *TOKEN} - {"ref_layers", "ref_activations"}
    _, signals = found(family, names, packing=packing)
    assert signals.keys() == names
    ours, reference, second = models(family)
    expected, mine = {}, {}
    for b, pairs in enumerate(LISTS):
        for k, (prompt, response) in enumerate(pairs):
            for name, value in naive(ours, reference, second, prompt, response).items():
                place = (b, k, slice(len(response))) if "L" in BASE[name].shape else (b, k)
                expected[b, k, name], mine[b, k, name] = value, signals[name][place]
    for key, value in expected.items():
        torch.testing.assert_close(mine[key], value, atol=1e-11, rtol=1e-11, msg=lambda m, k=key: f"{k}: {m}")
        assert not (mine[key].requires_grad and key[-1].startswith(("ref", "token_ref", "lengths")))
    wanted = gradients_of(policy(family), lambda: mixed(expected))
    gradients(reference)
    assert_same(gradients_of(policy(family, packing=packing), lambda: mixed(mine)), wanted)
    assert gradients(reference) == {}


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "gpt_neox"])
def test_features_are_those_of_the_reference(family):
    reference = policy(family, seed=1).model
    _, signals = found(family, {"ref_layers", "ref_activations"})
    for b, pairs in enumerate(LISTS):
        for k, (prompt, response) in enumerate(pairs):
            layers, activations = features(reference, prompt, response)
            torch.testing.assert_close(
                signals["ref_layers"][b, k, : len(response)], layers, atol=1e-11, rtol=1e-11
            )
            torch.testing.assert_close(
                signals["ref_activations"][b, k, : len(response)], activations, atol=1e-11, rtol=1e-11
            )
            assert not signals["ref_layers"][b, k, len(response) :].any()
    assert not signals["ref_layers"].requires_grad


def test_the_layers_are_what_transformers_calls_hidden_states():
    (prompt, response), reference = LISTS[0][0], policy(seed=1).model
    _, signals = found(wanted={"ref_layers"})
    with Exact():
        out = decoder_of(reference)(torch.tensor([prompt + response]), output_hidden_states=True)
        states = [state[0, len(prompt) - 1 : -1] for state in out.hidden_states]
        mine = signals["ref_layers"][0, 0, : len(response)]
        torch.testing.assert_close(mine[:, 0], states[1], atol=1e-11, rtol=1e-11)
        torch.testing.assert_close(reference.model.norm(mine[:, 1]), states[2], atol=1e-11, rtol=1e-11)


def points_of_llama(model, prompt, response):
    """The mean activations that `ref_points` and `ref_ends` hold, by a forward of Llama step by step."""
    ids = torch.tensor([prompt + response])
    here = slice(len(prompt) - 1, -1)
    states = model.model.embed_tokens(ids)
    means = [states[0, here].mean(-1)]
    rotation = model.model.rotary_emb(states, torch.arange(ids.shape[1])[None])
    points = []
    for layer in layers_of(model):
        attention, mlp = layer.self_attn, layer.mlp
        normed = layer.input_layernorm(states)
        q, k, v = attention.q_proj(normed), attention.k_proj(normed), attention.v_proj(normed)
        heads = [x.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2) for x in (q, k, v)]
        rotated = [x.transpose(1, 2).flatten(2) for x in apply_rotary_pos_emb(*heads[:2], *rotation)]
        mixed = torch.nn.functional.scaled_dot_product_attention(
            *apply_rotary_pos_emb(*heads[:2], *rotation), heads[2], is_causal=True, enable_gqa=True
        )
        mixed = mixed.transpose(1, 2).flatten(2)
        added = attention.o_proj(mixed)
        between = states + added
        seen = layer.post_attention_layernorm(between)
        hidden = mlp.act_fn(mlp.gate_proj(seen)) * mlp.up_proj(seen)
        after = between + mlp.down_proj(hidden)
        of_layer = [
            hidden,
            q,
            k,
            *rotated,
            v,
            mixed,
            states,
            normed,
            added,
            between,
            seen,
            mlp.down_proj(hidden),
        ]
        points.append(torch.stack([x[0, here].mean(-1) for x in (*of_layer, after)], dim=1))
        states = after
    means.append(model.model.norm(states)[0, here].mean(-1))
    return torch.stack(points, dim=2), torch.stack(means, dim=1)


def test_all_activations_are_those_of_a_forward_step_by_step():
    reference = policy("llama", seed=1).model
    _, signals = found("llama", {"ref_points", "ref_ends", "token_ref_mean_logits"})
    exact = {"atol": 1e-11, "rtol": 1e-11}
    for b, pairs in enumerate(LISTS):
        for k, (prompt, response) in enumerate(pairs):
            with Exact():
                points, ends = points_of_llama(reference, prompt, response)
                logits = reference(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
            place = (b, k, slice(len(response)))
            torch.testing.assert_close(signals["ref_points"][place], points, **exact)
            torch.testing.assert_close(signals["ref_ends"][place], ends, **exact)
            torch.testing.assert_close(signals["token_ref_mean_logits"][place], logits.mean(-1), **exact)


@pytest.mark.parametrize("family", ["gemma2", "gpt2", "gpt_neox"])
def test_the_stream_of_one_layer_is_the_next_ones(family):
    """In families whose attention has other names, one weight for all projections, or norms behind the blocks."""
    _, signals = found(family, {"ref_points", "ref_ends"})
    points = signals["ref_points"]
    torch.testing.assert_close(points[..., 7, 0], signals["ref_ends"][..., 0])
    torch.testing.assert_close(points[..., 7, 1], points[..., 13, 0])
    assert points.isfinite().all()
    rotated = (points[..., 1, :] != points[..., 3, :]).any()
    assert rotated == (family != "gpt2")


def test_a_model_without_blocks_to_read_is_named():
    with pytest.raises(RunError, match="OPTDecoderLayer has no mlp block among self_attn"):
        found("opt", {"ref_activations"})


@pytest.mark.parametrize("family", FAMILIES)
def test_extra_rows_have_their_own_scores_and_no_slot(family):
    ours, reference, _ = models(family)
    made, signals = found(family, ROW)
    assert made.slot.max() < len(made.row_lengths) - 1
    for name in ROW:
        model = reference if "ref" in name else ours
        for b, pair in enumerate(EXTRA[name.partition("_")[0]]):
            expected = (
                0.0
                if pair is None
                else distributions(model, *pair)[range(len(pair[1])), pair[1]].sum().item()
            )
            assert signals[name][b].item() == pytest.approx(expected, rel=1e-11)
    assert signals["mismatched_logps"].requires_grad
    without = pack(LISTS)
    with Exact():
        plain = policy(family)(without).signals(without)
    torch.testing.assert_close(signals["logps"], plain["logps"], atol=1e-11, rtol=1e-11)


def steps_of(response):
    """Places of each step of a response."""
    steps = [[]]
    for place, token in enumerate(response):
        steps[-1].append(place)
        if token in STEP_ENDS and place + 1 < len(response):
            steps.append([])
    return steps


def test_steps_sum_log_ratios_and_compare_mean_states():
    ours, reference, _ = models("llama")
    _, signals = found(wanted={*STEP, "token_logps", "hidden"})
    most = max(len(steps_of(response)) for pairs in LISTS for _, response in pairs)
    assert signals["step_lengths"].shape == (3, 3, most)
    assert most > 2
    means = {}
    for b, pairs in enumerate(LISTS):
        for k, (prompt, response) in enumerate(pairs):
            p, q = (
                distributions(m, prompt, response)[range(len(response)), response] for m in (ours, reference)
            )
            states = hidden_states(ours, prompt, response)
            steps = steps_of(response)
            for s, places in enumerate(steps):
                assert signals["step_lengths"][b, k, s] == len(places)
                torch.testing.assert_close(signals["step_logratios"][b, k, s], (p - q)[places].sum())
                means[b, k, s] = states[places].mean(0)
            assert not signals["step_lengths"][b, k, len(steps) :].any()
            assert not signals["step_logratios"][b, k, len(steps) :].any()
    for b, i, j, s in torch.cartesian_prod(*map(torch.arange, signals["step_cosines"].shape)).tolist():
        both = (b, i, s) in means and (b, j, s) in means
        expected = torch.cosine_similarity(means[b, i, s], means[b, j, s], dim=0).item() if both else 0.0
        assert signals["step_cosines"][b, i, j, s].item() == pytest.approx(expected, abs=1e-11)
    (signals["step_cosines"].sum() + signals["step_logratios"].sum()).backward()
    assert all(g.isfinite().all() for g in gradients(policy()).values())


def test_only_what_is_asked_for_is_given():
    always = {"logps", "lengths"}
    assert found(wanted=(), references=0)[1].keys() == always
    assert found(wanted=(), references=2)[1].keys() == always | {"ref_logps", "other_ref_logps"}
    for name in sorted(WANTED):
        assert found(wanted={name})[1].keys() == always | {"ref_logps", "other_ref_logps", name}


def test_what_needs_a_reference_is_left_out_without_one():
    signals = found(references=0)[1]
    assert signals.keys() == {
        *(
            "logps",
            "lengths",
            "entropy",
            "log_collisions",
            "uniform_logps",
            "prompt_logps",
            "token_logps",
            "hidden",
        ),
        *("step_lengths", "step_cosines", "mismatched_logps", "rationale_logps"),
    }
    plain = pack(LISTS)
    assert not {*STEP, *ROW} & policy()(plain, wanted=WANTED).signals(plain).keys()


def test_prompts_of_one_token_have_log_probability_zero():
    made = pack([[([5], [7]), ([6], [8, 9])]])
    assert policy()(made, wanted={"prompt_logps"}).more["prompt_logps"].tolist() == [[0, 0]]


def test_shapes_are_those_of_the_vocabulary():
    sizes = {
        "B": 3,
        "K": 3,
        "L": max(len(r) for pairs in LISTS for _, r in pairs),
        "D": 16,
        "N": 2,
        "R": 1,
        "3": 3,
        "14": 14,
        "2": 2,
    }
    for name, value in found()[1].items():
        sizes["S"] = value.shape[-1]
        assert value.shape == tuple(sizes[letter] for letter in BASE[name].shape.split()), name
        assert value.dtype == torch.float64


def test_a_policy_does_not_diverge_from_itself():
    model, made = policy(), batch()
    with Exact():
        signals = model(made, reference=model, wanted=WANTED).signals(made)
    assert torch.equal(signals["logps"], signals["ref_logps"])
    for name in ("kl_reverse", "kl_forward", "token_kl_forward", "step_logratios"):
        assert signals[name].abs().max() < 1e-12
    gradient = gradients_of(model, lambda: signals["kl_reverse"].sum() + signals["kl_forward"].sum())
    assert max(g.abs().max() for g in gradient.values()) < 1e-10


def test_bfloat16_scores_are_computed_in_float32():
    import copy

    made = batch()
    model = copy.deepcopy(policy()).bfloat16()
    scores = model(made, reference=model, wanted=WANTED)
    assert {value.dtype for value in scores.signals(made).values()} == {torch.float32}
    scores.logps.sum().backward()
    assert {p.grad.dtype for p in model.parameters()} == {torch.bfloat16}
