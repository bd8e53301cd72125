"""The parts of `data=mixture`, each of which is the composed config of a data source with settings of its own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alignlab.assembly.schema import with_texts
from alignlab.errors import ConfigError, nearest
from alignlab.places import CONF
from alignlab.settings import Config, PositiveNumber, Seed, misfit, typed

OWN = ("weight", "data")
"""The settings of a part that are not settings of its source."""


def with_parts(config: Config) -> dict[str, Any]:
    """Return the config with each part of a mixture replaced by the whole data node of its source.

    A part is named after its source, unless its setting `data` names that; its weight is 1 where none is given.
    Raises ConfigError on an unknown source or setting, or a weight that is none.
    """
    data = config.get("data")
    parts = data.get("parts") if isinstance(data, Mapping) else None
    if not parts:
        return dict(config)
    if not isinstance(parts, Mapping) or not all(isinstance(p, Mapping | None) for p in parts.values()):
        raise ConfigError(
            f"data.parts={parts}: expected sources with their settings, {{hh_rlhf:{{weight:2}},shp:{{}}}}"
        )
    whole = {name: _part(config, name, settings or {}) for name, settings in parts.items()}
    return {**config, "data": {**config["data"], "parts": whole}}


def _part(config: Config, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    path, source = f"data.parts.{name}", settings.get("data", name)
    weight = settings.get("weight", 1)
    if message := misfit(weight, PositiveNumber):
        raise ConfigError(f"{path}.weight={typed(weight)}: {message}")
    with _composing() as known:
        if source not in known:
            raise ConfigError(f"{path}: no data source '{source}': {nearest(source, known)}")
        seed = 0 if misfit(config.get("seed"), Seed) else config["seed"]  # a wrong one is told by the check
        node = compose("train", overrides=[f"data={source}", f"seed={seed}"]).data
    own = {key: value for key, value in settings.items() if key not in OWN}
    try:
        merged = OmegaConf.merge(
            node, OmegaConf.create({"processes": config["data"].get("processes"), **own})
        )
        part: dict[str, Any] = OmegaConf.to_container(merged, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path}: {str(error).partition(chr(10))[0]}") from error
    return {**with_texts({"data": part})["data"], "name": name, "weight": float(weight)}


@contextmanager
def _composing() -> Iterator[set[str]]:
    """Give the names of data sources, in a context where configs compose: the running command's, or our own."""
    hydra = GlobalHydra.instance()
    ready = nullcontext() if hydra.is_initialized() else initialize_config_dir(str(CONF), version_base=None)
    with ready:
        yield set(hydra.config_loader().get_group_options("data")) - {"knobs", "mixture"}
