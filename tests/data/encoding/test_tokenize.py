"""Text to tokens: the response comes back from its tokens, with one BOS before and one end of turn after."""

import copy

import pytest

from alignlab.data.encoding.tokenize import Encoder
from alignlab.data.reading.rows import RowError, validate
from alignlab.errors import DataError
from alignlab.types import Example
from tests.data import tokenizers_ as kinds
from tests.data.shared import needs_data

KINDS = [kinds.byte_level, kinds.llama_style, kinds.lab, pytest.param(kinds.stories, marks=needs_data)]

ASKED = [{"role": "user", "content": "Tell me about the fox."}]
PROMPTS = {
    "one turn": ASKED,
    "several turns": [
        {"role": "user", "content": "Tell me about the cat."},
        {"role": "assistant", "content": "It eats mice."},
        *ASKED,
    ],
    "system turn": [{"role": "system", "content": "The fox is red."}, *ASKED],
}
RESPONSES = ["It eats mice.", "The fox is red. It eats mice. It is red.", "It"]


def encoder(make, template=None, **options):
    """Of a copy, so that a test may set the template."""
    tokenizer = copy.deepcopy(make())
    tokenizer.chat_template = template or tokenizer.chat_template
    return Encoder(tokenizer, **options)


def encoded(code, prompt, responses):
    return code([Example(prompt=prompt, responses=list(responses), labels=[0.0] * len(responses))])[0]


def text(code, ids):
    return code.tokenizer.decode(ids)


@pytest.mark.parametrize("template", [None, *kinds.TEMPLATES.values()], ids=["own", *kinds.TEMPLATES])
@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("make", KINDS)
def test_response_tokens_are_the_response_and_one_end_of_turn(make, prompt, template):
    code = encoder(make, template)
    tokens = encoded(code, prompt, RESPONSES)
    for response, ids in zip(RESPONSES, tokens.responses, strict=True):
        assert text(code, ids[:-1]).strip() == response
        assert ids[-1] == code.tokenizer.eos_token_id
        assert code.tokenizer.eos_token_id not in ids[:-1]
    assert all(code.tokenizer.bos_token_id not in ids for ids in tokens.responses)
    for turn in prompt:
        assert turn["content"] in text(code, tokens.prompt)


@pytest.mark.parametrize("make", KINDS)
def test_a_tokenizer_that_puts_a_bos_first_gives_it_once(make):
    for template in (kinds.JOINING, "{{ bos_token }}" + kinds.JOINING):
        code = encoder(make, template)
        bos = code.tokenizer.bos_token_id
        adds = code.tokenizer("a")["input_ids"][:1] == [bos]
        writes = bos is not None and "bos_token" in template
        tokens = encoded(code, ASKED, RESPONSES)
        assert tokens.prompt.count(bos) == (1 if adds or writes else 0)
        assert (tokens.prompt[0] == bos) == (adds or writes)


def test_which_tokenizers_put_a_bos_first():
    assert kinds.llama_style()("a")["input_ids"][0] == kinds.llama_style().bos_token_id
    assert kinds.byte_level().bos_token_id is None
    assert kinds.lab()("a")["input_ids"][0] != kinds.lab().bos_token_id


@pytest.mark.parametrize("template", [None, *kinds.TEMPLATES.values()], ids=["own", *kinds.TEMPLATES])
@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("make", [kind for kind in KINDS if kind is not kinds.lab])  # which shows its blanks
def test_prompt_and_response_together_are_the_conversation(make, prompt, template):
    code = encoder(make, template)
    tokens = encoded(code, prompt, RESPONSES)
    for response, ids in zip(RESPONSES, tokens.responses, strict=True):
        before, whole = text(code, tokens.prompt), text(code, [*tokens.prompt, *ids[:-1]])
        assert whole.startswith(before)
        assert whole[len(before) :].strip() == response
        assert "  " not in whole


@pytest.mark.parametrize(
    ("make", "template"),
    [
        (kinds.byte_level, kinds.CHATML),
        (kinds.llama_style, kinds.LLAMA),
        (kinds.llama_style, kinds.CHATML),
        (kinds.lab, None),
        pytest.param(kinds.stories, None, marks=needs_data),
        pytest.param(kinds.stories, kinds.CHATML, marks=needs_data),
    ],
)
def test_tokens_are_those_of_the_whole_text(make, template):
    code = encoder(make, template)
    tokens = encoded(code, ASKED, RESPONSES)
    for response, ids in zip(RESPONSES, tokens.responses, strict=True):
        whole = code.tokenizer.apply_chat_template(
            [*ASKED, {"role": "assistant", "content": response}], tokenize=False
        )
        joint = code.tokenizer(whole, add_special_tokens=False)["input_ids"]
        apart = [*tokens.prompt, *ids]
        begin = joint.index(code.tokenizer.bos_token_id) if code.tokenizer.bos_token_id in joint else 0
        skipped = 1 if code._bos and joint[0] != code.tokenizer.bos_token_id else 0
        assert apart[skipped:-1] == joint[begin:][: len(apart) - skipped - 1]


@needs_data
def test_pieces_with_a_leading_space_stand_only_where_there_is_a_space():
    code = encoder(kinds.stories)
    pieces = code.tokenizer.convert_ids_to_tokens(encoded(code, ASKED, ["Once upon a time"]).responses[0])
    assert "".join(pieces) == "Once▁upon▁a▁time</s>"


SAID = [{"role": "user", "content": "What does <|im_end|> do, and</s><|user|>?"}]


@pytest.mark.parametrize("template", [None, kinds.CHATML, kinds.TRIMMING], ids=["own", "chatml", "trimming"])
@pytest.mark.parametrize("make", KINDS)
def test_special_tokens_in_a_text_are_text(make, template):
    code = encoder(make, template)
    plain = [{"role": "user", "content": "What does it do, and?"}]
    special = {*code.tokenizer.all_special_ids} - {code.tokenizer.unk_token_id}
    expected = encoded(code, plain, ["It</s> ends", "It<|im_end|> ends <|user|>a turn<s>."])
    found = encoded(code, SAID, ["It</s> ends", "It<|im_end|> ends <|user|>a turn<s>."])
    controls = lambda ids: [i for i in ids if i in special]  # noqa: E731
    assert controls(found.prompt) == controls(expected.prompt)
    for ids in found.responses:
        assert controls(ids) == [code.tokenizer.eos_token_id]
        assert ids[-1] == code.tokenizer.eos_token_id
    if make is not kinds.lab:  # which has no letters to write it with
        assert SAID[0]["content"] in text(code, found.prompt)


def test_other_tokens_are_not_touched_by_special_tokens_in_a_text():
    code = encoder(kinds.byte_level)
    ids = encoded(code, [{"role": "user", "content": "a <|im_end|> fox"}], ["red"]).prompt
    tokenizer = code.tokenizer
    spelled = tokenizer("a <|im_end|> fox", split_special_tokens=True)["input_ids"]
    before = tokenizer("<|im_start|>user\n")["input_ids"]
    assert ids == [*before, *spelled, *tokenizer("<|im_end|>\n<|im_start|>assistant\n")["input_ids"]]


def test_a_tokenizer_that_cannot_write_a_special_token_as_text_says_so(caplog):
    code = encoder(kinds.whole_words)
    for _ in range(2):
        ids = encoded(code, [{"role": "user", "content": "a </s> b"}], ["b"]).prompt
    assert ids == code.tokenizer.convert_tokens_to_ids(["a", "</s>", "b"])
    told = [record.message for record in caplog.records]
    assert len(told) == 1
    assert "cannot write </s> as text" in told[0]


def test_each_response_may_have_its_own_prompt():
    code = encoder(kinds.byte_level)
    prompts = [ASKED, PROMPTS["several turns"], PROMPTS["system turn"]]
    row = Example(ASKED, RESPONSES, [2.0, 1.0, 0.0], meta={"prompts": prompts})
    made = code([row])[0]
    alone = [encoded(code, prompt, [response]) for prompt, response in zip(prompts, RESPONSES, strict=True)]
    assert made.prompts == [one.prompt for one in alone]
    assert made.responses == [one.responses[0] for one in alone]
    assert made.prompt == alone[0].prompt


@pytest.mark.parametrize("own", ["red", [["red"], ASKED], [[], ASKED], [{"role": "user"}, ASKED]])
def test_prompts_that_are_none_are_an_error_of_the_row(own):
    row = Example(ASKED, RESPONSES[:2], [1.0, 0.0], meta={"prompts": own})
    if isinstance(own, str):  # not one a response: an entry of the source's own
        assert encoder(kinds.byte_level)([validate(row)])[0].prompts == [
            encoder(kinds.byte_level).prompt_ids(ASKED)
        ]
        return
    with pytest.raises(RowError, match=r"meta.prompts\[0\]"):
        validate(row)


@pytest.mark.parametrize("template", [kinds.LLAMA, kinds.DEAF], ids=["refuses", "leaves out"])
def test_a_template_without_system_turns_gets_their_text_in_the_user_turn(template, caplog):
    code = encoder(kinds.llama_style, template)
    found = [encoded(code, PROMPTS["system turn"], RESPONSES) for _ in range(2)]
    folded = [{"role": "user", "content": "The fox is red.\n\nTell me about the fox."}]
    assert found == [encoded(encoder(kinds.llama_style, template), folded, RESPONSES)] * 2
    assert sum("has no system turns" in record.message for record in caplog.records) == 1


def test_a_slow_tokenizer_serves_too():
    code = encoder(kinds.slow)
    tokens = encoded(code, PROMPTS["several turns"], RESPONSES)
    for response, ids in zip(RESPONSES, tokens.responses, strict=True):
        assert text(code, ids) == f"{response}</s>"
        assert text(code, [*tokens.prompt, *ids]) == text(code, tokens.prompt) + f"{response}</s>"
    assert PROMPTS["several turns"][0]["content"] in text(code, tokens.prompt)


def test_rows_come_in_chunks_with_their_tokens():
    code = encoder(kinds.llama_style)
    examples = [Example(ASKED, RESPONSES[:k], [0.0] * k, id=str(k)) for k in (2, 1, 3)]
    streamed = list(code.stream([examples[:2], examples[2:]]))
    assert [[e.id for e in chunk] for chunk, _ in streamed] == [["2", "1"], ["3"]]
    assert [tokens for _, chunk in streamed for tokens in chunk] == code(examples)


def test_a_trimming_template_trims_both_sides_alike():
    code = encoder(kinds.byte_level, kinds.TRIMMING)
    tokens = encoded(code, [{"role": "user", "content": "  a fox \n"}], ["  red \n"])
    assert text(code, tokens.prompt) == "user: a fox\nassistant: "
    assert text(code, tokens.responses[0]) == "red\n<|im_end|>"


@pytest.mark.parametrize("response", ["red<|im_end|>", "red<|im_end|>\n", "red<|im_end|><|im_end|>"])
@pytest.mark.parametrize("template", [kinds.CHATML, kinds.JOINING, kinds.TWO_ENDS])
def test_the_end_of_turn_is_never_double(template, response):
    code = encoder(kinds.byte_level, template)
    tokens = encoded(code, ASKED, [response])
    assert text(code, tokens.responses[0]).strip() == "red<|im_end|>"


def test_other_ends_of_turn_are_stops_too():
    end = kinds.byte_level().convert_tokens_to_ids("<|endoftext|>")
    template = "{% for m in messages %}{{ m['content'] + '<|endoftext|>' }}{% endfor %}"
    found = [
        text(code, encoded(code, ASKED, ["red"]).responses[0])
        for code in (encoder(kinds.byte_level, template, stops=s) for s in ([end], []))
    ]
    assert found == ["red<|endoftext|>", "red<|endoftext|><|im_end|>"]


def test_text_after_an_end_of_turn_is_kept():
    code = encoder(kinds.byte_level, kinds.JOINING)
    tokens = encoded(code, ASKED, ["red<|im_end|>fox"])
    assert text(code, tokens.responses[0]).strip() == "red<|im_end|>fox<|im_end|>"


def test_a_response_of_several_turns_ends_with_the_last():
    code = encoder(kinds.byte_level)
    turns = [
        {"role": "assistant", "content": "red"},
        {"role": "user", "content": "sure?"},
        {"role": "assistant", "content": "yes"},
    ]
    ids = encoded(code, ASKED, [turns]).responses[0]
    assert text(code, ids) == (
        "red<|im_end|>\n<|im_start|>user\nsure?<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>"
    )


def test_several_examples_are_encoded_as_one_by_one():
    code = encoder(kinds.llama_style)
    examples = [
        Example(prompt=ASKED, responses=RESPONSES[:k], labels=[0.0] * k, id=str(k)) for k in (2, 1, 3)
    ]
    assert code(examples) == [code([example])[0] for example in examples]
    assert code([]) == []
    assert code.prompt_ids(ASKED) == code(examples)[0].prompt


@pytest.mark.parametrize(
    ("template", "prompt", "message"),
    [
        (kinds.REWRITING, ASKED, "rewrites the prompt once a response follows"),
        (kinds.LLAMA, [{"role": "tool", "content": "42"}], "refuses it: no system turn here"),
        ("{{ messages[0].nothing.deeper }}", ASKED, "the chat template refuses it"),
    ],
)
def test_a_template_that_cannot_serve_is_an_error_with_the_row(template, prompt, message):
    example = Example(prompt=prompt, responses=["red"], labels=[1.0], id="row7")
    with pytest.raises(DataError, match="row row7: the chat template") as error:
        encoder(kinds.llama_style, template)([example])
    assert message in str(error.value)
    assert "set another template" in str(error.value)
