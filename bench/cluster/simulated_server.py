"""SimulatedServer: some slots, a queue before them, a limiter of the library, and faults."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from bench.cluster.clock import VirtualClock
from bench.cluster.faults import Fault, FaultKind, ServiceTime
from pybrpc.errors import ErrorCode
from pybrpc.server.limiters.limiter import Limiter

Answer = Callable[[int], object]
"""Called with the code of the response; 0: the request has succeeded."""

_ELIMIT = int(ErrorCode.ELIMIT)
_ELOGOFF = int(ErrorCode.ELOGOFF)


class Connected(Protocol):
    """A connection of a client, as the server sees it."""

    def on_broken(self) -> None:
        """The server is gone."""


class SimulatedServer:
    """Runs as many requests at once as it has slots; others wait in line. Nobody tells it when a
    client has given up: it runs such requests too."""

    __slots__ = (
        "_clock",
        "_faults",
        "_free",
        "_life",
        "_limiter",
        "_queue",
        "_service_time",
        "_slots",
        "_source",
        "answered",
        "connections",
        "received",
        "rejected",
    )

    received: int
    answered: int
    rejected: int
    """Requests that the limiter has refused."""
    connections: dict[Connected, None]

    def __init__(
        self,
        clock: VirtualClock,
        source: random.Random,
        slots: int,
        service_time: ServiceTime,
        faults: Sequence[Fault] = (),
        limiter: Limiter | None = None,
    ) -> None:
        self._clock = clock
        self._source = source
        self._slots = self._free = slots
        self._service_time = service_time
        self._faults = tuple(faults)
        self._limiter = limiter
        self._queue: deque[tuple[Answer, float, int]] = deque()
        """How to answer, when the request arrived, and how many ran then, itself included."""
        self._life = 0
        """Counts the processes that have served here."""
        self.received = self.answered = self.rejected = 0
        self.connections = {}
        for fault in self._faults:
            if fault.kind is FaultKind.STALLS:
                clock.at(fault.end, self._serve)
            elif fault.kind is FaultKind.REFUSES:
                clock.at(fault.begin, self._die)

    @property
    def is_refusing(self) -> bool:
        """Whether connections are refused now."""
        fault = self._fault()
        return fault is not None and fault.kind is FaultKind.REFUSES

    def receive(self, answer: Answer, timeout_ms: int = 0) -> None:
        """A request has arrived. `timeout_ms`: for how long its client waits; 0: unknown."""
        self.received += 1
        if self._faults and self._has_answered(answer):
            return
        clock, limiter = self._clock, self._limiter
        concurrency = self._slots - self._free + len(self._queue) + 1
        if limiter is not None and not limiter.admits(concurrency, timeout_ms, clock.now):
            self.rejected += 1
            answer(_ELIMIT)
            return
        self._queue.append((answer, clock.now, concurrency))
        self._serve()

    def _has_answered(self, answer: Answer) -> bool:
        """Whether a fault has decided what becomes of the request."""
        fault = self._fault()
        if fault is None or fault.kind in (FaultKind.SLOW, FaultKind.STALLS):
            return False
        if fault.kind in (FaultKind.FAILS, FaultKind.FLAPS):
            if fault.share < 1.0 and self._source.random() >= fault.share:
                return False
            self.answered += 1
            if fault.delay_s:
                self._clock.after(fault.delay_s, answer, fault.code)
            else:
                answer(fault.code)
        elif fault.kind is FaultKind.STOPS:
            self.answered += 1
            answer(_ELOGOFF)
        return True

    def _serve(self, _: object = None) -> None:
        while self._free and self._queue:
            factor = 1.0
            if self._faults:
                fault = self._fault()
                if fault is not None and fault.kind is FaultKind.STALLS:
                    return
                factor = 1.0 if fault is None else fault.factor
            self._free -= 1
            request = (*self._queue.popleft(), self._life)
            self._clock.after(self._service_time(self._source) * factor, self._finish, request)

    def _finish(self, request: tuple[Answer, float, int, int]) -> None:
        answer, arrived_at, concurrency, life = request
        if life != self._life:
            return
        self._free += 1
        self.answered += 1
        if self._limiter is not None:
            now = self._clock.now
            self._limiter.on_end(now, now - arrived_at, concurrency, 0)
        answer(0)
        self._serve()

    def _die(self, _: object) -> None:
        self._life += 1
        self._free = self._slots
        self._queue.clear()
        connections = list(self.connections)
        self.connections.clear()
        for connection in connections:
            connection.on_broken()

    def _fault(self) -> Fault | None:
        now = self._clock.now
        for fault in self._faults:
            if fault.holds(now):
                return fault
        return None
