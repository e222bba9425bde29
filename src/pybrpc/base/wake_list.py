"""WakeList: functions to call once something has come, each once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

Wake = Callable[[], None]


class WakeList:
    """Who waits. Any thread; takes no lock. A function is called by whoever wakes.

    Every connection has one, and nearly all are empty: a list, as an empty deque takes 760 bytes.
    """

    __slots__ = ("_wakes",)

    def __init__(self) -> None:
        self._wakes: list[Wake] = []

    def add(self, wake: Wake) -> None:
        """Then look, once more, whether what it waits for has come already."""
        self._wakes.append(wake)

    def discard(self, wake: Wake) -> None:
        with contextlib.suppress(ValueError):
            self._wakes.remove(wake)

    def wake_all(self) -> None:
        """Call everybody who is there, and who comes meanwhile."""
        while self._wakes:
            try:
                wake = self._wakes.pop(0)
            except IndexError:
                return
            wake()

    def __len__(self) -> int:
        return len(self._wakes)
