"""For functions whose options are a TypedDict: `help` shows each of them, and other names are
refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def shows_options(
    options_type: type, defaults: Mapping[str, object]
) -> Callable[[Function], Function]:
    """Decorator of a function with `**options: Unpack[options_type]`: `inspect.signature`, and so
    `help`, has a parameter for each option instead, with its type and its default.

    For `__init__`, so that subclasses with an `__init__` of their own have the signature of that.
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
        return function

    return decorate


def check_names(function_name: str, options: Mapping[str, object], options_type: type) -> None:
    """TypeError, as Python raises it, if one of `options` is not an option of `options_type`."""
    for name in options:
        if name not in options_type.__annotations__:
            raise TypeError(f"{function_name}() got an unexpected keyword argument {name!r}")


def defaults_of(settings_type: Any) -> dict[str, object]:
    """The defaults of the fields of a dataclass that are arguments of its constructor."""
    parameters = inspect.signature(settings_type).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}
