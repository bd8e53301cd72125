"""The tokenizer of the tiny model: one token for each word of the lab's world."""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from alignlab.lab.grammar import sentences

SPECIAL = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""The chat template: a turn is its role's token and its text; the assistant's ends with the end-of-sequence token."""


def build(more: str = "") -> PreTrainedTokenizerFast:
    """Build the tokenizer, which decodes the tokens of a text of the world to that text, to the letter.

    Words of `more` that the world does not have come last, so that those of the world keep their ids.
    """
    words = Tokenizer(models.WordLevel({}, unk_token=SPECIAL["unk_token"]))
    words.normalizer = normalizers.Sequence([normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()])
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="always"), pre_tokenizers.Punctuation()]
    )
    words.decoder = decoders.Metaspace(prepend_scheme="always")

    def pieces(texts: Iterable[str]) -> set[str]:
        return {piece for text in texts for piece, _ in words.pre_tokenizer.pre_tokenize_str(text)}

    world_words = pieces(sentences())
    vocabulary = [
        *SPECIAL.values(),
        *ROLES,
        *sorted(world_words),
        *sorted(pieces([" ".join(more.split())]) - world_words),
    ]
    words.model = models.WordLevel(
        {word: i for i, word in enumerate(vocabulary)}, unk_token=SPECIAL["unk_token"]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=words,
        additional_special_tokens=list(ROLES),
        chat_template=CHAT_TEMPLATE,
        **SPECIAL,
    )
