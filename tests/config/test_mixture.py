"""Mixtures: parts are sources with settings of their own, and errors say which part."""

import json

import pytest

from alignlab.assembly.build import build_data
from alignlab.data.load import load_examples
from alignlab.errors import ConfigError
from tests.config.compose import composed, problem


def write(folder, name, count):
    file = folder / f"{name}.jsonl"
    rows = [
        {"prompt": f"{name} {i}", "responses": ["a", "b"], "labels": [1, 0], "rewards": [3, 1]}
        for i in range(count)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def mixture(parts, *more):
    return composed("data=mixture", f"data.parts={parts}", "model=local", "model.path=/nowhere", *more)


def problems(parts, *more):
    try:
        return problem(mixture(parts, *more))
    except ConfigError as error:
        return str(error)


def test_parts_are_read_each_in_its_way(tmp_path):
    one, two = write(tmp_path, "one", 40), write(tmp_path, "two", 60)
    config = mixture(f"{{a:{{data:local,path:{one},weight:3}},b:{{data:local,path:{two}}}}}")
    spec = build_data(config)
    examples = load_examples(spec, tmp_path / "cache")
    rows = [*examples.train, *examples.validation]
    assert {row.meta["part"] for row in rows} == {"a", "b"}
    assert all(row.id.startswith(f"{row.meta['part']}/") for row in rows)
    assert len({row.id for row in rows}) == len(rows) == 100
    assert list(examples.token_steps) == ["mix"]
    assert spec.mix.keywords["weights"] == {"a": 3.0, "b": 1.0}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("{hh_rlff:{weight:1}}", r"data.parts.hh_rlff: no data source 'hh_rlff': did you mean 'hh_rlhf'"),
        ("{hh_rlhf:{weight:0}}", r"data.parts.hh_rlhf.weight=0: expected a number above 0"),
        ("{hh_rlhf:3}", r"data.parts=.*: expected sources with their settings"),
        ("[hh_rlhf]", r"data.parts=.*: expected sources with their settings"),
        ("{hh_rlhf:{scale:[2,1]}}", r"data.parts.hh_rlhf.scale=\[2, 1\]: expected \[low,high\]"),
        ("{hh_rlhf:{wait:1}}", r"data.parts.hh_rlhf: .*wait"),
        ("{hh_rlhf:{path:/nowhere}}", r"data.parts.hh_rlhf.path=/nowhere: no such file or folder"),
    ],
)
def test_errors_name_the_part(parts, message):
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(problems(parts))
