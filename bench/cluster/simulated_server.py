"""SimulatedServer: some slots, a queue before them, and faults."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence

from bench.cluster.clock import VirtualClock
from bench.cluster.faults import Fault, FaultKind, ServiceTime

Answer = Callable[[bool], object]
"""Called with whether the request has succeeded."""


class SimulatedServer:
    """Runs as many requests at once as it has slots; others wait in line."""

    __slots__ = (
        "_clock",
        "_faults",
        "_free",
        "_queue",
        "_service_time",
        "_source",
        "answered",
        "received",
    )

    received: int
    answered: int

    def __init__(
        self,
        clock: VirtualClock,
        source: random.Random,
        slots: int,
        service_time: ServiceTime,
        faults: Sequence[Fault] = (),
    ) -> None:
        self._clock = clock
        self._source = source
        self._free = slots
        self._service_time = service_time
        self._faults = tuple(faults)
        self._queue: deque[Answer] = deque()
        self.received = 0
        self.answered = 0
        for fault in self._faults:
            if fault.kind is FaultKind.STALLS:
                clock.at(fault.end, self._serve)

    def receive(self, answer: Answer) -> None:
        """A request has arrived."""
        self.received += 1
        fault = self._fault()
        if fault is not None and fault.kind is FaultKind.BLACK_HOLE:
            return
        if fault is not None and fault.kind in (FaultKind.FAILS, FaultKind.FLAPS):
            self.answered += 1
            answer(False)
            return
        self._queue.append(answer)
        self._serve()

    def _serve(self, _: object = None) -> None:
        while self._free and self._queue:
            fault = self._fault()
            factor = 1.0
            if fault is not None:
                if fault.kind is FaultKind.STALLS:
                    return
                factor = fault.factor
            self._free -= 1
            answer = self._queue.popleft()
            self._clock.after(self._service_time(self._source) * factor, self._finish, answer)

    def _finish(self, answer: Answer) -> None:
        self._free += 1
        self.answered += 1
        answer(True)
        self._serve()

    def _fault(self) -> Fault | None:
        if self._faults:
            now = self._clock.now
            for fault in self._faults:
                if fault.holds(now):
                    return fault
        return None
