"""Atomics for compiled code on a Python with a GIL: plain fields.

A thread that runs C code has the GIL until it calls into Python, so no other thread and no signal
handler runs in the middle of these methods. The replaced reference is returned, so no object is
destroyed there either. For compiled callers a method is a few machine instructions, and the
caller's next instructions, such as linking a request to the one before it, belong to the same
atomic step.

**As plain Python they are not atomic.** `base.atomic` uses them only when they are compiled.
"""

from __future__ import annotations

from typing import Any


class GilAtomicRef:
    """An `AtomicRef`, see `base.atomic`."""

    __slots__ = ("_value",)

    def __init__(self, initial: Any) -> None:
        self._value = initial

    def get(self) -> Any:
        return self._value

    def get_and_set(self, desired: Any) -> Any:
        was = self._value
        self._value = desired
        return was

    def compare_and_set(self, expected: Any, desired: Any) -> bool:
        was = self._value
        if was is not expected:
            return False
        self._value = desired
        return True


class GilAtomicCounter:
    """An `AtomicCounter`, see `base.atomic`. OverflowError for an amount of more than 64 bits."""

    __slots__ = ("_value",)

    def __init__(self, initial: int = 0) -> None:
        self._value = initial

    def increment_and_get(self, amount: int = 1) -> int:
        self._value += amount
        return self._value

    def decrement_and_get(self, amount: int = 1) -> int:
        self._value -= amount
        return self._value

    def compare_and_set(self, expected: int, desired: int) -> bool:
        if self._value != expected:
            return False
        self._value = desired
        return True

    def get(self) -> int:
        return self._value
