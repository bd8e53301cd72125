"""Served values are those of the policy in one's own code, whoever asks at the same time."""

import json
from concurrent.futures import ThreadPoolExecutor
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import torch

pytest.importorskip("fastapi", reason="needs the extra `serve`")

from alignlab.errors import ConfigError, RunError
from alignlab.http_json import Endpoint
from alignlab.policies.load import load_policy
from alignlab.policies.preference_model import PreferenceModel
from alignlab.policies.reward_model import RewardModel
from alignlab.policies.user_model import UserModel
from alignlab.serving.served import application
from tests.policies.test_load import PROMPT, RESPONSES, USER, saved
from tests.serving.local import serving


@pytest.fixture(scope="module")
def rewards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    saved(RewardModel, folder)
    return load_policy(folder)


@pytest.fixture(scope="module")
def url(rewards):
    with serving(application(rewards, "rewards")) as address:
        yield address


def values(answer):
    return [one["score"] for one in answer["data"]]


def refusal(url, path, body):
    with pytest.raises(HTTPError) as told:
        urlopen(
            Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}), timeout=20
        )
    with told.value as error:
        return error.code, json.loads(error.read())["error"]["message"]


def test_two_hundred_clients_at_once_get_each_their_own_scores(url, rewards):
    endpoint = Endpoint(url, timeout=60)
    texts = [[f"{RESPONSES[i % 3]} {i}", RESPONSES[(i + 1) % 3]][: 1 + i % 2] for i in range(200)]

    def ask(responses):
        return values(endpoint.post("/v1/score", {"queries": PROMPT, "documents": responses}))

    with ThreadPoolExecutor(200) as pool:
        answers = [*pool.map(ask, texts)]
    for responses, scores in [*zip(texts, answers, strict=True)][::20]:
        expected = rewards(PROMPT, responses)["values"]
        torch.testing.assert_close(torch.tensor(scores), expected, atol=1e-6, rtol=0)
    assert list(map(len, answers)) == list(map(len, texts))


def test_turns_and_texts_are_one_prompt(url):
    endpoint = Endpoint(url, timeout=20)
    turns = [{"role": "user", "content": PROMPT}]
    answers = [
        endpoint.post("/v1/score", {name: prompt, other: RESPONSES[0]})
        for name, other, prompt in (("text_1", "text_2", PROMPT), ("queries", "documents", turns))
    ]
    assert values(answers[0]) == values(answers[1])


def test_openrlhf_gets_the_rewards_of_texts_as_they_were_drawn(url, rewards):
    turns = [{"role": "user", "content": PROMPT}]
    prompt = rewards.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    query = [prompt + response + rewards.tokenizer.eos_token for response in RESPONSES]
    expected = rewards(PROMPT, RESPONSES)["values"]
    for more in ({}, {"prompts": [prompt] * 3, "labels": [None] * 3}):
        answer = Endpoint(url, timeout=20).post("/get_reward", {"query": query, **more})
        torch.testing.assert_close(torch.tensor(answer["rewards"]), expected, atol=1e-6, rtol=0)
        assert answer["scores"] == answer["rewards"]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/score", {"queries": PROMPT}, "Field required"),
        ("/v1/score", {"queries": PROMPT, "documents": []}, "at least 1 item"),
        ("/v1/score", {"queries": PROMPT, "documents": ["a"], "user": "anna"}, "knows no users"),
        (
            "/v1/score",
            {"queries": PROMPT, "documents": ["fox " * 600]},
            "more than the model's context of 512",
        ),
        ("/v1/score", {"queries": [{"content": "a"}], "documents": ["b"]}, "role"),
        ("/get_reward", {"query": "a"}, "query"),
        ("/get_reward", {"query": ["a"], "prompts": []}, "prompts: 0 for 1 of query"),
        ("/get_reward", {"query": ["a"], "prompts": ["b"]}, "query 0 does not begin with its prompt"),
        ("/get_reward", {"query": [""]}, "query 0 has no tokens"),
    ],
)
def test_a_malformed_request_is_refused_with_the_reason(url, path, body, said):
    status, message = refusal(url, path, body)
    assert status == 400
    assert said in message


def test_a_preference_model_is_asked_for_two_or_more(tmp_path):
    saved(PreferenceModel, tmp_path, dimension=4)
    policy = load_policy(tmp_path)
    with serving(application(policy, "preferences")) as address:
        answer = Endpoint(address, timeout=20).post("/v1/score", {"queries": PROMPT, "documents": RESPONSES})
        table = policy(PROMPT, RESPONSES)["preferences"]
        torch.testing.assert_close(torch.tensor(answer["preferences"]), table, atol=1e-6, rtol=0)
        torch.testing.assert_close(torch.tensor(values(answer)), table.sum(1) / 2, atol=1e-6, rtol=0)
        assert "two or more" in refusal(address, "/v1/score", {"queries": PROMPT, "documents": ["a"]})[1]
        assert "ask /v1/score" in refusal(address, "/get_reward", {"query": ["a"]})[1]


def test_a_user_model_is_asked_for_a_user_it_knows(tmp_path):
    saved(UserModel, tmp_path, **USER)
    policy = load_policy(tmp_path)
    body = {"queries": PROMPT, "documents": RESPONSES}
    with serving(application(policy, "users")) as address:
        answer = Endpoint(address, timeout=20).post("/v1/score", body | {"user": "ben"})
        expected = policy(PROMPT, RESPONSES, user="ben")["values"]
        torch.testing.assert_close(torch.tensor(values(answer)), expected, atol=1e-6, rtol=0)
        assert refusal(address, "/v1/score", body)[0] == 400
        assert "carl" in refusal(address, "/v1/score", body | {"user": "carl"})[1]


def test_a_model_of_scores_takes_no_weights(rewards):
    with pytest.raises(ConfigError, match="updates=true"):
        application(rewards, "rewards", updates=True)


def test_who_draws_from_a_model_of_scores_is_told(url):
    from alignlab.sampling.server import Server
    from alignlab.sampling.settings import Sampling
    from tests.sampling.small import prompts

    with pytest.raises(RunError, match="status 404"):
        Server(None, [2], url=url).draw(prompts(1), 1, Sampling())
