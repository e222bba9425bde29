"""Gates: a server that comes back gets a part of its calls only."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

MIN_SHARE = 0.1
"""The part of its full share of calls that a server gets as its slow start begins."""


class Gate(Protocol):
    """Any thread."""

    def admits(self, now: float) -> bool:
        """Whether the server may have the call that a balancer has picked it for."""

    def is_over(self, now: float) -> bool:
        """Whether it admits all from now on, and may be removed."""


class TrialGate:
    """One call at a time."""

    __slots__ = ("_free",)

    def __init__(self) -> None:
        self._free = [None]

    def admits(self, now: float) -> bool:
        try:
            self._free.pop()
        except IndexError:
            return False
        return True

    def is_over(self, now: float) -> bool:
        return False

    @property
    def is_free(self) -> bool:
        """Whether the next call may come."""
        return bool(self._free)

    def free(self) -> None:
        """The trial has ended: the next call may come."""
        if not self._free:
            self._free.append(None)


class SlowStart:
    """A share of the calls that grows evenly from `MIN_SHARE` to all of them."""

    __slots__ = ("_began_at", "_draw", "_seconds")

    def __init__(
        self, began_at: float, seconds: float, draw: Callable[[], float] = random.random
    ) -> None:
        """`seconds`: more than 0."""
        self._began_at = began_at
        self._seconds = seconds
        self._draw = draw

    def admits(self, now: float) -> bool:
        return self._draw() < max(MIN_SHARE, (now - self._began_at) / self._seconds)

    def is_over(self, now: float) -> bool:
        return now - self._began_at >= self._seconds
