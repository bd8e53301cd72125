"""Segments that are drawn anew: the vector, what stays as it was, ends, and what is left out."""

import numpy as np
import pytest
import torch
from torch import nn

from alignlab.online.buffer import Buffer, Kept
from alignlab.online.segments import Segments, place_of, rewritten
from alignlab.online.settings import BufferSpec
from alignlab.online.ways import Drawing, Start
from alignlab.sampling.rollout import Prompt, Rollout
from alignlab.sampling.settings import Sampling
from alignlab.training.callbacks.moving_reference import move
from tests.vectors import more

STOP = 2


class Draws:
    """A generator that gives these segments, whatever it is asked for."""

    version = 3

    def __init__(self, *segments):
        self.segments, self.asked = segments, []

    def draw(self, prompts, n, how, **_):
        self.asked += prompts
        ids = tuple(np.array(segment) for segment in self.segments[:n])
        logps = tuple(np.full(len(segment), -0.5, np.float32) for segment in ids)
        return [Rollout(one.id, np.array(one.ids), ids, logps, (False,) * n, 3, "t") for one in prompts]


def listed(better, *segments, length=3):
    generator = Draws(*segments)
    start = Start(
        Prompt("p", [1, 5]), 7, [{"role": "user", "content": "p"}], (np.array([9]), better), [0, 1], {}
    )
    by = Drawing(
        generator,
        Sampling(max_new_tokens=length),
        len(segments) + 1,
        frozenset({STOP}),
        frozenset(),
        str,
        None,
        0,
    )
    ((one,),) = Segments()([start], by)
    return one, generator


def test_the_vector():
    vector = more()["A9_sapo"]
    given, wanted = vector["inputs"], vector["outputs"]
    better, at, length = np.array(given["y_pos"]), given["truncate_at"], given["N_seg"]
    segment = np.array(given["generated"])
    assert rewritten(better, at, length, segment, {STOP}).tolist() == wanted["y_neg"]
    ended = np.array([segment[0], STOP, segment[1]])
    assert rewritten(better, at, length, ended, {STOP}).tolist() == wanted["y_neg_when_eos"]
    buffer = Buffer(BufferSpec(size=3, choose="count"), 0)
    weights = np.array([buffer.weight(Kept(0, None, count), 5) for count in given["counts"]])
    assert (weights / weights.sum()).tolist() == pytest.approx(wanted["sample_prob"], abs=1e-12)
    policy, mean = nn.Linear(2, 1, bias=False).double(), nn.Linear(2, 1, bias=False).double()
    with torch.no_grad():
        policy.weight.copy_(torch.tensor([given["theta"]])), mean.weight.copy_(torch.tensor([given["ema"]]))
    for after in ("ema_after", "ema_after2_same_theta"):
        move(mean, policy, given["alpha"])
        assert mean.weight[0].tolist() == pytest.approx(wanted[after], abs=1e-12)


def test_what_stands_before_and_behind_a_segment_stays_token_by_token():
    better = np.arange(10, 30)
    one, generator = listed(better, [91, 92, 93], [94, 95, 96])
    first, *others = one.rollout.responses
    place = len(generator.asked[0].ids) - 2
    assert first is better
    assert one.labels == (1.0, 0.0, 0.0)
    assert [len(ids) for ids in others] == [20, 20]
    for ids, segment in zip(others, generator.segments, strict=True):
        assert ids[:place].tolist() == better[:place].tolist()
        assert ids[place : place + 3].tolist() == segment
        assert ids[place + 3 :].tolist() == better[place + 3 :].tolist()
    assert one.rollout.prompt_ids.tolist() == [1, 5]
    assert one.rollout.token_logps[1].tolist() == [-0.5 * (place <= i < place + 3) for i in range(20)]


def test_an_end_drops_what_stands_behind_and_an_unchanged_segment_the_list():
    better = np.array([*range(10, 30), STOP])
    one, generator = listed(better, [91, STOP])
    place = len(generator.asked[0].ids) - 2
    assert one.rollout.responses[1].tolist() == [*better[:place], 91, STOP]
    assert one.rollout.finished == (True, True)
    same, _ = listed(better, better[place : place + 3].tolist())
    assert (same.dropped, same.kept) == ("the segment came out as it was", ())


def test_places_leave_the_rest_behind_and_short_responses_begin_anew():
    places = {place_of(20, 8, 3, (0, key)) for key in range(200)}
    assert (min(places), max(places), len(places)) == (0, 9, 10)
    assert place_of(10, 8, 3, (0, 1)) == 0
