"""Signatures of what a config names: our own are read from the source, so that checking imports nothing heavy."""

import ast
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from inspect import Parameter
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from alignlab import settings
from alignlab.errors import ConfigError, nearest
from alignlab.places import PACKAGE
from alignlab.settings import marks_of, misfit, options_of
from alignlab.targets import locate

POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
OWN = f"{PACKAGE.name}."
PLAIN: dict[str, Any] = {
    **{kind.__name__: kind for kind in (int, float, bool, str, list)},
    **{name: value for name, value in vars(settings).items() if not name.startswith("_")},
    "PerPair": settings.PositiveNumber,
}
"""Names that an annotation is read by: those of plain types, and all of `alignlab.settings`."""
TYPES = (int, float, bool, str, NoneType, Any)


class Unread:
    """Stands for a default that is no literal, where a signature was read from source."""


@dataclass(frozen=True)
class Read:
    """What is known of a target: its parameters, and the methods of a class that losses are read by."""

    parameters: dict[str, Parameter]
    returns: Any = None
    methods: dict[str, "Read"] = field(default_factory=dict)
    """Of a class: its other methods, without `self`."""
    is_class: bool = False

    @property
    def positional(self) -> list[str]:
        """Names of the parameters that are given by place."""
        return [name for name, p in self.parameters.items() if p.kind in POSITIONAL]

    @property
    def open_ended(self) -> bool:
        """Whether it takes any keyword."""
        return any(p.kind is Parameter.VAR_KEYWORD for p in self.parameters.values())


def is_own(target: str) -> bool:
    """Whether a dotted path leads into this package, whose source can be read."""
    return target.startswith(OWN)


@cache
def read_signature(target: str, path: str = "_target_") -> Read | None:
    """The signature of one of our own functions or classes, from its source.

    None where the source alone does not tell it, as of a `partial`. Raises ConfigError, which names the config key
    `path`, where there is no such module or name.
    """
    module, _, name = target.rpartition(".")
    file = _file_of(module)
    if file is None:
        raise ConfigError(f"{path}: cannot import '{module}': there is no such module")
    names = _names(file)
    if name not in names:
        public = [known for known in names if not known.startswith("_")]
        raise ConfigError(f"{path}: '{module}' has no '{name}': {nearest(name, public)}")
    node = names[name]
    if isinstance(node, ast.ImportFrom):
        return read_signature(f"{node.module}.{name}", path) if is_own(f"{node.module}.") else None
    if isinstance(node, ast.FunctionDef):
        return _read_function(node, bound=False)
    return _read_class(node, file) if isinstance(node, ast.ClassDef) else None


def imported_signature(target: str, path: str = "_target_") -> Read:
    """The signature of a function or class of any package, which is imported for it."""
    found = locate(target, path)
    if not callable(found):
        raise ConfigError(f"{path}: '{target}' is no function or class")
    try:
        signature = inspect.signature(found)
    except ValueError:  # of a builtin that does not tell
        signature = inspect.signature(lambda **_: None)
    return Read(dict(signature.parameters), signature.return_annotation, is_class=inspect.isclass(found))


def misfit_of(value: Any, parameter: Parameter) -> str:
    """What a parameter expects where a value has another type than its annotation, or is out of its range; else empty.

    A number or truth value as the default stands for an annotation where there is none that yaml could hold.
    """
    hint, default = hint_of(parameter), parameter.default
    as_before = type(value) is type(default) and value == default
    return "" if hint is Any or as_before else misfit(value, hint)


def hint_of(parameter: Parameter) -> Any:
    """The type that a value from yaml must have for a parameter, with its range; Any where that is open."""
    hint = plain(parameter.annotation)
    if hint is Any and isinstance(parameter.default, (bool, int, float)):
        return bool if isinstance(parameter.default, bool) else float
    return hint


def plain(annotation: Any) -> Any:
    """A type whose values yaml can hold, from an annotation or its text; Any for all others.

    >>> plain("Share | None") == plain(settings.Share | None), plain("Callable[..., Any]")
    (True, typing.Any)
    """
    annotation = _evaluated(annotation) if isinstance(annotation, str) else annotation
    options = [NoneType if option is None else option for option in options_of(annotation)]
    known = [option for option in options if _is_plain(option)]
    if (
        known == [float] and len(options) > 1 and (ranges := marks_of(annotation))
    ):  # PerPair, whose other form is a tensor
        return Annotated[float, *ranges]
    return annotation if known == options and options != [NoneType] else Any


@cache
def _evaluated(annotation: str) -> Any:
    """The type that a text names; Any where it is none of those that settings have."""
    try:
        return eval(annotation, {"__builtins__": {}}, PLAIN)
    except (NameError, TypeError, SyntaxError, AttributeError):
        return Any


def _is_plain(option: Any) -> bool:
    origin, inside = get_origin(option), get_args(option)
    if origin in (list, Sequence, Mapping):
        return all(_is_plain(kind) for element in inside for kind in options_of(element))
    return option in TYPES or origin is Literal


def _file_of(module: str) -> Path | None:
    place = PACKAGE.parent.joinpath(*module.split("."))
    files = (place.with_suffix(".py"), place / "__init__.py")
    return next((file for file in files if file.is_file()), None)


@cache
def _names(file: Path) -> dict[str, ast.stmt]:
    """What a module defines or imports at its top level, by name."""
    names: dict[str, ast.stmt] = {}
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names[node.name] = node
        elif isinstance(node, ast.ImportFrom):
            names.update(dict.fromkeys((alias.asname or alias.name for alias in node.names), node))
        elif isinstance(node, ast.Assign):
            names.update(dict.fromkeys((t.id for t in node.targets if isinstance(t, ast.Name)), node))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names[node.target.id] = node
    return names


def _read_function(node: ast.FunctionDef, *, bound: bool) -> Read:
    """The signature of a function; of a method without `self`."""
    arguments = node.args
    places = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(places) - len(arguments.defaults)) + list(arguments.defaults)
    parameters = [_parameter(a, d, POSITIONAL[1]) for a, d in zip(places, defaults, strict=True)][bound:]
    parameters += [
        _parameter(a, d, Parameter.KEYWORD_ONLY)
        for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if arguments.kwarg:
        parameters.append(Parameter(arguments.kwarg.arg, Parameter.VAR_KEYWORD))
    returns = ast.unparse(node.returns) if node.returns else None
    return Read({p.name: p for p in parameters}, returns)


def _parameter(argument: ast.arg, default: ast.expr | None, kind: Any) -> Parameter:
    annotation = ast.unparse(argument.annotation) if argument.annotation else Parameter.empty
    return Parameter(argument.arg, kind, default=_literal(default), annotation=annotation)


def _literal(default: ast.expr | None) -> Any:
    if default is None:
        return Parameter.empty
    try:
        return ast.literal_eval(default)
    except ValueError:
        return Unread


def _read_class(node: ast.ClassDef, file: Path) -> Read | None:
    """What makes an instance, and its methods, inherited ones included; None where something else makes it."""
    methods, all_read = _methods(node, file)
    signatures = {name: _read_function(method, bound=True) for name, method in methods.items()}
    if "__init__" in signatures:
        return Read(signatures["__init__"].parameters, methods=signatures, is_class=True)
    return Read({}, methods=signatures, is_class=True) if all_read and not node.decorator_list else None


def _methods(node: ast.ClassDef, file: Path) -> tuple[dict[str, ast.FunctionDef], bool]:
    """Methods by name, the nearest first, and whether the source of every base could be read."""
    methods: dict[str, ast.FunctionDef] = {}
    all_read = True
    for base in reversed(node.bases):
        found = _base(base, file)
        inherited, read = _methods(*found) if found else ({}, False)
        methods, all_read = methods | inherited, all_read and read
    return methods | {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}, all_read


def _base(base: ast.expr, file: Path) -> tuple[ast.ClassDef, Path] | None:
    """The class of our own that a base names, and where it stands."""
    if not isinstance(base, ast.Name):
        return None
    node, where = _names(file).get(base.id), file
    if isinstance(node, ast.ImportFrom):
        module = _file_of(node.module or "")
        if module is None:
            return None
        node, where = _names(module).get(base.id), module
    return (node, where) if isinstance(node, ast.ClassDef) else None


@cache
def signal_names() -> tuple[str, ...]:
    """The vocabulary that losses may ask for, from the source of `alignlab/signals.py`: its dicts of `Signal(...)`.

    Every word also has a side: `chosen_<word>`, `rejected_<word>`.
    """
    tree = ast.parse((PACKAGE / "signals.py").read_text(encoding="utf-8"))
    words = [
        key.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(key.value, str) and _calls(value, "Signal")
    ]
    return (*words, *(f"{side}_{word}" for word in words for side in ("chosen", "rejected")))


def _calls(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
