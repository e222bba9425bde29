"""Atomic reference and counter, behind the few verbs that pybrpc needs.

They are cereggii's; those of compiled code are plain fields, see `gil_atomic`.

Hot paths use only `get_and_set` and `compare_and_set`: a reference that moves by exchange never
has to be loaded from a slot that another thread is replacing, which is the one hard problem of
reference counting without the GIL.

Store, then load, on both sides
-------------------------------
Often two threads must not miss each other, and neither may wait for a lock: one is about to sleep
and the other posts work; one closes a thing and the other begins to use it. Then each thread first
stores what the other one has to see, and only after that loads what the other one stores:

    thread that polls                     thread that posts
    is_sleeping = True                    queue.append(work)
    if queue: don't sleep                 if is_sleeping: wake the other thread

One of the two stores comes second, and the load after it sees the first. So at least one of the two
threads notices the other, perhaps both, and what they do then must be right in both cases. If
either thread loads before it stores, both can miss each other. Comments that say "store, then load"
mean this.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar, cast

import cereggii  # type: ignore[import-untyped]

from pybrpc.base.gil_atomic import GilAtomicCounter, GilAtomicRef
from pybrpc.base.implementation import __impl__

if not hasattr(cereggii, "_cereggii"):
    # It has placeholders then, which do nothing.
    raise ImportError(
        "the extension module of cereggii can't be loaded; pybrpc needs it, and does not work in "
        "an isolated subinterpreter"
    )

T = TypeVar("T")


class AtomicRef(Protocol, Generic[T]):
    """One reference that threads swap atomically. No method blocks or runs Python code."""

    def get(self) -> T:
        """The reference that is stored now."""

    def get_and_set(self, desired: T) -> T:
        """Store `desired`; return the reference that was stored before."""

    def compare_and_set(self, expected: T, desired: T) -> bool:
        """Store `desired` if `expected` (the same object) is stored. True if it was."""


class AtomicCounter(Protocol):
    """A 64-bit signed counter."""

    def increment_and_get(self, amount: int = 1) -> int:
        """Add `amount`, return the new value."""

    def decrement_and_get(self, amount: int = 1) -> int:
        """Subtract `amount`, return the new value."""

    def compare_and_set(self, expected: int, desired: int) -> bool:
        """Store `desired` if the value is `expected`. True if it was."""

    def get(self) -> int:
        """The current value."""


def atomic_ref(initial: T) -> AtomicRef[T]:
    if __impl__ == "compiled":
        return GilAtomicRef(initial)
    return cast("AtomicRef[T]", cereggii.AtomicRef(initial))


def atomic_counter(initial: int = 0) -> AtomicCounter:
    if __impl__ == "compiled":
        return GilAtomicCounter(initial)
    return cast("AtomicCounter", cereggii.AtomicInt64(initial))
