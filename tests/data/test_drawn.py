"""What a sampler told of its responses travels with the rows to the batch, and follows every change of them."""

from dataclasses import replace

import pytest
import torch

from alignlab.data.batching.batches import collate
from alignlab.data.encoding.drawn import with_drawn
from alignlab.data.tables.lists import take, with_copies
from alignlab.errors import DataError
from alignlab.signals import DRAWN
from alignlab.training.module import data_signals
from alignlab.training.rows import content_of
from tests.data.test_token_ids import loaded, prepared

ROW = {
    "prompt_ids": [0, 1],
    "responses": [[4], [2, 3, 4]],
    "rewards": [0.1, 0.5],
    "finished": [True, False],
    "token_behavior_logps": [[-0.1], [-0.2, -0.3, -0.4]],
}


def drawn(folder, row, names=("finished", "token_behavior_logps", "logps"), limit=64):
    return with_drawn(prepared(folder, loaded(folder, [row]).train, limit)[0], names)


def test_values_stand_beside_their_responses_and_tokens(tmp_path):
    rows = drawn(tmp_path, ROW, ("finished", "token_behavior_logps", "behavior_logps"), limit=4)
    signals = data_signals(collate(rows, [0]), torch.float64)
    assert signals["rewards"].tolist() == [[0.1, 0.5]]
    assert signals["labels"].tolist() == [[0.0, 1.0]]
    assert signals["finished"].tolist() == [[1.0, 0.0]]
    assert signals["token_behavior_logps"].tolist() == [
        [[-0.1, 0.0], [-0.2, -0.3]]
    ]  # the third token was cut
    assert signals["behavior_logps"].tolist() == [[-0.1, -0.5]]


def test_rows_in_another_order_keep_their_values(tmp_path):
    other = ROW | {"prompt_ids": [7], "token_behavior_logps": [[-1.0], [-2.0, -3.0, -4.0]]}
    examples = loaded(tmp_path, [ROW, other]).train
    rows = with_drawn(prepared(tmp_path, examples)[0], ("token_behavior_logps",))
    turned = collate(rows.take([1, 0]), [0, 1])
    assert turned.drawn["token_behavior_logps"][:, 1].tolist() == [[-2.0, -3.0, -4.0], [-0.2, -0.3, -0.4]]
    assert content_of(rows) != content_of(replace(rows, drawn={}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"finished": None}, "carries no finished"),
        ({"finished": [True]}, "finished has to be a list of 2"),
        ({"finished": [True, None]}, r"finished\[1\] has to hold finite numbers"),
        (
            {"token_behavior_logps": [[-0.1], [-0.2, -0.3]]},
            r"token_behavior_logps\[1\] has to be a list of 3",
        ),
        ({"token_behavior_logps": [-0.1, -0.2]}, r"token_behavior_logps\[0\] has to be a list of 1"),
    ],
)
def test_values_that_do_not_fit_are_refused(tmp_path, change, message):
    with pytest.raises(DataError, match="row rows.jsonl:1: .*" + message):
        drawn(tmp_path, ROW | change)


def test_responses_take_along_what_their_sampler_told_and_copies_have_none(tmp_path):
    example = loaded(tmp_path, [ROW]).train[0]
    assert take(example, [1]).meta == {"finished": [False], "token_behavior_logps": [[-0.2, -0.3, -0.4]]}
    copied = with_copies(example, [0], 1, [example.responses[1]], [0.0])
    assert not DRAWN & {*copied.meta}
