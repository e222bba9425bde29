"""For functions whose options are a TypedDict: `help` shows each of them, and other names are
refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


SECONDS = ("_ms", "_s", "_sec", "_secs", "_seconds")
"""Ends of names that other libraries have for times; here times are in seconds."""
OTHER_NAMES = {"num_threads": "max_workers", "threads": "max_workers", "retries": "max_retry"}
"""Names of other libraries and of C++ bRPC, which are not alike, and the names here."""


def shows_options(
    options_type: type, defaults: Mapping[str, object], public_name: str = ""
) -> Callable[[Function], Function]:
    """Decorator of a function with `**options: Unpack[options_type]`: `inspect.signature`, and so
    `help`, has a parameter for each option instead, with its type and its default.

    For `__init__`, so that subclasses with an `__init__` of their own have the signature of that.
    Python's own errors call the function `public_name`, the one of its class, if there is one.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        named = [
            parameter
            for parameter in signature.parameters.values()
            if parameter.kind is not parameter.VAR_KEYWORD
        ]
        options = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults[name],
                annotation=getattr(hint, "__forward_arg__", hint),
            )
            for name, hint in options_type.__annotations__.items()
        ]
        shown: Any = function
        shown.__signature__ = signature.replace(parameters=[*named, *options])
        if public_name:
            shown.__qualname__ = public_name
        return function

    return decorate


def check_names(function_name: str, options: Mapping[str, object], options_type: type) -> None:
    """TypeError, as Python raises it, if one of `options` is not an option of `options_type`. It
    says which name may be meant."""
    for name, value in options.items():
        if name not in options_type.__annotations__:
            advice = _advice(name, value, list(options_type.__annotations__))
            raise TypeError(
                f"{function_name}() got an unexpected keyword argument {name!r}{advice}"
            )


def _advice(name: str, value: object, known: list[str]) -> str:
    for end in SECONDS:
        meant = name.removesuffix(end)
        if meant != name and meant in known:
            if isinstance(value, bool) or not isinstance(value, int | float):
                return f"; in seconds: {meant}"
            return f"; in seconds: {meant}={value / 1000 if end == '_ms' else value:g}"
    other = OTHER_NAMES.get(name)
    if other in known:
        return f"; did you mean {other!r}?"
    import difflib  # for an error alone

    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def defaults_of(settings_type: Any) -> dict[str, object]:
    """The defaults of the fields of a dataclass that are arguments of its constructor."""
    parameters = inspect.signature(settings_type).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}
