"""Fields of JSON whose shape a peer decides: a wrong type is a NamingError, never another error."""

from __future__ import annotations

from typing import Any, TypeVar

from pybrpc.errors import NamingError

T = TypeVar("T")


def field(thing: Any, name: str, kind: type[T]) -> T:
    """`thing[name]`, which must be a `kind`."""
    value = thing.get(name) if isinstance(thing, dict) else None
    if not isinstance(value, kind):
        raise NamingError(f"the answer has no {name!r} that is a {kind.__name__}")
    return value


def field_or(thing: Any, name: str, default: T) -> T:
    """`thing[name]`, or `default` if there is none, or one of another type."""
    value = thing.get(name) if isinstance(thing, dict) else None
    return value if isinstance(value, type(default)) else default


def items_of(thing: Any, name: str) -> list[Any]:
    """The list `thing[name]`, empty if there is none."""
    return field_or(thing, name, [])


def fields_of(thing: Any, name: str) -> dict[str, Any]:
    """The object `thing[name]`, empty if there is none."""
    return field_or(thing, name, {})


def number_or(thing: Any, name: str, default: float) -> float:
    """A number, also one that is written as a string; `default` if it is none."""
    value = thing.get(name) if isinstance(thing, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return default
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return default
    return number if abs(number) < 1e300 else default


def whole_number(thing: Any, name: str) -> int:
    """A whole number, as etcd writes those of 64 bits: as a string. 0 if it is missing."""
    value = thing.get(name, 0) if isinstance(thing, dict) else 0
    try:
        return int(value)
    except (ValueError, TypeError):
        raise NamingError(f"the answer has no {name!r} that is a whole number") from None
