"""Atomic reference and counter, behind the few verbs that pybrpc needs.

They are cereggii's; those of compiled code are plain fields, see `gil_atomic`.

Hot paths use only `get_and_set` and `compare_and_set`: a reference that moves by exchange never
has to be loaded from a slot that another thread is replacing, which is the one hard problem of
reference counting without the GIL.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar, cast

import cereggii  # type: ignore[import-untyped]

from pybrpc.base.gil_atomic import GilAtomicCounter, GilAtomicRef
from pybrpc.base.implementation import __impl__

T = TypeVar("T")


class AtomicRef(Protocol, Generic[T]):
    """One reference that threads swap atomically. No method blocks or runs Python code."""

    def get(self) -> T:
        """What is there now."""

    def get_and_set(self, desired: T) -> T:
        """Store `desired`, return what was there."""

    def compare_and_set(self, expected: T, desired: T) -> bool:
        """Store `desired` if `expected` (the same object) is there; say whether it was."""


class AtomicCounter(Protocol):
    """A 64-bit signed counter."""

    def increment_and_get(self, amount: int = 1) -> int:
        """Add `amount`, return the new value."""

    def decrement_and_get(self, amount: int = 1) -> int:
        """Subtract `amount`, return the new value."""

    def compare_and_set(self, expected: int, desired: int) -> bool:
        """Store `desired` if the value is `expected`; say whether it was."""

    def get(self) -> int:
        """The value now."""


def atomic_ref(initial: T) -> AtomicRef[T]:
    if __impl__ == "compiled":
        return GilAtomicRef(initial)
    return cast("AtomicRef[T]", cereggii.AtomicRef(initial))


def atomic_counter(initial: int = 0) -> AtomicCounter:
    if __impl__ == "compiled":
        return GilAtomicCounter(initial)
    return cast("AtomicCounter", cereggii.AtomicInt64(initial))
