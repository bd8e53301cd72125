"""Text to tokens: the response comes back from its tokens, with one BOS before and one end of turn after."""

import copy

import pytest

from alignlab.data.tokenize import Encoder
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
    if code.tokenizer.chat_template == kinds.LLAMA:  # which refuses system turns
        prompt = [turn for turn in prompt if turn["role"] != "system"]
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


@needs_data
def test_stories_pieces_with_a_leading_space():
    code = encoder(kinds.stories)
    tokens = encoded(code, ASKED, ["Once upon a time"])
    assert code.tokenizer.convert_ids_to_tokens(tokens.responses[0])[0].startswith("▁")
    assert text(code, tokens.responses[0]).startswith("Once upon a time")


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
        (kinds.LLAMA, PROMPTS["system turn"], "refuses it: no system turn here"),
        ("{{ messages[0].nothing.deeper }}", ASKED, "the chat template refuses it"),
    ],
)
def test_a_template_that_cannot_serve_is_an_error_with_the_row(template, prompt, message):
    example = Example(prompt=prompt, responses=["red"], labels=[1.0], id="row7")
    with pytest.raises(DataError, match="row row7: the chat template") as error:
        encoder(kinds.llama_style, template)([example])
    assert message in str(error.value)
    assert "set another template" in str(error.value)
