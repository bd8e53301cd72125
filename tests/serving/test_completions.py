"""A language model that is served draws what the sampler in the process draws, and takes up other weights."""

import json
import re
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import torch

pytest.importorskip("fastapi", reason="needs the extra `serve`")

from alignlab.errors import RunError
from alignlab.http_json import Endpoint
from alignlab.policies.load import load_policy
from alignlab.sampling.in_process import InProcess
from alignlab.sampling.rollout import Prompt
from alignlab.sampling.server import Server, seed_of
from alignlab.sampling.settings import Sampling
from alignlab.sampling.vllm import VLLM
from alignlab.serving.served import application
from tests.policies.models import build
from tests.serving.local import serving
from tests.training.small import load_small


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("served") / "model"
    model, tokenizer = load_small()
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def loaded(folder):
    return load_policy(folder)


@pytest.fixture(scope="module")
def url(loaded):
    with serving(application(loaded, "small", at_once=16, updates=True)) as address:
        yield address


@pytest.fixture
def local(loaded):
    return InProcess(loaded.policy.model, sorted(loaded.encoder.stops))


def asked(count):
    return [Prompt(f"row-{i}", [1, *range(3, 4 + i % 7)]) for i in range(count)]


def refusal(url, path, body):
    """The status and the message of an answer that is an error."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(HTTPError) as told:
        urlopen(Request(url + path, data, {"Content-Type": "application/json"}), timeout=20)
    with told.value as error:
        return error.code, json.loads(error.read())["error"]["message"]


@pytest.mark.parametrize(
    "how",
    [
        Sampling(max_new_tokens=12, seed=3),
        Sampling(temperature=0.7, top_p=0.9, top_k=20, max_new_tokens=9),
        Sampling(decoder="greedy", max_new_tokens=8),
    ],
)
def test_a_server_draws_what_the_sampler_in_the_process_draws(url, local, how):
    told = []
    remote = Server(None, local.stop, url=url)
    rollouts = remote.draw(asked(20), 3, how, tell=told.append)
    assert told == rollouts
    for ours, theirs in zip(local.draw(asked(20), 3, how), rollouts, strict=True):
        assert ours.id == theirs.id
        assert ours.finished == theirs.finished
        assert [ids.tolist() for ids in ours.responses] == [ids.tolist() for ids in theirs.responses]
        for one, other in zip(ours.token_logps, theirs.token_logps, strict=True):
            torch.testing.assert_close(torch.tensor(one), torch.tensor(other), atol=1e-5, rtol=0)


def test_two_hundred_requests_at_once_are_all_answered(url, local):
    prompts = asked(200)
    remote = Server(None, local.stop, url=url, at_once=200)
    rollouts = remote.draw(prompts, 1, Sampling(max_new_tokens=4))
    assert [rollout.id for rollout in rollouts] == [prompt.id for prompt in prompts]


def test_a_text_is_answered_as_its_tokens(url, loaded):
    text = "Tell me about the fox."
    body = {"max_tokens": 5, "seed": 7, "return_token_ids": True}
    answers = [
        Endpoint(url, timeout=20).post("/v1/completions", {"prompt": prompt, **body})["choices"][0]
        for prompt in (text, loaded.tokenizer(text)["input_ids"])
    ]
    assert answers[0] == answers[1]
    assert answers[0]["logprobs"] is None
    drawn = InProcess(loaded.policy.model, sorted(loaded.encoder.stops)).draw(
        [Prompt("any", answers[0]["prompt_token_ids"], key=(7, 0))], 1, Sampling(max_new_tokens=5)
    )
    assert drawn[0].responses[0].tolist() == answers[0]["token_ids"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "JSON"),
        ({}, "prompt: Field required"),
        ({"prompt": []}, "at least 1 item"),
        ({"prompt": [1], "n": 0}, "n: .*greater than or equal to 1"),
        ({"prompt": [1], "temperature": -1}, "temperature"),
        ({"prompt": [1], "top_p": 0}, "top_p"),
        ({"prompt": [1], "best_of": 3}, "best_of: Extra inputs are not permitted"),
        ({"prompt": [1], "stream": True}, "stream"),
        ({"prompt": [10**6]}, "ids below"),
        ({"prompt": [1] * 100_000}, "leave no room"),
    ],
)
def test_a_malformed_request_is_refused_with_the_reason(url, body, said):
    status, message = refusal(url, "/v1/completions", body)
    assert status == 400
    assert re.search(said, message)


def test_another_model_and_an_unknown_route_are_not_there(url):
    assert refusal(url, "/v1/completions", {"prompt": [1], "model": "large"})[0] == 404
    assert refusal(url, "/v1/score", {"queries": "a", "documents": ["b"]})[0] == 404


def test_weights_follow_the_training(url, loaded, local, tmp_path):
    model, _ = load_small()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    begun, how = [p.clone() for p in loaded.policy.model.parameters()], Sampling(max_new_tokens=8)
    remote = VLLM(model, local.stop, url=url, transfer="disk", folder=str(tmp_path))
    before = remote.draw(asked(4), 2, how)
    remote.sync(7)
    after = remote.draw(asked(4), 2, how)
    expected = InProcess(model.eval(), local.stop, version=7).draw(asked(4), 2, how)
    assert [r.version for r in after] == [7] * 4
    assert ids(after) == ids(expected) != ids(before)
    assert not [*tmp_path.iterdir()]
    with torch.no_grad():
        for parameter, value in zip(loaded.policy.model.parameters(), begun, strict=True):
            parameter.copy_(value)


def ids(rollouts):
    return [one.tolist() for rollout in rollouts for one in rollout.responses]


def test_a_server_that_another_training_uses_is_noticed(url, local, tmp_path):
    model, _ = load_small()
    ours, theirs = (VLLM(model, local.stop, url=url, transfer="disk", folder=str(tmp_path)) for _ in range(2))
    ours.sync(1)
    theirs.sync(2)
    with pytest.raises(RunError, match="has version 2 of its weights before drawing, and version 1"):
        ours.draw(asked(2), 1, Sampling(max_new_tokens=2))


def test_weights_of_another_kind_leave_the_model_as_it_is(url, local, tmp_path):
    remote = VLLM(build("llama"), local.stop, url=url, transfer="disk", folder=str(tmp_path))
    remote.draw(asked(1), 1, Sampling(max_new_tokens=2))
    with pytest.raises(RunError, match=r"the weights of step 3 did not arrive.*another kind of model"):
        remote.sync(3)
    remote.draw(asked(1), 1, Sampling(max_new_tokens=2))
    assert Endpoint(url, timeout=5).get("/health") == {"status": "ok"}


def test_weights_are_not_changed_out_of_order(url):
    assert refusal(url, "/start_weight_update", {}) == (409, "/pause first")
    Endpoint(url, timeout=5).post("/pause", {})
    try:
        assert refusal(url, "/finish_weight_update", {}) == (409, "/update_weights first")
        assert Endpoint(url, timeout=5).get("/health") == {"status": "paused"}
    finally:
        Endpoint(url, timeout=5).post("/resume", {})


def test_without_updates_nobody_changes_weights(loaded):
    with serving(application(loaded, "small")) as address:
        assert refusal(address, "/pause", {})[0] == 404


def test_a_request_that_takes_too_long_is_told_so(loaded):
    with serving(application(loaded, "small", timeout=0.001)) as address:
        status, message = refusal(address, "/v1/completions", {"prompt": [1], "max_tokens": 64, "n": 64})
    assert (status, message) == (504, "no result within 0.001 seconds (timeout)")


def test_seeds_of_64_bits_come_through(url, loaded):
    body = {"prompt": [1, 5], "max_tokens": 6, "return_token_ids": True}
    seeds = [seed_of((2**32 - 1, 2**32 - 1)), seed_of((2**32 - 1, 2**31 - 1)), -(2**63)]
    drawn = [Endpoint(url, timeout=20).post("/v1/completions", body | {"seed": seed}) for seed in seeds]
    assert len({tuple(answer["choices"][0]["token_ids"]) for answer in drawn}) == 3
