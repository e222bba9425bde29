"""OpenLoad: calls at a fixed rate, whatever becomes of the earlier ones, and how they end."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from bench.schedule import percentile

END_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Call:
    """The end of one: the latency counts from the time when the call was due."""

    due_s: float
    latency_s: float
    attempts: int
    error: str
    """A name of the code; "" for a success."""


@dataclass(frozen=True, slots=True)
class Phase:
    """The calls that were due between two moments. Times are nan without calls or if unknown."""

    calls: int = 0
    failed: int = 0
    p50_ms: float = math.nan
    p99_ms: float = math.nan

    @classmethod
    def of(cls, calls: list[Call]) -> Phase:
        latencies = sorted(call.latency_s for call in calls)
        failed = sum(bool(call.error) for call in calls)
        p50_s, p99_s = percentile(latencies, 0.5), percentile(latencies, 0.99)
        return cls(len(calls), failed, p50_s * 1e3, p99_s * 1e3)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The ends of all calls.

    before   the fault
    grace    for which they may notice it: a second, or as long as a timeout more
    after    all later ones
    attempts of all calls, as the client counts them; 0 if it doesn't tell
    """

    before: Phase = Phase()
    grace: Phase = Phase()
    after: Phase = Phase()
    attempts: int = 0
    errors: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def calls(self) -> int:
        return self.before.calls + self.grace.calls + self.after.calls

    @property
    def failed(self) -> int:
        return self.before.failed + self.grace.failed + self.after.failed

    @classmethod
    def of(cls, calls: list[Call], fault_s: float, grace_s: float) -> Outcome:
        """`fault_s`: when it began."""
        end_s = fault_s + grace_s
        errors = Counter(call.error for call in calls if call.error)
        return cls(
            Phase.of([call for call in calls if call.due_s < fault_s]),
            Phase.of([call for call in calls if fault_s <= call.due_s < end_s]),
            Phase.of([call for call in calls if call.due_s >= end_s]),
            sum(call.attempts for call in calls),
            dict(errors),
        )


OnEnd = Callable[[int, str], None]
"""Gets the attempts of a call, and the name of its error or ""."""


class OpenLoad:
    """`start_call` begins a call without blocking; its end is reported once, by any thread."""

    def __init__(self, start_call: Callable[[OnEnd], object], per_s: float) -> None:
        self._start_call = start_call
        self._pause_s = 1 / per_s
        self.ended: list[Call] = []
        self._started = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._is_over.wait(max(0.0, due_s - time.monotonic())):
            self._started += 1
            self._start_call(self._noting(due_s))
            due_s += self._pause_s

    def _noting(self, due_s: float) -> OnEnd:
        def note(attempts: int, error: str) -> None:
            self.ended.append(Call(due_s, time.monotonic() - due_s, attempts, error))

        return note

    def end(self) -> list[Call]:
        """Begin no more calls, wait for those that have begun; all of them."""
        self._is_over.set()
        self._thread.join()
        limit_s = time.monotonic() + END_LIMIT_S
        while len(self.ended) < self._started:
            if time.monotonic() > limit_s:
                raise TimeoutError(f"{self._started - len(self.ended)} calls never ended")
            time.sleep(0.01)
        return self.ended
