"""C++ bRPC's own benchmark, its example multi_threaded_echo_c++. cpp_program.py says where it is.

Its client prints once a second how many calls there were.
"""

from __future__ import annotations

import re
import statistics
import time
from typing import Protocol

from bench.child_process import ChildFailedError, ChildProcess
from bench.figures import Figures
from bench.peers import cpp_program
from bench.peers.cpp_program import MULTI_THREADED, CppProgram
from bench.work import TIMEOUT_S, ClosedLoop, Window, Work

QUIET_LIMIT_S = 10.0
_QPS = re.compile(r"qps=(\d+)")


class Server(Protocol):
    """A server in a process of its own."""

    @property
    def process(self) -> ChildProcess: ...

    @property
    def port(self) -> int: ...

    def cpu_s(self) -> float: ...


class CppServer:
    """The server of that example, which is started at once."""

    def __init__(self, example: str = MULTI_THREADED) -> None:
        self._port = cpp_program.free_port()
        self.process = CppProgram(example, "server", f"-port={self._port}")
        self._listens = False

    @property
    def port(self) -> int:
        """Waits until it listens."""
        if not self._listens:
            self.process.wait_until_it_listens(self._port)
            self._listens = True
        return self._port

    def cpu_s(self) -> float:
        return self.process.cpu_s()


class CppClient:
    """Its client, with such flags."""

    example = MULTI_THREADED

    def __init__(self, *flags: str) -> None:
        self._flags = flags

    def make_server(self) -> CppServer:
        return CppServer(self.example)

    def flags_for(self, work: Work) -> tuple[str, ...]:
        """The flags that say what to do."""
        assert isinstance(work, ClosedLoop)
        return (
            f"-thread_num={work.in_flight}",
            f"-request_size={work.size_bytes}",
            "-connection_type=single",
            "-dont_fail",
        )

    def run(self, work: Work, window: Window, server: Server) -> Figures:
        """The figures that it prints for each second, without the first, in which it starts."""
        flags = (
            f"-server=127.0.0.1:{server.port}",
            f"-timeout_ms={int(TIMEOUT_S * 1000)}",
            *self.flags_for(work),
            *self._flags,
        )
        with CppProgram(self.example, "client", *flags) as client:
            next_rate(client)
            before = (time.perf_counter(), client.cpu_s(), server.cpu_s())
            rates = [next_rate(client) for _ in range(max(1, round(window.measure_s)))]
            after = (time.perf_counter(), client.cpu_s(), server.cpu_s())
        rate = statistics.fmean(rates)
        lasted_s, client_s, server_s = (b - a for a, b in zip(before, after, strict=True))
        calls = max(1.0, rate * lasted_s)
        return {
            "calls": calls,
            "calls_per_s": rate,
            "client_cpu_us": client_s / calls * 1e6,
            "server_cpu_us": server_s / calls * 1e6,
        }


def next_rate(client: CppProgram) -> float:
    """The rate of the second that ends now. ChildFailedError if a call has failed."""
    while True:
        line = client.read_line(QUIET_LIMIT_S)
        if found := _QPS.search(line):
            return float(found[1])
        if "error=" in line:
            raise ChildFailedError(line)


def missing() -> str:
    """Why it can't take part, or ""."""
    return cpp_program.missing(MULTI_THREADED)


PTHREADS = CppClient()
BTHREADS = CppClient("-use_bthread")
