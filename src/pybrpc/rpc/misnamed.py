"""Misnamed: a name that users of C++ bRPC, or of other libraries, expect, and that does not exist.

A class with `__slots__` refuses an unknown name by itself, but does not say which name is right.
These do, and cost nothing else: no `__getattr__` and no `__setattr__` slows the real attributes.
"""

from __future__ import annotations

from typing import Any, NoReturn, Self, overload

CANCEL_FUTURE = "cancel the future of the call, stub.Method.future(...) or the awaited one"
SET_TIMEOUT = "set controller.timeout_ms = milliseconds, or timeout= of the call, in seconds"


class Misnamed:
    """An attribute that raises an AttributeError with the right way when it is read or set."""

    __slots__ = ("_name", "right")

    def __init__(self, right: str) -> None:
        """`right`: a sentence that says what to use instead."""
        self.right = right
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> NoReturn: ...

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        raise AttributeError(self._text(owner))

    def __set__(self, instance: object, value: Any) -> NoReturn:
        raise AttributeError(self._text(type(instance)))

    def _text(self, owner: type) -> str:
        return f"{owner.__name__} has no attribute {self._name!r}: {self.right}"


def without_misnamed(owner: type, names: list[str]) -> list[str]:
    """`names` of attributes, for `dir()`, without those that are only hints."""
    return [name for name in names if not isinstance(getattr(owner, name, None), Misnamed)]
