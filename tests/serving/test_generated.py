"""Commands and trainings that draw from a server come to what those come to that draw in their process."""

import json
from dataclasses import replace
from functools import partial

import pytest

pytest.importorskip("fastapi", reason="needs the extra `serve`")

from alignlab.policies.load import load_policy
from alignlab.program import main
from alignlab.sampling.vllm import VLLM
from alignlab.serving.served import application
from alignlab.verbs import serve
from tests.serving.local import serving
from tests.training.small import load_small
from tests.training.test_online import drawing, same, train
from tests.verbs.small_run import make_run


def test_answers_of_a_server_are_those_of_the_process(tmp_path):
    run = make_run(tmp_path / "run")
    words = [f"run={run}", "samples=2", "prompts=5", "max_new_tokens=7", "temperature=0.8"]
    with serving(application(load_policy(run / "model"), "small")) as url:
        server = ["generator=server", f"generator.url={url}"]
        main(["generate", *words, f"out={tmp_path / 'far.jsonl'}", *server])
        with pytest.raises(SystemExit, match="batch_size is of draws in this process"):
            main(["generate", *words, f"out={tmp_path / 'far.jsonl'}", *server, "batch_size=3"])
    main(["generate", *words, f"out={tmp_path / 'here.jsonl'}"])
    far, here = (
        [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        for name in ("far", "here")
    )
    assert [line["response_ids"] for line in far] == [line["response_ids"] for line in here]
    assert f"model small of {url}" in far[0]["drawn"]


def test_a_training_beside_a_server_ends_as_one_that_draws_itself(tmp_path):
    place = tmp_path / "model"
    model, tokenizer = load_small(seed=5)  # other weights than those that train
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    stage = drawing(tmp_path, changes={"trainer": {"max_steps": 3}})
    with serving(application(load_policy(place), "small", updates=True)) as url:
        make = partial(VLLM, url=url, transfer="disk", folder=str(tmp_path / "weights"))
        far = train(replace(stage, make_generator=make), tmp_path / "far")
    assert same(far, train(stage, tmp_path / "here"))


def test_what_cannot_be_served_is_told(tmp_path):
    for words, said in (
        ([], "which model"),
        (["model=a", "run=b"], "which model"),
        ([f"model={tmp_path}"], "there is no model there"),
        (["model=a", "prot=80"], "did you mean 'port'"),
        (["model=a", "port=70000"], "from 0 to 65535"),
        ([f"run={make_run(tmp_path / 'run')}", "host=203.0.113.1"], "choose another one"),
    ):
        with pytest.raises(SystemExit, match=said):
            main(["serve", *words])
    assert serve.KEYS["host"].default == "127.0.0.1"
