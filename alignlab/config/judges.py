"""The judges that a command names: `judge=llm judge.path=...`, or several, `judge=[gold,llm] judge.llm.path=...`."""

from collections.abc import Sequence

from hydra import initialize_config_dir

from alignlab.assembly.judges import build_judge, judge_problems
from alignlab.config import resolvers
from alignlab.config.stage_configs import composed
from alignlab.errors import ConfigError, one_of
from alignlab.judges.judge import Judge
from alignlab.places import CONF, choices
from alignlab.runs.overrides import key_of
from alignlab.settings import Config


def without_judges(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that are about no judge."""
    return [text for text in overrides if not _of_judge(text)]


def judge_nodes(overrides: Sequence[str]) -> dict[str, Config]:
    """Return the nodes of the judges that these overrides choose, by name.

    With one judge its settings are `judge.<key>=`, with several `judge.<name>.<key>=`. Raises ConfigError where none is
    chosen, or a setting belongs to none of them.
    """
    own = [text for text in overrides if _of_judge(text)]
    chosen = next((text for text in own if key_of(text) == "judge"), None)
    if chosen is None:
        raise ConfigError(
            f"judge= is missing: name one, or several as [a,b], of {', '.join(choices('judge'))}"
        )
    names = [name.strip() for name in chosen.partition("=")[2].strip("[]").split(",")]
    settings = [text for text in own if text is not chosen]
    for name in names:
        one_of("judge", name, choices("judge"))
    if len(names) > 1:
        for text in settings:
            if not any(_within(text, name) for name in names):
                raise ConfigError(
                    f"'{text}': {len(names)} judges are chosen: say whose it is, as judge.{names[0]}.<key>="
                )
    return {name: _node(name, settings if len(names) == 1 else _part(settings, name)) for name in names}


def judges_of(overrides: Sequence[str]) -> dict[str, Judge]:
    """Return the judges that these overrides choose, by name, all of them checked before one is built."""
    nodes = judge_nodes(overrides)
    if problems := [problem for node in nodes.values() for problem in judge_problems(node)]:
        raise ConfigError("; ".join(problems))
    return {name: build_judge(node) for name, node in nodes.items()}


def _node(name: str, settings: Sequence[str]) -> Config:
    resolvers.register()
    with initialize_config_dir(str(CONF), version_base=None):
        config = composed("train", [f"judge={name}", *settings, "run_name=judge"])
    node: Config = config["judge"]
    return node


def _of_judge(text: str) -> bool:
    key = key_of(text)
    return key == "judge" or key.startswith(("judge.", "judge@"))


def _within(text: str, name: str) -> bool:
    return key_of(text).startswith((f"judge.{name}.", f"judge@judge.{name}."))


def _part(settings: Sequence[str], name: str) -> list[str]:
    """Return the settings of one judge of several, as they are where it is the only one."""
    return [text.replace(f"judge.{name}.", "judge.", 1) for text in settings if _within(text, name)]
