"""What the source says of our own targets is what importing them says."""

import inspect

import pytest

from alignlab.errors import ConfigError
from alignlab.signals import VOCABULARY
from alignlab.signatures import Unread, is_own, misfit_of, read_signature, signal_names
from alignlab.targets import locate
from tests.repository import ROOT

TARGETS = sorted(
    {
        word.strip(" {}\"',")
        for file in (ROOT / "conf").rglob("*.yaml")
        for line in file.read_text(encoding="utf-8").splitlines()
        if "_target_:" in line
        for word in line.partition("_target_:")[2].partition("#")[0].split(",")[:1]
        if is_own(word.strip(" {}\"',"))
    }
)


@pytest.mark.parametrize("target", TARGETS)
def test_the_source_tells_what_an_import_tells(target):
    read, imported = read_signature(target), inspect.signature(locate(target)).parameters
    if read is None:  # a class that a base of another package makes
        assert inspect.isclass(locate(target))
        return
    assert {n: p.kind for n, p in read.parameters.items()} == {n: p.kind for n, p in imported.items()}
    for name, parameter in read.parameters.items():
        if parameter.default is not Unread:
            assert parameter.default == imported[name].default


def test_the_vocabulary_is_read_whole():
    assert set(VOCABULARY) <= set(signal_names())


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("alignlab.nowhere.dpo", "cannot import 'alignlab.nowhere'"),
        ("alignlab.lab.world.example", "did you mean 'examples'?"),
    ],
)
def test_a_target_that_is_not_there_is_told(target, said):
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        read_signature(target, "data.source._target_")


@pytest.mark.parametrize(
    ("annotation", "default", "value", "said"),
    [
        ("int", 1, 1.5, "a whole number"),
        ("float | None", None, None, ""),
        ("Share", 0.1, 2, "a share between 0 and 1"),
        ("Literal['a', 'b']", "a", "c", "valid names: a, b"),
        ("PerPair", 0.1, "x", "a number above 0"),
        ("list[Share]", None, [2], "a list, each a share between 0 and 1"),
        ("list[str] | None", None, ["x"], ""),
        ("Mapping[str, float]", None, {"a": "b"}, "a group of settings"),
        ("Callable[..., Any]", None, 3, ""),
    ],
)
def test_values_are_held_against_annotations(annotation, default, value, said):
    parameter = inspect.Parameter("p", inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
    assert misfit_of(value, parameter).removeprefix("expected ") == said
