"""The tiny model: its tokenizer, its cache, and that it learns the world."""

import pytest
import torch

from alignlab.lab import tiny, vocabulary, world, writers
from alignlab.lab.grammar import sentences
from alignlab.lab.reward import reward
from tests.config.compose import composed, problem

SHORT = {"steps": 3, "batch_size": 4, "hidden_size": 16, "layers": 1, "heads": 2}


@pytest.fixture(scope="module")
def tokenizer():
    return vocabulary.build()


def test_texts_come_back_from_their_tokens(tokenizer):
    for text in (" ".join(pair) for pair in writers.corpus(200)):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text


def test_every_sentence_is_in_the_vocabulary(tokenizer):
    ids = tokenizer(list(sentences()), add_special_tokens=False)["input_ids"]
    assert not any(tokenizer.unk_token_id in row for row in ids)


def test_a_token_is_a_word_or_a_mark(tokenizer):
    assert len(tokenizer("It eats mice.")["input_ids"]) == 4


def test_unknown_words_and_odd_spaces(tokenizer):
    ids = tokenizer(" The zebra\n eats  mice. ")["input_ids"]
    assert tokenizer.decode(ids) == "The<unk> eats mice."
    assert ids.count(tokenizer.unk_token_id) == 1


def test_special_tokens_are_distinct(tokenizer):
    special = {tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id}
    assert len(special) == 4
    assert None not in special


def test_chat_template(tokenizer):
    turns = [
        {"role": "system", "content": "Well."},
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "It is red."},
    ]
    full = tokenizer.apply_chat_template(turns, tokenize=False)
    asked = tokenizer.apply_chat_template(turns[:2], tokenize=False, add_generation_prompt=True)
    assert asked == "<s><|system|>Well.<|user|>Hello.<|assistant|>"
    assert full == asked + "It is red.</s>"
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (asked, full)]
    rest = tokenizer("It is red.</s>", add_special_tokens=False)["input_ids"]
    assert ids[1] == ids[0] + rest
    assert rest[-1] == tokenizer.eos_token_id


def test_load_is_deterministic_and_leaves_the_random_state_alone(tmp_path):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, _ = tiny.load(cache_dir=str(tmp_path / "a"), **SHORT)
    torch.manual_seed(5)
    assert torch.equal(torch.random.get_rng_state(), before)
    second, _ = tiny.load(cache_dir=str(tmp_path / "b"), **SHORT)
    assert torch.equal(torch.random.get_rng_state(), before)
    other, _ = tiny.load(cache_dir=str(tmp_path / "a"), seed=1, **SHORT)
    assert _same(first, second)
    assert not _same(first, other)


def test_the_second_load_trains_nothing(tmp_path, monkeypatch):
    first, _ = tiny.load(cache_dir=str(tmp_path), **SHORT)
    monkeypatch.setattr(tiny, "pretrain", None)
    second, tokenizer = tiny.load(cache_dir=str(tmp_path), **SHORT)
    assert _same(first, second)
    assert not second.training
    assert second.dtype == torch.float32
    assert second.config._attn_implementation == "sdpa"
    assert tokenizer.decode(tokenizer("The fox eats mice.")["input_ids"]) == "The fox eats mice."
    assert tokenizer.get_vocab() == vocabulary.build().get_vocab()


def test_every_argument_makes_its_own_model(tmp_path):
    for change in ({}, {"seed": 1}, {"steps": 4}, {"batch_size": 5}, {"learning_rate": 1e-4}, {"heads": 1}):
        tiny.load(cache_dir=str(tmp_path), **(SHORT | change))
    assert len([path for path in (tmp_path / "models").iterdir() if path.is_dir()]) == 6


def test_writers_of_other_skill_make_another_model(tmp_path):
    first, _ = tiny.load(cache_dir=str(tmp_path), **SHORT)
    other, _ = tiny.load(cache_dir=str(tmp_path), **SHORT, skill=[0.9, 1.0])
    assert not _same(first, other)
    assert "model.loader.skill=[1.0, 0.5]: expected" in problem(composed("model.loader.skill=[1.0,0.5]"))


def test_more_words_leave_what_was_learned_as_it_is(tmp_path):
    plain, before = tiny.load(cache_dir=str(tmp_path), **SHORT)
    more, after = tiny.load(cache_dir=str(tmp_path), **SHORT, words="Overall score: 1 2\n10 the fox.")
    assert after.decode(after("Overall score: 10")["input_ids"]) == "Overall score: 10"
    assert len(set(after("1 2 10")["input_ids"])) == 3
    assert before.unk_token_id in before("Overall score")["input_ids"]
    known = len(before)
    assert after("The fox is red.")["input_ids"] == before("The fox is red.")["input_ids"]
    assert more.config.vocab_size == len(after) == known + 6
    ids = torch.tensor([before("The fox is red.")["input_ids"]])
    with torch.no_grad():
        logits = more(ids).logits
        torch.testing.assert_close(
            logits[..., :known], plain(ids).logits, rtol=0, atol=1e-6
        )  # another kernel
        assert torch.equal(logits[..., known:], logits[..., [before.pad_token_id]].expand(-1, -1, 6))


def test_a_damaged_folder_is_built_again(tmp_path):
    first, _ = tiny.load(cache_dir=str(tmp_path), **SHORT)
    (weights,) = (tmp_path / "models").rglob("model.safetensors")
    flipped = bytearray(weights.read_bytes())
    flipped[-1] ^= 1
    weights.unlink()  # which the first model may still map
    weights.write_bytes(flipped)
    second, _ = tiny.load(cache_dir=str(tmp_path), **SHORT)
    assert _same(first, second)


def test_a_killed_training_leaves_nothing_that_is_taken_for_a_model(tmp_path, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(vocabulary.PreTrainedTokenizerFast, "save_pretrained", killed)
        with pytest.raises(KeyboardInterrupt):
            tiny.load(cache_dir=str(tmp_path), **SHORT)
    (partial,) = (path for path in (tmp_path / "models").iterdir() if path.is_dir())
    assert partial.name.endswith(".partial")
    tiny.load(cache_dir=str(tmp_path), **SHORT)
    (folder,) = (path for path in (tmp_path / "models").iterdir() if path.is_dir())
    assert folder.name == partial.name.removesuffix(".partial")


def test_targets_are_the_responses_alone(tokenizer):
    ((tokens, targets),) = tiny._batches(tokenizer, seed=0, steps=1, batch_size=8)
    for (_, response), row, target in zip(writers.corpus(8, 0), tokens, targets, strict=True):
        learned = target != tiny.IGNORE
        assert torch.equal(row[learned], target[learned])
        assert tokenizer.decode(target[learned]) == response + "</s>"


@pytest.mark.slow
def test_the_tiny_model_writes_like_its_corpus(tmp_path):
    model, tokenizer = tiny.load(cache_dir=str(tmp_path))
    assert 100_000 <= model.num_parameters() <= 400_000
    rows = list(world.examples(split="validation", size=256, responses=2))
    asked = [
        tokenizer.apply_chat_template(r.prompt, tokenize=False, add_generation_prompt=True) for r in rows
    ]
    tokenizer.padding_side = "left"
    inputs = tokenizer(asked, padding=True, return_tensors="pt", add_special_tokens=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = model.generate(
            inputs["input_ids"], attention_mask=inputs["attention_mask"], max_new_tokens=64
        )[:, inputs["input_ids"].shape[1] :]
    texts = tokenizer.batch_decode(drawn, skip_special_tokens=True)
    assert (drawn == tokenizer.eos_token_id).any(1).float().mean() > 0.97
    known = set(sentences())
    said = [f"{part.rstrip('.')}." for text in texts for part in text.split(". ")]
    assert sum(sentence in known for sentence in said) / len(said) > 0.93
    middling = [reward(*pair) for pair in writers.corpus(2000)]
    drawn_rewards = [reward(row.prompt[0]["content"], text) for row, text in zip(rows, texts, strict=True)]
    mean = sum(middling) / len(middling)
    assert abs(sum(drawn_rewards) / len(drawn_rewards) - mean) < 0.6


def _same(first, second):
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)
