"""Checks of the options that users give: each returns the option, or raises an error that names it,
says what is wanted, and what came.

A wrong number is a ValueError, whatever its type; an object of a wrong type is a TypeError. `True`
is no number, and a string is no list. They run when options are given, never in a call.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")

MAX_SHOWN = 200
"""Characters of a wrong value that a text shows."""


def is_number(value: object) -> bool:
    """Whether it is a number, not nan. `True` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def checked_count(name: str, value: object, least: int = 0, most: int | None = None) -> int:
    """A whole number from `least` to `most`, else a ValueError; `None`: there is no most."""
    if isinstance(value, bool) or not isinstance(value, int) or not _is_within(value, least, most):
        raise ValueError(f"{name} must be {_wanted_count(least, most)}, not {value!r}")
    return value


def checked_count_or_none(
    name: str, value: object, least: int = 0, most: int | None = None
) -> int | None:
    """`checked_count`, or `None`."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not _is_within(value, least, most):
        wanted = _wanted_count(least, most)
        raise ValueError(f"{name} must be None or {wanted}, not {value!r}")
    return value


def checked_flag(name: str, value: object) -> bool:
    """`True` or `False`, else a TypeError: "no" would count as true."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return value


def checked_flag_or_none(name: str, value: object) -> bool | None:
    """`checked_flag`, or `None`."""
    if value is not None and not isinstance(value, bool):
        raise TypeError(f"{name} must be True, False or None, not {value!r}")
    return value


def checked_text(name: str, value: object) -> str:
    """A string, else a TypeError, which does not show the value: it may be a password."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {_an(value)}")
    return value


def checked_text_or_none(name: str, value: object) -> str | None:
    """`checked_text`, or `None`."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} must be a string or None, not {_an(value)}")
    return value


def checked_texts(name: str, fields: Mapping[str, str]) -> dict[str, str]:
    """A copy of a dict of strings; TypeError if it is none."""
    if not isinstance(fields, Mapping):
        raise TypeError(f"{name} must be a dict of strings, not {fields!r}")
    for key, value in fields.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"{name} must be a dict of strings; {key!r}: {value!r} is no such pair")
    return dict(fields)


def checked_instance(name: str, value: object, kind: type[T]) -> T:
    """An object of `kind`, a public class of `pybrpc`, else a TypeError."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a {_public_name_of(kind)}, not {shown(value)}")
    return value


def checked_instance_or_none(name: str, value: object, kind: type[T]) -> T | None:
    """`checked_instance`, or `None`."""
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name} must be a {_public_name_of(kind)} or None, not {shown(value)}")
    return value


def _public_name_of(kind: type) -> str:
    """The name by which users import a class: its `_public_name`, if it is not in `pybrpc`."""
    return str(getattr(kind, "_public_name", f"pybrpc.{kind.__name__}"))


def why_not_called(function: object, *arguments: object) -> str:
    """Why `function` can't be called with `arguments`, for a text; "" if it can, or if that is not
    certain. Only functions and methods of Python code are judged, by their own parameters."""
    bare = getattr(function, "__func__", function)
    if not isinstance(bare, types.FunctionType) or hasattr(bare, "__signature__"):
        return ""
    try:
        inspect.signature(function, follow_wrapped=False).bind(*arguments)  # type: ignore[arg-type]
    except TypeError as error:
        return str(error)
    except ValueError:
        return ""
    return ""


def checked_function_or_none(
    name: str, value: T, *called_with: str, may_be_async: bool = False
) -> T:
    """A function or `None`, else a TypeError. An async one only if somebody will await it.

    `called_with`: the names of its arguments, if a function that takes others is refused too.
    """
    if value is None:
        return value
    if not callable(value):
        raise TypeError(f"{name} must be a function or None, not {value!r}")
    if inspect.iscoroutinefunction(value) and not may_be_async:
        raise TypeError(f"{name} must be a plain function, not an async one: {value!r}")
    if called_with and (mismatch := why_not_called(value, *called_with)):
        raise TypeError(f"{name} is called as {name}({', '.join(called_with)}): {mismatch}")
    return value


def checked_list(name: str, value: Iterable[object], kind: type[T], of: str) -> tuple[T, ...]:
    """The items of a list, a tuple or another iterable, each of `kind`, else a TypeError.

    `of` names the items in it. A string is refused: its items are letters.
    """
    if isinstance(value, str | bytes):
        raise TypeError(f"{name} must be a list of {of}, not the string {value!r}")
    try:
        items = tuple(value)
    except TypeError:
        raise TypeError(f"{name} must be a list of {of}, not {value!r}") from None
    found: list[T] = []
    for item in items:
        if not isinstance(item, kind) or isinstance(item, bool):
            raise TypeError(f"{name} must be a list of {of}; {item!r} is none")
        found.append(item)
    return tuple(found)


def _is_within(value: int, least: int, most: int | None) -> bool:
    return least <= value and (most is None or value <= most)


def _wanted_count(least: int, most: int | None) -> str:
    if most is None:
        return f"a whole number >= {least}"
    return f"a whole number from {least} to {most}"


def _an(value: object) -> str:
    """The type of a value, for a text."""
    name = type(value).__name__
    return f"an {name}" if name[:1].lower() in "aeio" else f"a {name}"


def shown_class(value: object) -> str:
    """As `shown`, where a class is what was wanted."""
    return f"the class {value.__name__}" if isinstance(value, type) else shown(value)


def shown(value: object) -> str:
    """`value` for a text. A class in place of an object is a mistake that its repr hardly shows;
    the repr of an empty protobuf message is empty."""
    if isinstance(value, type):
        return f"the class {value.__name__}: make an object of it"
    try:
        text = repr(value) or f"an empty {type(value).__name__}"
    except Exception:
        text = f"a {type(value).__name__} whose repr raises"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
