"""VirtualTurns: the turns of a Router on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable

from bench.cluster.clock import VirtualClock


class VirtualTurns:
    """See `breaking.server_states.Turns`. What is posted runs after the event that posts it, at the
    same virtual time."""

    __slots__ = ("_clock",)

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.now

    def post(self, function: Callable[[], None]) -> None:
        self._clock.at(self._clock.now, _run, function)

    def call_at(self, when: float, function: Callable[[], None]) -> None:
        self._clock.at(when, _run, function)


def _run(function: Callable[[], None]) -> None:
    function()
