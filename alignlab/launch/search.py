"""The search space of a study, read from overrides: fixed settings, distributions, and seeds as repeats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override

from alignlab.config.typed import parsed
from alignlab.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class Search:
    """The search of a study: `fixed` overrides of every job, the `space` by key, and the `seeds` of each trial."""

    fixed: Sequence[str]
    space: Mapping[str, "BaseDistribution"]
    seeds: Sequence[str]

    def overrides(self, values: Mapping[str, Any], seed: str) -> list[str]:
        """Return the overrides of one run, with numbers to the last digit."""
        return [*self.fixed, *(f"{key}={values[key]}" for key in self.space), f"seed={seed}"]


def parse_search(overrides: Sequence[str], seed: int) -> Search:
    """Read a search space; of two overrides of one key the later one holds, so that a command line narrows a file.

    `seed` is that of the run, where the overrides name none. Raises ConfigError where there is nothing to search.
    """
    by_key = {override.get_key_element(): override for override in parsed(overrides)}
    seeds = [str(seed)]
    if (repeats := by_key.pop("seed", None)) is not None:
        seeds = _values(repeats) if repeats.is_discrete_sweep() else [repeats.get_value_element_as_str()]
    space = {key: _distribution(override) for key, override in by_key.items() if override.is_sweep_override()}
    if not space:
        raise ConfigError(
            "hydra/sweeper=optuna has nothing to search: "
            "'objective.loss.beta=tag(log, interval(0.01, 0.5))', or objective=dpo,ipo"
        )
    fixed = [
        f"{key}={override.get_value_element_as_str()}" for key, override in by_key.items() if key not in space
    ]
    return Search(fixed, space, seeds)


def _distribution(override: Override) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep = override.value()
    if not isinstance(sweep, IntervalSweep):
        return CategoricalDistribution(_values(override))
    low, high, log = sweep.start, sweep.end, "log" in sweep.tags
    if low is None or high is None or not low < high or (log and low <= 0):
        raise ConfigError(
            f"{override.input_line}: expected interval(low, high) with low < high, above 0 for tag(log)"
        )
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _values(override: Override) -> list[str]:
    return [str(value) for value in override.sweep_string_iterator()]
