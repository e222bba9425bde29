"""Parameters of load balancers in the text of the option `load_balancer`: "name:key=value ..."."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Parse = Callable[[str], Any]
"""The value that a text means; a ValueError, which says what is wanted, if it means none."""


def split_spec(text: str) -> tuple[str, dict[str, str]]:
    """The name of a balancer in small letters, and the texts of its parameters. ValueError for a
    parameter that is not "key=value", or comes twice; TypeError if `text` is no string."""
    if not isinstance(text, str):
        raise TypeError(f"load_balancer must be a string, not {text!r}")
    name, _, rest = text.strip().partition(":")
    parameters: dict[str, str] = {}
    for word in rest.split():
        key, equals, value = word.partition("=")
        key = key.lower()
        if not key or not equals or not value:
            raise ValueError(f'load_balancer {text!r}: write "key=value", not {word!r}')
        if key in parameters:
            raise ValueError(f"load_balancer {text!r}: {key} comes twice")
        parameters[key] = value
    return name.strip().lower(), parameters


def parsed(balancer: str, texts: Mapping[str, str], known: Mapping[str, Parse]) -> dict[str, Any]:
    """The values of parameters; a ValueError that names one which is unknown or wrong."""
    values: dict[str, Any] = {}
    for key, text in texts.items():
        parse = known.get(key)
        if parse is None:
            raise ValueError(
                f"load balancer {balancer!r} has no parameter {key!r}; it has {listed(known)}"
            )
        try:
            values[key] = parse(text)
        except ValueError as error:
            raise ValueError(f"load balancer {balancer!r}: {key}={text}: {error}") from None
    return values


def listed(names: Iterable[str]) -> str:
    """Names in order, for an error; "none" without any."""
    return ", ".join(sorted(names)) or "none"


def whole(least: int, most: int) -> Parse:
    """A whole number from `least` to `most`."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or not least <= int(text[:20]) <= most:
            raise ValueError(f"it must be a whole number from {least} to {most}")
        return int(text)

    return parse


def number(above: float, most: float = math.inf) -> Parse:
    """A number greater than `above`, and at most `most`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not above < value <= most or value == math.inf:
            raise ValueError(
                f"it must be a number above {above:g}"
                + ("" if most == math.inf else f", at most {most:g}")
            )
        return value

    return parse


def any_text(text: str) -> str:
    """A text as it is."""
    return text
