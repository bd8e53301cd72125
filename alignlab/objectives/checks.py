"""Checks of hyper-parameters that are names."""

from collections.abc import Iterable

from alignlab.errors import ConfigError, nearest


def one_of(key: str, value: str, valid: Iterable[str]) -> str:
    """`value`, if it is one of the valid names; ConfigError with the nearest one otherwise."""
    if value not in (options := tuple(valid)):
        raise ConfigError(f"{key}={value}: {nearest(value, options)}")
    return value
