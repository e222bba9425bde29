"""How long a producer can be kept by `Socket.start_write` while the peer doesn't read.

The peer listens and reads nothing, so the kernel's buffers fill, then the backlog, and then writes
are refused. "nothing" calls a function that does nothing instead: what it takes at most is the
machine's and the interpreter's doing. A thread that loses the GIL to another one gets it back after
5 ms, with more threads later; that is no waiting for the peer.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from bench.callers import Callers
from bench.figures import Figures
from bench.meter import Meter
from bench.work import Flood, Window
from pybrpc import Endpoint, IOBuf
from pybrpc.errors import OvercrowdedError
from pybrpc.lowlevel import Socket, default_runtime

BENCHED = ("pybrpc", "nothing")

Write = Callable[[bytes], object]


class Producer:
    """The results of one thread."""

    def __init__(self) -> None:
        self.calls = 0
        self.refused = 0
        self.longest_s = 0.0

    def write_on(self, write: Write, data: bytes, callers: Callers) -> None:
        clock = time.perf_counter
        while not callers.stop.is_set():
            begun = clock()
            try:
                write(data)
            except OvercrowdedError:
                self.refused += 1
            self.longest_s = max(self.longest_s, clock() - begun)
            self.calls += 1


def run_flood(name: str, work: Flood, window: Window, meter: Meter) -> Figures:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if name == "nothing":
            return flood(lambda _: None, work, window, meter)
        endpoint = Endpoint.parse(f"127.0.0.1:{listener.getsockname()[1]}")
        target = Socket.to(endpoint, default_runtime().dispatcher)
        try:
            return flood(lambda data: target.start_write(IOBuf(data)), work, window, meter)
        finally:
            target.close()


def flood(write: Write, work: Flood, window: Window, meter: Meter) -> Figures:
    data, callers = b"x" * work.size_bytes, Callers()
    producers = [Producer() for _ in range(work.producers)]

    def work_of(producer: Producer) -> Callable[[], None]:
        return lambda: producer.write_on(write, data, callers)

    def measure() -> None:
        meter.begin()
        callers.stop.wait(window.warm_up_s + window.measure_s)
        meter.end(sum(producer.calls for producer in producers))
        callers.stop.set()

    callers.run_threads([work_of(producer) for producer in producers], measure)
    calls = sum(producer.calls for producer in producers)
    return {
        **meter.figures(),
        "longest_us": max(producer.longest_s for producer in producers) * 1e6,
        "refused_percent": 100 * sum(producer.refused for producer in producers) / max(1, calls),
    }
