"""Tokenizers of several kinds, and chat templates of several habits."""

from functools import cache

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, ByT5Tokenizer, PreTrainedTokenizerFast

from alignlab.data.encoding.named_templates import named_template
from alignlab.lab import vocabulary
from tests.data.shared import STORIES

TEXTS = ["Tell me about the fox. It eats mice!", "User: Assistant: system", "Üñí 漢字 🙂 42\n"]

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + eos_token + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + eos_token }}{% else %}"
    "{{ raise_exception('no system turn here') }}{% endif %}{% endfor %}"
)
DEAF = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ 'Q: ' + m['content'] + '\\nA:' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
TRIMMING = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] | trim + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
JOINING = "{% for m in messages %}{{ ('' if loop.first else ' ') + m['content'] }}{% endfor %}"
TWO_ENDS = CHATML + "{% if not add_generation_prompt %}{{ eos_token }}{% endif %}"
REWRITING = "{{ messages | length }} turns:" + JOINING


@cache
def byte_level() -> PreTrainedTokenizerFast:
    """As of GPT-2 and Qwen: bytes, no BOS; ChatML with `<|im_end|>` for EOS."""
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bare.train_from_iterator(TEXTS * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bare, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHATML
    )


@cache
def llama_style() -> PreTrainedTokenizerFast:
    """As of Llama 2: SentencePiece-like with byte fallback, and a BOS that the tokenizer itself puts first."""
    bare = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    bare.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    bare.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))],
        show_progress=False,
    )
    bare.train_from_iterator(TEXTS, trainer)
    bare.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", bare.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bare, bos_token="<s>", eos_token="</s>", unk_token="<unk>", chat_template=LLAMA
    )


@cache
def whole_words() -> PreTrainedTokenizerFast:
    """A token a word, its own special tokens among them."""
    bare = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "a": 2, "b": 3}, unk_token="<unk>"))
    bare.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=bare, unk_token="<unk>", eos_token="</s>", chat_template=JOINING
    )


@cache
def slow() -> ByT5Tokenizer:
    """Written in Python: bytes, without a backend of its own."""
    tokenizer = ByT5Tokenizer(extra_ids=0)
    tokenizer.chat_template = CHATML
    return tokenizer


@cache
def lab():
    return vocabulary.build()


@cache
def stories():
    return AutoTokenizer.from_pretrained(STORIES)


TEMPLATES = {"chatml": CHATML, "trimming": TRIMMING, "joining": JOINING, "plain": named_template("plain")}
