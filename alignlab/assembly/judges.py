"""Judges from the nodes of a config, those inside of others too: checked by their signatures, then built."""

from collections.abc import Iterator, Mapping
from typing import Any

from alignlab.assembly.nodes import by_import, from_source, misused
from alignlab.errors import AlignlabError, ConfigError
from alignlab.judges.judge import Judge
from alignlab.judges.several import INSIDE
from alignlab.settings import Config
from alignlab.targets import locate


def judge_problems(node: Config, path: str = "judge") -> Iterator[str]:
    """Yield a message for each mistake in the node of a judge, and in those inside of it."""
    if "_target_" not in node:
        yield f"{path} has no _target_"
        return
    try:
        target = str(node["_target_"])
        signature = from_source(target, f"{path}._target_") or by_import(target, f"{path}._target_")
    except AlignlabError as error:
        yield str(error)
        return
    if signature is not None:
        yield from misused(path, node, signature)
    for key in INSIDE:
        inside = node.get(key)
        several = inside if isinstance(inside, Mapping) and "_target_" not in inside else {"": inside}
        for name, one in several.items():
            if isinstance(one, Mapping):
                yield from judge_problems(one, f"{path}.{key}.{name}".rstrip("."))


def all_judge_problems(node: Config, path: str = "judge") -> list[str]:
    """Return a message for each mistake in the node of a judge, or what its class says of its settings (`problems`)."""
    if mistakes := [*judge_problems(node, path)]:
        return mistakes
    problems = getattr(locate(node["_target_"], f"{path}._target_"), "problems", None)
    return [] if problems is None else [*problems(_settings(node))]


def build_judge(node: Config, path: str = "judge") -> Judge:
    """Build a judge; raises ConfigError for all that is wrong with its node, before a model is loaded."""
    if problems := all_judge_problems(node, path):
        raise ConfigError("; ".join(problems))
    built: Judge = locate(node["_target_"], f"{path}._target_")(**_settings(node))
    return built


def _settings(node: Config) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key != "_target_"}
