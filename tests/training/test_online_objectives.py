"""Every objective, regularizer and modifier takes optimizer steps on lists that the policy drew."""

from dataclasses import replace

import pytest
import torch

from alignlab.data.batching.batches import StepLoader
from alignlab.judges.gold import Gold
from alignlab.objective.load import load_objective
from alignlab.online.labels import Labelling
from alignlab.online.pairs import whole
from alignlab.online.rows import rows_of, with_samples
from alignlab.online.source import Source
from alignlab.places import choices
from alignlab.policies.actor_critic import ActorCritic
from alignlab.sampling.in_process import InProcess
from alignlab.sampling.settings import Sampling
from alignlab.signals import BASE, DRAWN, trailing_sizes
from alignlab.training.module import PreferenceModule
from alignlab.training.opened import open_rows
from alignlab.training.rows import extras_for
from tests.training.small import small_policy, small_stage

HEADS = {"values", "preferences", "attribute_values", "class_logits", "embeddings"}
"""Signals of policies that draw no text."""


def under(name):
    """The objective that a regularizer or a modifier goes with."""
    return "grpo" if name == "truncated_is" else "dpo"


def drawable(objective):
    """Whether the objective trains a language model, on what drawn lists have."""
    rationale = any(BASE[name].rows == "rationale" for name in objective.signals)
    return not (HEADS & objective.signals or rationale)


OBJECTIVES = [name for name in choices("objective") if drawable(load_objective(name))]
TERMS = [
    (group, name)
    for group in ("regularizers", "modifiers")
    for name in choices(group)
    if drawable(load_objective(under(name), **{group: [name]}))
]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Three lists of four responses of the small model, as rows; and its opened stage."""
    opened = open_rows(small_stage(tmp_path_factory.mktemp("rows")))
    prompts = StepLoader(opened.splits.train, lists_per_step=1, microbatch_tokens=4096)
    sampler = InProcess(opened.model, sorted(opened.encoder.stops))

    def lists(unit):
        labelling = Labelling("logistic" if unit else "raw", whole, "whole")
        source = Source(
            prompts,
            sampler,
            Gold(),
            labelling,
            lambda ids: opened.tokenizer.decode(ids, skip_special_tokens=True),
            how=Sampling(max_new_tokens=8),
            samples=4,
            refills=1,
        )
        lists = source.draw(source.head(0, 0, 3)).trained
        zeros = {"token_behavior_values": lambda one: tuple(0 * values for values in one.rollout.token_logps)}
        lists = [replace(one, told={name: of(one) for name, of in zeros.items()}) for one in lists]
        return with_samples(rows_of(lists, prompts.rows, DRAWN), [one.by_policy for one in lists])

    return opened, {unit: lists(unit) for unit in (False, True)}


def steps(objective, drawn):
    """The losses of two optimizer steps on the drawn lists, the first of a policy that is its reference."""
    opened, rows = drawn
    policy, reference = small_policy(), small_policy().requires_grad_(False)
    if "token_values" in objective.signals:
        policy = ActorCritic(policy.model)
    objective.bind(trailing_sizes(policy.sizes))
    loader = StepLoader(
        rows[objective.labels == "unit"],
        lists_per_step=3,
        microbatch_tokens=4096,
        packed=policy.packed,
        extras=extras_for(objective, opened.stage.data, opened.tokenizer, policy.model),
    )
    (batch,) = next(iter(loader))
    module = PreferenceModule(
        policy, objective, lambda _: None, steps=2, references=(reference, (reference,))
    )
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    losses = []
    for _ in range(2):
        signals = module.signals(batch)
        if not losses and "ref_logps" in signals:
            assert torch.equal(signals["logps"], signals["ref_logps"])
        (gathered,) = module._statistics([batch], [signals]) if objective.gathers else [None]
        loss = objective(**signals, gathered=gathered).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(map(torch.isfinite, map(torch.tensor, losses)))
    return losses


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_steps_on_drawn_lists(name, drawn):
    first, second = steps(load_objective(name), drawn)
    assert first != second or first == 0  # of a hinge


@pytest.mark.parametrize(("group", "name"), TERMS)
def test_every_term_steps_on_drawn_lists(group, name, drawn):
    first, second = steps(load_objective(under(name), **{group: [name]}), drawn)
    assert first != second
