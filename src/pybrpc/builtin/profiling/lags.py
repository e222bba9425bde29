"""How late threads and asyncio loops are: GIL lag and loop lag.

A thread that asks to be woken after 5 ms needs the GIL to go on. So it is as late as each thread
is that comes back from the kernel; the scheduler of the system adds to that. A loop is asked to
call a function: a task that is ready waits there as long as this takes.
"""

from __future__ import annotations

import functools
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable

from pybrpc.builtin.profiling.loops import MAX_LOOPS, known_loops

MAX_VALUES = 20_000
"""Lags that are kept of each kind: of a minute at 5 ms each."""


class LagMeter:
    """Lags of one kind, in nanoseconds. `add` is for one thread, which need not be the reader's."""

    __slots__ = ("count", "name", "values")

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self.values: list[int] = []
        """At most `MAX_VALUES`."""

    def add(self, lag_ns: int) -> None:
        """Count one."""
        self.count += 1
        if len(self.values) < MAX_VALUES:
            self.values.append(max(lag_ns, 0))

    def text(self) -> str:
        """One line for people."""
        ordered = sorted(self.values)
        if not ordered:
            return f"{self.name}: no answer"
        average, last = sum(ordered) / len(ordered), len(ordered) - 1
        marks = [average, ordered[last // 2], ordered[last * 99 // 100], ordered[last]]
        shown = [f"{mark / 1e6:.2f}" for mark in marks]
        return (
            f"{self.name}: {self.count} times, average {shown[0]} ms, median {shown[1]}, "
            f"99 % {shown[2]}, longest {shown[3]}"
        )

    def __repr__(self) -> str:
        return f"<LagMeter {self.text()}>"


class LoopLags:
    """Asks loops how late they are. One thread; a loop is asked again once it has answered."""

    def __init__(
        self,
        find: Callable[[], Iterable[AbstractEventLoop]] = known_loops,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._find = find
        self._clock_ns = clock_ns
        self._meters: dict[AbstractEventLoop, LagMeter] = {}
        self._asked: dict[AbstractEventLoop, int] = {}

    def find_loops(self) -> None:
        """Look for loops that are new, at most `MAX_LOOPS` in all."""
        for loop in self._find():
            if loop not in self._meters and len(self._meters) < MAX_LOOPS:
                name = f"lag of loop {len(self._meters) + 1} ({type(loop).__name__})"
                self._meters[loop] = LagMeter(name)

    def ask(self) -> None:
        """Ask all loops that have answered. What does not run any more is not asked again."""
        for loop, meter in self._meters.items():
            if loop in self._asked:
                continue
            now_ns = self._asked[loop] = self._clock_ns()
            try:
                loop.call_soon_threadsafe(functools.partial(self._on_answer, loop, meter, now_ns))
            except BaseException:  # closed, or a loop of the user
                continue

    def _on_answer(self, loop: AbstractEventLoop, meter: LagMeter, asked_ns: int) -> None:
        """In the loop."""
        meter.add(self._clock_ns() - asked_ns)
        self._asked.pop(loop, None)

    def texts(self) -> list[str]:
        """A line for each loop; one that has not answered yet says for how long."""
        lines = []
        now_ns = self._clock_ns()
        for loop, meter in list(self._meters.items()):
            asked_ns = self._asked.get(loop)
            waits = "" if asked_ns is None else f"; asked {(now_ns - asked_ns) / 1e6:.2f} ms ago"
            lines.append(meter.text() + waits)
        return lines
