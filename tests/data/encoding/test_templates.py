"""Chat templates of many habits: what a row says stands in its tokens, or is told."""

import copy
import json
import logging
import random

import pytest

from alignlab.data.encoding.named_templates import NAMES, named_template
from alignlab.data.encoding.prepare import tokenized
from alignlab.data.encoding.tokenize import Encoder, Limits
from alignlab.data.reading.examples import Report
from alignlab.errors import ConfigError, DataError
from alignlab.types import Example
from tests.data import tokenizers_ as kinds

ASK = {"role": "user", "content": "Tell me about the fox."}
SYSTEM = {"role": "system", "content": "The fox is red."}
CAT = {"role": "assistant", "content": "It eats mice."}
TURN = "'<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n'"
GEN = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
LAST_USER = (
    "{% set system = messages[0].content if messages[0].role == 'system' else none %}"
    "{% for m in (messages[1:] if system else messages) %}{% if m.role == 'user' %}"
    "{{ '[INST] ' + (system + '\\n\\n' if loop.last and system else '') + m.content + '[/INST]' }}"
    "{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"
)
"""Writes the system text into the last user turn, if that ends the conversation."""
ALTERNATING = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must take turns') }}{% endif %}{{ " + TURN + " }}{% endfor %}" + GEN
)
REASONING = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.reasoning_content %}"
    "{{ '<think>\\n' + m.reasoning_content + '\\n</think>\\n\\n' }}{% endif %}{{ m.content + '<|im_end|>\\n' }}"
    "{% endfor %}" + GEN
)
"""Writes reasoning_content before the content."""
LAST_THOUGHT = (
    "{% for m in messages %}{% set said = m.content.split('</think>') %}{{ '<|im_start|>' + m.role + '\\n' }}"
    "{% if m.role == 'assistant' and loop.last %}{{ '<think>\\n' + (said[0].replace('<think>', '').strip() if said[1:] "
    "else '') + '\\n</think>\\n\\n' }}{% endif %}{{ said[-1].strip() + '<|im_end|>\\n' }}{% endfor %}" + GEN
)
"""Leaves the reasoning out of all turns but the last, which it gives an empty one where it has none."""
NO_THOUGHT = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content.split('</think>')[-1] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"
)
"""Opens the reasoning for the model, and leaves it out of every turn that there is."""
TOOLS = (
    "{% if tools %}{{ tools | tojson + '\\n' }}{% endif %}{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + "
    "m.content }}{% for call in m.tool_calls or [] %}{{ '<call>' + call.function | tojson }}{% endfor %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}" + GEN
)
TOOL_DEAF = "{% for m in messages if m.role != 'tool' %}{{ " + TURN + " }}{% endfor %}" + GEN
DATED = "{{ strftime_now('%d %b %Y') + '\\n' }}" + kinds.CHATML
DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\\nBe of help.<|im_end|>\\n' }}{% endif %}"
    + kinds.CHATML
)
GENERATION = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content + '<|im_end|>' }}{% endgeneration %}{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{{ '\\n' }}"
    "{% endfor %}" + GEN
)


def encoder(template, make=kinds.byte_level, **options):
    tokenizer = copy.deepcopy(make())
    tokenizer.chat_template = template
    return Encoder(tokenizer, **options)


def read(code, prompt, *responses, **more):
    """Prompt and responses as text, marks shown, of a row that has these turns."""
    row = Example(prompt, list(responses), [0.0] * len(responses), id="row7", meta=more)
    tokens = code([row])[0]
    return tuple(code.tokenizer.decode(ids) for ids in (tokens.prompt, *tokens.responses))


def refusal(code, prompt, *responses, **more):
    with pytest.raises(DataError) as error:
        read(code, prompt, *responses, **more)
    assert "data.on_bad_row=skip" in str(error.value)
    assert "model.chat_template=" in str(error.value)
    return str(error.value)


@pytest.fixture
def told(caplog):
    caplog.set_level(logging.WARNING, logger="alignlab")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("before", [[], [ASK, CAT]])
def test_a_system_turn_that_a_template_moves_goes_to_the_head_of_the_first_user_turn(before, told):
    prompt, response = read(encoder(LAST_USER, kinds.llama_style), [SYSTEM, *before, ASK], "red")
    assert prompt.index(SYSTEM["content"]) < prompt.index(ASK["content"])
    assert prompt.count(SYSTEM["content"]) == 1
    assert response.strip() == "red</s>"
    assert len(told()) == 1


def test_a_default_system_turn_of_the_template_is_kept(told):
    code = encoder(DEFAULT_SYSTEM)
    assert "Be of help." in read(code, [ASK], "red")[0]
    own = read(code, [SYSTEM, ASK], "red")[0]
    assert SYSTEM["content"] in own
    assert "Be of help." not in own
    assert "Be of help." not in read(code, [SYSTEM | {"content": ""}, ASK], "red")[0]
    assert not told()


def test_reasoning_content_is_written_where_the_template_does(told):
    thought = CAT | {"reasoning_content": "Mice are small."}
    prompt, response = read(encoder(REASONING), [ASK, thought, ASK], [thought])
    assert "Mice are small." in prompt
    assert response == "<think>\nMice are small.\n</think>\n\nIt eats mice.<|im_end|>"
    assert not told()


def test_reasoning_content_of_a_response_that_is_left_out_is_an_error_of_the_row():
    message = refusal(encoder(kinds.CHATML), [ASK], [CAT | {"reasoning_content": "Mice are small."}])
    assert "row row7: the chat template leaves out 'reasoning_content' of turn 0 of the response" in message
    assert "Mice are small." in message


def test_reasoning_of_earlier_turns_may_be_left_out_which_is_told_once(told):
    code = encoder(LAST_THOUGHT)
    thought = CAT | {"content": "<think>small</think>It eats mice."}
    for _ in range(2):
        prompt, response = read(code, [ASK, thought, ASK], "<think>red?</think>red", "blue")[:2]
    assert "small" not in prompt
    assert response == "<think>\nred?\n</think>\n\nred<|im_end|>"
    assert [line for line in told() if "leaves out the reasoning of earlier turns" in line] == told()
    assert len(told()) == 1
    earlier = CAT | {"reasoning_content": "small"}
    assert "small" not in read(encoder(kinds.CHATML), [ASK, earlier, ASK], "red")[0]
    assert len(told()) == 2


def test_reasoning_of_the_response_is_kept_where_the_template_leaves_it_out(told):
    prompt, *responses = read(
        encoder(NO_THOUGHT), [ASK], "<think>\nred?\n</think>\n\nred", "<think>hm</think>blue"
    )
    assert prompt.endswith("<|im_start|>assistant\n<think>\n")
    assert responses == ["red?\n</think>\n\nred<|im_end|>", "hm</think>blue<|im_end|>"]
    assert len(told()) == 1
    assert "it is kept as written" in told()[0]


def test_a_response_that_does_not_begin_with_the_mark_of_reasoning_is_trained_on_as_it_stands(told):
    prompt, *responses = read(encoder(NO_THOUGHT), [ASK], "<think>\nred?\n</think>\n\nred", "blue")
    assert prompt.endswith("<|im_start|>assistant\n")
    assert responses == ["<think>\nred?\n</think>\n\nred<|im_end|>", "blue<|im_end|>"]
    assert any("begin with '<think>', and this one does not" in line for line in told())


CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"function": {"name": "area", "arguments": {"of": 'a "fox"', "n": 4}}}],
}
RESULT = {"role": "tool", "content": "42", "name": "area"}
SCHEMAS = [{"type": "function", "function": {"name": "area", "parameters": {}}}]


def test_tools_their_calls_and_results_are_written_where_the_template_does(told):
    prompt, response = read(encoder(TOOLS), [ASK, CALL, RESULT], [CALL, RESULT, CAT], tools=SCHEMAS)
    assert prompt.startswith(json.dumps(SCHEMAS))
    for part in ('"of": "a \\"fox\\""', "tool\n42"):
        assert part in prompt
        assert part in response
    assert [("'name'" in line, "result of a tool" in line) for line in told()] == [(False, True)]
    written = copy.deepcopy(CALL)
    written["tool_calls"][0]["function"]["arguments"] = '{"of": "a fox"}'
    assert "a fox" in read(encoder(TOOLS), [ASK], [written])[1]


@pytest.mark.parametrize(
    ("template", "prompt", "response", "tools", "reason"),
    [
        (TOOL_DEAF, [ASK, CAT, RESULT], CAT, [], "turn 2 of the prompt (tool): '42'"),
        (kinds.CHATML, [ASK, CALL, RESULT], CAT, [], "'tool_calls' of turn 1 of the prompt (assistant)"),
        (
            kinds.CHATML,
            [ASK],
            CALL | {"content": "Let me see."},
            [],
            "'tool_calls' of turn 0 of the response",
        ),
        (kinds.CHATML, [ASK], CAT, SCHEMAS, "leaves out its tools: area"),
        (ALTERNATING, [ASK, ASK], CAT, [], "refuses it: roles must take turns"),
        ("{{ messages[0].content + none }}", [ASK], CAT, [], "refuses it: "),
    ],
)
def test_what_a_template_leaves_out_or_refuses_is_an_error_of_the_row(
    template, prompt, response, tools, reason
):
    message = refusal(encoder(template), prompt, [response], tools=tools)
    assert message.startswith("row row7: the chat template ")
    assert reason in message


def test_a_name_that_is_left_out_is_told(told):
    read(encoder(kinds.CHATML), [ASK | {"name": "Ann"}, CAT, ASK], "red")
    assert told() == ["row row7: the chat template leaves out the 'name' of turns, here and in all such rows"]


def test_a_template_with_the_date_of_the_day_is_told_once(told):
    code = encoder(DATED)
    for _ in range(2):
        read(code, [ASK], "red")
    assert len(told()) == 1
    assert "the date of the day" in told()[0]


def test_a_template_that_marks_what_the_assistant_generates_is_read(told):
    assert read(encoder(GENERATION), [ASK], "red") == (
        "<|im_start|>user\nTell me about the fox.<|im_end|>\n<|im_start|>assistant\n",
        "red<|im_end|>",
    )
    assert not told()


def test_a_second_bos_is_left_out_and_told(told):
    code = encoder("{{ bos_token + bos_token }}" + kinds.JOINING, kinds.llama_style)
    bos = code.tokenizer.bos_token_id
    assert code.prompt_ids([ASK]).count(bos) == 1
    assert "begins with two <s>" in told()[0]


OPEN, CLOSE, ASSISTANT = "<|im_start|>user\n", "<|im_end|>\n", "<|im_start|>assistant\n"
BEFORE = {
    "mark at the end": (f"{OPEN}Sky?{CLOSE}{ASSISTANT}", f"blue{CLOSE}", f"green{CLOSE}"),
    "mark at the heads": (f"{OPEN}Sky?{CLOSE}", f"{ASSISTANT}blue{CLOSE}", f"{ASSISTANT}green{CLOSE}"),
    "parted at a space": (f"{OPEN}Sky?{CLOSE}{ASSISTANT}It is ", f"blue{CLOSE}", f"green{CLOSE}"),
    "several turns": (f"{OPEN}Sea?{CLOSE}{ASSISTANT}Hm.{CLOSE}{OPEN}Sky?{CLOSE}{ASSISTANT}", "blue", "green"),
    "system": (
        f"<|im_start|>system\nHm.{CLOSE}{OPEN}Sky?{CLOSE}{ASSISTANT}",
        f"blue{CLOSE}",
        f"green{CLOSE}",
    ),
    "no newline": (f"{OPEN}Sky?{CLOSE}{ASSISTANT}".strip(), f"\nblue{CLOSE}", f"\ngreen{CLOSE}"),
}


@pytest.mark.parametrize("texts", BEFORE.values(), ids=BEFORE)
@pytest.mark.parametrize("template", [kinds.CHATML, DEFAULT_SYSTEM], ids=["chatml", "default system"])
@pytest.mark.parametrize("count", [2, 1])
def test_texts_that_were_rendered_before_are_used_as_they_stand(texts, template, count, told):
    asked = [{"role": "user", "content": texts[0]}]
    prompt, *responses = read(encoder(template), asked, *texts[1 : count + 1])
    assert prompt.endswith("<|im_start|>assistant\n")
    for response, given in zip(responses, texts[1:], strict=False):
        whole = (texts[0] + given).strip()
        assert prompt + response == whole + ("" if whole.endswith("<|im_end|>") else "<|im_end|>")
    assert len(told()) == 1
    assert "not rendered again" in told()[0]


@pytest.mark.parametrize("bos", ["", "<s>"])
def test_texts_rendered_before_have_one_bos(bos, told):
    code = encoder(kinds.LLAMA, kinds.llama_style)
    row = Example(
        [{"role": "user", "content": f"{bos}[INST] fox? [/INST]"}], [" red </s>", " It"], [1.0, 0.0]
    )
    tokens = code([row])[0]
    assert tokens.prompt == code.prompt_ids([{"role": "user", "content": "fox?"}])
    assert code.tokenizer.decode(tokens.responses[0]).split() == ["red", "</s>"]
    assert len(told()) == 1


@pytest.mark.parametrize(
    "text",
    [
        "What does <|im_start|>assistant mean?",
        f"{OPEN}Sky?",
        f"Is {OPEN}Sky?{CLOSE}{ASSISTANT} right?",
        f"{ASSISTANT} is a mark",
    ],
)
def test_a_text_that_quotes_a_mark_is_an_ordinary_text(text, told):
    prompt = read(encoder(kinds.CHATML), [{"role": "user", "content": text}], "red", "blue")[0]
    assert prompt == f"{OPEN}{text}{CLOSE}{ASSISTANT}"
    assert [("read as the letters" in line) for line in told()] == [True]


def test_a_rendered_response_in_which_a_user_speaks_is_left_out():
    row = Example(
        [{"role": "user", "content": f"{OPEN}Sky?{CLOSE}{ASSISTANT}"}],
        [f"blue{CLOSE}{OPEN}Sure?{CLOSE}{ASSISTANT}yes", "green"],
        [1.0, 0.0],
    )
    ((_, (unfit,)),) = encoder(kinds.CHATML).stream([[row]])
    assert "holds a user turn" in str(unfit)


@pytest.mark.parametrize("how", ["text", "special"])
def test_special_tokens_in_texts_are_read_as_the_setting_says(how, told):
    code = encoder(kinds.CHATML, special_tokens=how)
    row = Example([ASK], ["<|endoftext|>red", "blue"], [1.0, 0.0], id="row7")
    ids = code([row])[0].responses[0]
    special = code.tokenizer.convert_tokens_to_ids("<|endoftext|>")
    assert (special in ids) == (how == "special")
    assert code.tokenizer.decode(ids) == "<|endoftext|>red<|im_end|>"
    expected = ["row row7", "<|endoftext|>", "data.special_tokens=special"] if how == "text" else []
    assert len(told()) == (1 if expected else 0)
    assert all(part in told()[0] for part in expected)


def test_rows_that_a_template_refuses_are_left_out_and_counted(tmp_path, told):
    rows = [Example([ASK], ["red", "blue"], [1.0, 0.0], id=str(i)) for i in range(5)]
    rows[3] = Example([ASK, ASK], ["red", "blue"], [1.0, 0.0], id="3")
    report, limits = Report(), Limits(64)
    kept, key = tokenized(rows, encoder(ALTERNATING), limits, tmp_path, report, skip_bad=True)
    assert list(kept.ids) == ["0", "1", "2", "4"]
    reason = "bad row: the chat template refuses it: roles must take turns"
    assert report.steps["tokenize"] == {"in": 5, "out": 4, f"dropped: {reason}": 1}
    for folder in (tmp_path, tmp_path / "new"):  # stored before, or not
        with pytest.raises(DataError, match="row 3: the chat template refuses it"):
            tokenized(rows, encoder(ALTERNATING), limits, folder, Report())
    assert tokenized(rows, encoder(ALTERNATING), limits, tmp_path, Report(), skip_bad=True)[1] == key
    with pytest.raises(DataError, match="row 3: the chat template refuses it"):  # and nothing is left
        tokenized(rows[3:4], encoder(ALTERNATING), limits, tmp_path, Report(), skip_bad=True)


def test_what_was_told_of_rows_is_told_again_when_they_are_read_from_the_disk(tmp_path, told):
    rows = [Example([ASK], ["<|im_start|> red", "blue"], [1.0, 0.0], id="row7")]
    keys = {
        tokenized(rows, encoder(kinds.CHATML, special_tokens=how), Limits(64), tmp_path, Report())[1]
        for how in ("text", "special", "text")
    }
    assert len(keys) == 2
    assert len(told()) == 2
    assert told()[0] == told()[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_named_template_writes_all_turns(name, told):
    dialogue = [ASK, CAT, ASK | {"content": "And the cat?"}]
    for prompt in (dialogue, [SYSTEM, *dialogue]):
        text, response = read(encoder(named_template(name), kinds.llama_style), prompt, "It is red.")
        places = [text.find(turn["content"]) for turn in prompt]
        assert places == sorted(places)
        assert -1 not in places
        assert response.rstrip().removesuffix("</s>").split("<")[0].strip() == "It is red."


def test_template_names_are_checked_and_files_read(tmp_path):
    with pytest.raises(ConfigError, match=r"chat_template=chatlm: no such template.*chatml"):
        named_template("chatlm")
    with pytest.raises(ConfigError, match="no readable file"):
        named_template(str(tmp_path / "none.jinja"))
    (tmp_path / "own.jinja").write_text("{{ messages }}")
    assert named_template(str(tmp_path / "own.jinja")) == "{{ messages }}"


WORDS = [
    "fox",
    "a",
    "4",
    "  mice \n",
    'It\'s "red"',
    "assistant",
    "</think>",
    "<|im_end|>",
    "user:\n",
    "漢字",
    "{x}",
]
ANY_TEMPLATE = {
    "last user": LAST_USER,
    "alternating": ALTERNATING,
    "reasoning": REASONING,
    "last thought": LAST_THOUGHT,
    "no thought": NO_THOUGHT,
    "tools": TOOLS,
    "tool deaf": TOOL_DEAF,
    "default system": DEFAULT_SYSTEM,
    "trimming": kinds.TRIMMING,
    "deaf": kinds.DEAF,
    **{name: named_template(name) for name in NAMES},
}


def any_turn(rng, role):
    turn = {"role": role, "content": " ".join(rng.choices(WORDS, k=rng.randint(1, 4)))}
    if role == "assistant" and rng.random() < 0.3:
        turn["reasoning_content"] = "I think " + rng.choice(WORDS)
    if role == "assistant" and rng.random() < 0.2:
        turn["tool_calls"] = [{"function": {"name": "area", "arguments": {"of": rng.choice(WORDS)}}}]
    return turn


def any_row(rng):
    roles = ["system"] * (rng.random() < 0.3) + ["user"]
    for _ in range(rng.randint(0, 2)):
        roles += ["assistant"] + ["tool"] * (rng.random() < 0.3) + ["user"] * (rng.random() < 0.8)
    prompt = [any_turn(rng, role) for role in roles]
    prompt += [any_turn(rng, "user")] if prompt[-1]["role"] == "assistant" else []
    answers = [["assistant"], ["assistant", "tool", "assistant"]][rng.random() < 0.2]
    responses = [[any_turn(rng, role) for role in answers] for _ in range(rng.randint(1, 3))]
    return Example(prompt, responses, [0.0] * len(responses), id="row7")


def texts_of(turns):
    for turn in turns:
        calls = [call["function"] for call in turn.get("tool_calls", [])]
        yield from (turn["content"], turn.get("reasoning_content", ""))
        yield from (text for call in calls for text in (call["name"], call["arguments"]["of"]))


@pytest.mark.parametrize("template", ANY_TEMPLATE.values(), ids=ANY_TEMPLATE)
def test_no_text_of_any_row_is_lost_in_silence(template, caplog):
    rng, squeezed = random.Random(1), lambda text: "".join(text.split()).replace("\\", "")
    code, served = encoder(template), 0
    for _ in range(20):
        row = any_row(rng)
        ((_, (tokens,)),) = code.stream([[row]])
        if isinstance(tokens, Exception):
            assert "the chat template" in str(tokens)
            continue
        served += 1
        prompt, *responses = (
            squeezed(code.tokenizer.decode(ids)) for ids in (tokens.prompt, *tokens.responses)
        )
        told = " ".join(record.getMessage() for record in caplog.records)
        for response, turns in zip(responses, row.responses, strict=True):
            for text in texts_of(turns):
                opened = squeezed(text).removesuffix("<|im_end|>").removeprefix("<think>")
                assert opened in prompt[-20:] + response
        for text in texts_of(row.prompt):
            assert squeezed(text) in prompt or "leaves out the reasoning of earlier turns" in told
    assert served


@pytest.mark.parametrize(
    ("prompt", "responses", "part"),
    [
        (
            "<s>[INST] Sky? [/INST]",
            ("blue", "green"),
            "begins with '<s>[INST]', which looks like a mark of another",
        ),
        ("Which sky?", ("Which sky? Blue.", "Which sky? Green."), "begins with the text of its prompt"),
        ("Which sky?", ("Which sky? Blue.", "Green."), None),
        ("Sky?", ("Sky? Blue.", "Sky? Green."), None),
        ("What does [INST] mean?", ("blue", "green"), None),
    ],
)
def test_marks_of_other_templates_and_repeated_prompts_are_told(prompt, responses, part, told):
    row = Example([{"role": "user", "content": prompt}], [*responses], [1.0, 0.0], id="row7")
    encoder(kinds.CHATML)([row, row])
    assert [(part in line and "row7" in line) for line in told()] == [True] * (part is not None)


def test_the_mark_of_the_assistant_stands_once_where_prompt_and_responses_have_it(told):
    rendered = {"role": "user", "content": f"{OPEN}Sky?{CLOSE}{ASSISTANT}"}
    row = Example([rendered], [f"{ASSISTANT}blue", f"{ASSISTANT}green"], [1.0, 0.0])
    code = encoder(kinds.CHATML)
    (tokens,) = code([row])
    assert tokens.prompt == code.prompt_ids([{"role": "user", "content": "Sky?"}])
    assert code.tokenizer.decode(tokens.responses[0]) == "blue<|im_end|>"


def test_a_template_that_is_no_template_ends_the_run_also_where_bad_rows_are_skipped(tmp_path):
    rows = [Example([ASK], ["red", "blue"], [1.0, 0.0], id="row7")]
    with pytest.raises(ConfigError, match="the chat template cannot be read"):
        tokenized(rows, encoder("{{ x }"), Limits(64), tmp_path, Report(), skip_bad=True)
