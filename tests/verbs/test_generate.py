"""`alignlab generate` writes answers, and goes on with a file that was broken off; `alignlab chat` keeps turns."""

import fcntl
import io
import json

import pytest

from alignlab.errors import ConfigError, DataError
from alignlab.program import main
from alignlab.sampling.in_process import InProcess
from alignlab.sampling.settings import Sampling
from alignlab.sampling.written import write
from alignlab.verbs import chat, generate
from tests.data.tokenizers_ import lab
from tests.policies.models import build
from tests.sampling.small import STOP, model, prompts
from tests.verbs.small_run import make_run


class Tokens:
    """A tokenizer whose texts do not tell which ids they were made of."""

    def decode(self, ids, skip_special_tokens=False):
        return "same " * (len(ids) > 0)


def test_a_file_that_was_broken_off_ends_as_one_that_was_not(tmp_path):
    asked, how = prompts(7), Sampling(max_new_tokens=6)
    sampler = InProcess(model(), [STOP], rows=4)
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "new" / "broken.jsonl"
    assert write(whole, sampler, asked, 2, how, Tokens()) == 0
    lines = whole.read_bytes().splitlines(keepends=True)
    broken.parent.mkdir()
    broken.write_bytes(b"".join(lines[:3]) + lines[3][:20])
    assert write(broken, sampler, asked, 2, how, Tokens()) == 3
    ids = [
        [json.loads(line)["response_ids"] for line in file.read_text().splitlines()]
        for file in (whole, broken)
    ]
    assert ids[0] == ids[1]
    drawn = InProcess(model(), [STOP]).draw(asked, 2, how)
    assert ids[0] == [[one.tolist() for one in rollout.responses] for rollout in drawn]
    assert write(whole, sampler, asked, 2, how, Tokens()) == 7


@pytest.mark.parametrize(
    "change", [{"n": 3}, {"how": Sampling(0.5, max_new_tokens=6)}, {"asked": prompts(9)[1:]}]
)
def test_a_file_of_something_else_is_refused(tmp_path, change):
    given = {"asked": prompts(3), "n": 2, "how": Sampling(max_new_tokens=6)}
    sampler, file = InProcess(model(), [STOP]), tmp_path / "answers.jsonl"
    write(file, sampler, given["asked"], given["n"], given["how"], Tokens())
    before = file.read_bytes()
    given |= change
    with pytest.raises(
        DataError, match=r"answers.jsonl: line 1 has row row-0, drawn with sample, temperature 1"
    ):
        write(file, sampler, given["asked"], given["n"], given["how"], Tokens())
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"my notes", b'{"prompt": "a"}\n{"prompt": "b"}', b"\xff\n", b"[1]\n"])
def test_a_file_of_ones_own_is_left_as_it_is(tmp_path, content):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"rows.jsonl: line \d"):
        write(file, InProcess(model(), [STOP]), prompts(2), 1, Sampling(max_new_tokens=2), Tokens())
    assert file.read_bytes() == content


def test_rows_whose_prompts_changed_are_not_gone_on_with(tmp_path):
    sampler, file, how = InProcess(model(), [STOP]), tmp_path / "answers.jsonl", Sampling(max_new_tokens=2)
    write(file, sampler, prompts(2), 1, how, Tokens())
    before = file.read_bytes()
    changed = [prompt._replace(ids=[5, *prompt.ids]) for prompt in prompts(3)]
    with pytest.raises(DataError, match="line 1 answers row row-0 as another prompt"):
        write(file, sampler, changed, 1, how, Tokens())
    assert file.read_bytes() == before


def test_a_file_that_another_process_writes_and_a_folder_are_told(tmp_path):
    sampler, how = InProcess(model(), [STOP]), Sampling(max_new_tokens=2)
    with (tmp_path / "answers.jsonl").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another process writes it"):
            write(tmp_path / "answers.jsonl", sampler, prompts(2), 1, how, Tokens())
    assert write(tmp_path / "answers.jsonl", sampler, prompts(2), 1, how, Tokens()) == 0
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        write(tmp_path / "folder.jsonl", sampler, prompts(2), 1, how, Tokens())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("generated") / "run")


def test_a_run_answers_its_own_prompts(run, tmp_path, capsys):
    out = tmp_path / "answers.jsonl"
    words = [f"run={run}", f"out={out}", "samples=3", "prompts=5", "max_new_tokens=7"]
    main(["generate", *words])
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["id"] for line in lines] == [f"lab-validation-{i:06d}" for i in range(5)]
    for line in lines:
        assert len(line["responses"]) == len(line["finished"]) == 3
        assert [len(ids) for ids in line["response_ids"]] == [len(logps) for logps in line["token_logps"]]
        assert line["prompt"].startswith("<")  # as the model read it
    before = out.read_bytes()
    main(["generate", *words])
    assert out.read_bytes() == before
    assert "(5 prompts, 5 of them drawn before)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "out= is missing"),
        (["out=x.txt"], "out= is missing"),
        (["out=x.jsonl", "temperature=0"], "temperature=0: expected a number above 0"),
        (["out=x.jsonl", "decoder=greedy", "top_p=0.5"], "draws nothing at random"),
        (["out=x.jsonl", "decoder=beam"], "valid names|did you mean"),
    ],
)
def test_bad_words_are_told_before_anything_loads(words, said):
    with pytest.raises(ConfigError, match=said):
        generate.run(words)


def test_a_conversation_keeps_its_turns_until_it_is_reset(monkeypatch):
    seen, real, tokenizer = [], InProcess.draw, lab()

    def draw(self, asked, n, how):
        seen.append(tokenizer.decode(asked[0].ids))
        if len(seen) == 3:
            raise ConfigError("the prompt is too long")
        return real(self, asked, n, how)

    monkeypatch.setattr(InProcess, "draw", draw)
    speaker = build("llama", vocabulary=len(tokenizer)).float()
    out = io.StringIO()
    lines = [
        "Tell me about the fox\n",
        "\n",
        "The fox is red\n",
        "The fox eats mice\n",
        "/reset\n",
        "It can fly\n",
        "/exit\n",
        "never\n",
    ]
    begun = [{"role": "system", "content": "Be good"}]
    chat.converse(speaker, tokenizer, Sampling(max_new_tokens=3), begun, lines, out)
    words = ["Tell me about the fox", "The fox is red", "The fox eats mice", "It can fly"]
    held = [[word for word in words if word in text] for text in seen]
    assert held == [words[:1], words[:2], words[:3], words[3:]]
    said = out.getvalue().splitlines()
    assert len(said) == 4
    assert said[2] == "the prompt is too long (/reset begins anew)"


def test_chat_reads_lines_of_a_pipe(run, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("Tell me about the fox.\n/exit\n"))
    main(["chat", f"run={run}", "max_new_tokens=4"])
    assert len(capsys.readouterr().out.strip().splitlines()) == 1
