"""to_underscored_name: the form that bRPC gives to names of variables (bvar/variable.cpp)."""

from __future__ import annotations

import re

MAX_NAME_CHARS = 1024
"""Longest name of a variable, in characters: it is repeated on every page."""

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def to_underscored_name(source: str, onto: str = "") -> str:
    """`onto` with `source` appended in lower case: `FooBar::Baz` becomes foo_bar_baz.

    Only ASCII letters and digits are kept; all between them becomes one underscore.
    """
    name = list(onto)
    before = ""
    for char in source:
        if not (char.isascii() and char.isalnum()):
            if not name or name[-1] != "_":
                name.append("_")
        elif char.isupper():
            if before and not _is_upper(before) and name[-1] != "_":
                name.append("_")
            name.append(char.lower())
        else:
            name.append(char)
        before = char
    return "".join(name)


def calls_name(full_name: str) -> str:
    """The part of the names of variables that stands for a method: `a.EchoService.Echo` is
    a_echo_service_echo, "*" generic, and the application at the path "/app" mount_app."""
    if full_name == "*":
        return "generic"
    if full_name.startswith("/"):
        return to_underscored_name(full_name, "mount") if full_name != "/" else "mount_root"
    return to_underscored_name(full_name)


def _is_upper(char: str) -> bool:
    return char.isascii() and char.isupper()


def exposed_name(name: str, prefix: str = "") -> str:
    """The name under which a variable is exposed; ValueError if nothing is left of `name`."""
    if not isinstance(name, str) or not isinstance(prefix, str):
        raise TypeError("the name of a variable is a str")
    if not name:
        raise ValueError("a variable needs a name")
    if len(name) + len(prefix) > MAX_NAME_CHARS:
        raise ValueError(f"a name has at most {MAX_NAME_CHARS} characters")
    onto = to_underscored_name(prefix) if prefix else ""
    if onto and not onto.endswith("_"):
        onto += "_"
    return to_underscored_name(name, onto)


def checked_metric_name(name: str) -> str:
    """`name`, if Prometheus allows it for a metric; else ValueError."""
    if not _METRIC_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name of a metric: letters, digits, _ and :")
    return name


def checked_label_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """`names`, if they are different ones that Prometheus allows for labels; else ValueError."""
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"the name of a label is a str, not {type(name).__name__}")
        if not _LABEL_NAME.fullmatch(name) or name.startswith("__"):
            raise ValueError(f"{name!r} is not a name of a label: letters, digits and _")
        if name in ("le", "quantile"):
            raise ValueError(f"the label {name!r} is reserved for histograms and summaries")
    if not names or len(set(names)) != len(names):
        raise ValueError("labels need at least one name, and each name once")
    return names
