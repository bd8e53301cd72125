"""What a server leaves out, changes or does not do in time ends in an error that says so."""

import os
import time

import pytest

from alignlab.errors import ConfigError, RunError
from alignlab.http_json import Endpoint
from alignlab.sampling.server import Server
from alignlab.sampling.settings import Sampling
from alignlab.sampling.vllm import VLLM
from tests.sampling.small import STOP, model, prompts
from tests.serving.local import answering

MODELS = {"data": [{"id": "small", "max_model_len": 64}]}
HOW = Sampling(max_new_tokens=3)


def choice(index=0, **changes):
    plain = {
        "index": index,
        "token_ids": [5, 6, STOP],
        "logprobs": {"token_logprobs": [-1.0, -0.5, -2.0]},
        "finish_reason": "stop",
    }
    return plain | changes


def of(change):
    """Answers that are right but for the change, to the second prompt."""

    def answer(path, body):
        if path == "/v1/models":
            return 200, MODELS
        choices = [choice(index) for index in range(body["n"])]
        right = {"choices": choices}
        return change(right, body) if body["prompt"] == prompts(2)[1].ids else (200, right)

    return answer


def changed(**fields):
    def change(right, body):
        right["choices"][1] = choice(1, **fields)
        return 200, right

    return change


FAULTS = {
    "a dropped choice": (
        lambda right, _: (200, {"choices": right["choices"][:1]}),
        "2 responses were asked for",
    ),
    "one choice twice": (lambda right, _: (200, {"choices": [choice(), choice()]}), r"numbered \[0, 0\]"),
    "no choices": (lambda right, _: (200, {"error": "none"}), "no choices"),
    "NaN": (
        lambda right, _: (
            200,
            '{"choices": [{"index": 0, "token_ids": [5], "finish_reason": "length", "logprobs": {"token_logprobs": '
            '[NaN]}}, {"index": 1}]}',
        ),
        "NaN, missing or above 0",
    ),
    "a log-probability too few": (
        changed(logprobs={"token_logprobs": [-1.0, None]}),
        "3 tokens and 2 log-prob",
    ),
    "no log-probabilities": (changed(logprobs=None), "3 tokens and no log-probabilities"),
    "no ids": (changed(token_ids=None), "does not know `return_token_ids`"),
    "broken off": (changed(finish_reason="abort"), "broken off by the server"),
    "no end": (changed(token_ids=[5, 6, 7]), "leaves the end out"),
    "an end inside": (changed(token_ids=[5, STOP, STOP]), "goes on behind its end"),
    "another prompt": (
        lambda right, _: (200, {"choices": [choice(0, prompt_token_ids=[1]), choice(1)]}),
        "another prompt",
    ),
    "no JSON": (lambda right, _: (200, "<html>"), "something else than JSON: '<html>'"),
    "refused": (lambda right, _: (400, {"error": {"message": "too long"}}), "status 400: too long"),
}


@pytest.mark.parametrize(("change", "said"), FAULTS.values(), ids=FAULTS)
def test_a_wrong_answer_is_told(change, said):
    told = []
    with answering(of(change)) as url, pytest.raises(RunError, match=said) as error:
        Server(None, [STOP], url=url).draw(prompts(3), 2, HOW, tell=told.append)
    assert url in str(error.value)
    assert [rollout.id for rollout in told] == ["row-0"]  # what came before is kept


def test_a_server_that_hangs_is_given_up_in_time():
    def hang(right, body):
        time.sleep(1.0)
        return 200, right

    with answering(of(hang)) as url:
        begun = time.monotonic()
        with pytest.raises(RunError, match=r"did not answer within 0\.3 seconds"):
            Server(None, [STOP], url=url, timeout=0.3).draw(prompts(3), 1, HOW)
        assert time.monotonic() - begun < 0.9


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_storm_is_waited_out_and_no_longer(status, monkeypatch):
    monkeypatch.setattr("alignlab.http_json.PAUSE", 0.01)
    asked = []

    def storm(right, body):
        asked.append(body)
        return (status, "busy") if len(asked) < 4 else (200, right)

    with answering(of(storm)) as url:
        assert len(Server(None, [STOP], url=url, retries=3).draw(prompts(2), 2, HOW)) == 2
        asked.clear()
        with pytest.raises(RunError, match=f"asked 2 times, answered with status {status}: busy"):
            Server(None, [STOP], url=url, retries=1).draw(prompts(2), 2, HOW)
    assert len(asked) == 2


def test_nobody_there_is_told():
    with answering(of(changed())) as url:
        pass
    with pytest.raises(RunError, match="no connection"):
        Server(None, [STOP], url=url, retries=0).draw(prompts(1), 1, HOW)


def test_the_model_among_several_has_to_be_named():
    def answer(path, body):
        return 200, {"data": [{"id": "a"}, {"id": "b"}]}

    with answering(answer) as url:
        with pytest.raises(ConfigError, match=r"set generator.name \(a, b\)"):
            Server(None, [STOP], url=url).weights()
        with pytest.raises(ConfigError, match="has no model c; it has a, b"):
            Server(None, [STOP], url=url, name="c").weights()
        assert Server(None, [STOP], url=url, name="b").weights() == f"model b of {url}"


def test_what_a_server_cannot_draw_is_refused_before_it_is_asked():
    with answering(of(changed())) as url:
        server = Server(None, [STOP], url=url)
        with pytest.raises(ConfigError, match="the server's context is 64"):
            server.draw([prompts(1)[0]._replace(ids=[3] * 64)], 1, HOW)
        with pytest.raises(ConfigError, match="generator=inprocess"):
            server.draw(prompts(1), 1, Sampling(decoder="contrastive"))
        with pytest.raises(ConfigError, match="takes no weights of a training"):
            server.sync(1)


def test_log_probabilities_of_before_the_temperature_are_noticed():
    with answering(of(changed())) as url, pytest.raises(ConfigError, match="processed_logprobs"):
        Server(None, [STOP], url=url).draw(prompts(1), 1, Sampling(temperature=0.7, max_new_tokens=3))


def test_a_server_that_keeps_its_old_weights_is_noticed(tmp_path):
    def answer(path, body):
        return 200, {"weight_version": "3"} if path == "/weight_info" else {"message": "done"}

    with answering(answer) as url:
        generator = VLLM(model(), [STOP], url=url, folder=str(tmp_path))
        with pytest.raises(RunError, match="names version 3 of its weights after it was given version 4"):
            generator.sync(4)
    assert generator.version == 0
    assert not [*tmp_path.iterdir()]


def test_a_server_that_fails_to_read_weights_goes_on(tmp_path):
    asked = []

    def answer(path, body):
        asked.append(path)
        return (500, "no memory") if path == "/collective_rpc" else (200, {})

    with answering(answer) as url, pytest.raises(RunError, match=r"did not arrive.*no memory"):
        VLLM(model(), [STOP], url=url, retries=0, folder=str(tmp_path)).sync(4)
    assert asked == ["/pause?mode=wait", "/collective_rpc", "/resume"]


def test_a_key_comes_from_the_environment():
    with pytest.raises(ConfigError, match="NO_SUCH_KEY is not set"):
        Endpoint("http://127.0.0.1:1", timeout=1, key_env="NO_SUCH_KEY")
    os.environ["SOME_KEY"] = "secret"
    endpoint = Endpoint("http://127.0.0.1:1/v1", timeout=1, key_env="SOME_KEY")
    assert (endpoint.url, endpoint.headers["Authorization"]) == ("http://127.0.0.1:1", "Bearer secret")
    with pytest.raises(ConfigError, match="no address of a server"):
        Endpoint("127.0.0.1:8000", timeout=1)
