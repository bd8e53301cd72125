"""What a stage may collect its data with, in tests."""

from alignlab.types import Example

SENTENCES = ("The fox is red.", "The fox eats grass. I hope this helps.")


def same_answers(model, tokenizer, prompts, *, split, seed, words=0):
    """The same two answers to every prompt; nothing is sampled."""
    assert not model.training
    for number, prompt in enumerate(prompts):
        answers = [SENTENCES[0], SENTENCES[1] + " Ask me again." * words]
        yield Example(prompt=prompt, responses=answers, labels=[1.0, 0.0], id=f"{split}-{seed}-{number}")
