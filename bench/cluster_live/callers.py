"""Callers: the clients that are compared, each in a process of its own while it calls."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.child_process import ChildProcess
from bench.cluster_live.client import ClientSpec
from bench.cluster_live.load import Outcome, Phase
from bench.peers import cpp_program
from bench.peers.cpp_program import MULTI_THREADED, CppProgram

POLL_S = 0.05
QUIET_LIMIT_S = 60.0
"""A caller that ends no call for so long hangs."""
END_LIMIT_S = 120.0
CPP_THREADS = 4


class Caller(Protocol):
    """A client that calls."""

    def count(self) -> int:
        """Calls that have ended so far."""

    def note_fault(self, grace_s: float) -> None:
        """Something happens now, and may be noticed for so long."""

    def end(self) -> Outcome:
        """Make no more calls. Once."""

    def close(self) -> None: ...


def wait_for_calls(caller: Caller, count: int) -> None:
    """Until so many more have ended."""
    last = caller.count()
    wanted, quiet_since = last + count, time.monotonic()
    while last < wanted:
        time.sleep(POLL_S)
        now = caller.count()
        if now > last:
            last, quiet_since = now, time.monotonic()
        elif time.monotonic() - quiet_since > QUIET_LIMIT_S:
            raise TimeoutError(f"no call has ended for {QUIET_LIMIT_S:g} s")


class PythonCaller:
    """A process of client.py."""

    def __init__(self, spec: ClientSpec) -> None:
        text = json.dumps(dataclasses.asdict(spec))
        command = [sys.executable, "-m", "bench.cluster_live.client", text]
        self._process = ChildProcess(command, {}, f"the client {spec.kind} {spec.balancer}")

    def _ask(self, line: str) -> int:
        self._process.write_line(line)
        return int(self._process.read_line(QUIET_LIMIT_S))

    def count(self) -> int:
        return self._ask("count")

    def note_fault(self, grace_s: float) -> None:
        self._ask(f"fault {grace_s}")

    def end(self) -> Outcome:
        self._process.write_line("end")
        found = json.loads(self._process.read_line(END_LIMIT_S))
        before, grace, after = (Phase(**found[name]) for name in ("before", "grace", "after"))
        return Outcome(before, grace, after, found["attempts"], found["errors"])

    def close(self) -> None:
        self._process.close()


class CppCaller:
    """C++ bRPC's multi_threaded_echo_c++, whose variables are read by HTTP.

    It calls as fast as its few threads can, and pauses 50 ms after a call that failed. Its p99
    is of the good calls of the last 10 seconds; it has no p50.
    """

    def __init__(self, spec: ClientSpec) -> None:
        where = spec.where if isinstance(spec.where, str) else f"list://{','.join(spec.where)}"
        self._port = cpp_program.free_port()
        self._marks: list[tuple[float, int, int]] = []
        self._before = Phase()
        self._process = CppProgram(
            MULTI_THREADED,
            "client",
            f"-server={where}",
            f"-load_balancer={spec.balancer}",
            f"-timeout_ms={round(spec.timeout_s * 1000)}",
            f"-max_retry={3 if spec.retries else 0}",
            f"-thread_num={CPP_THREADS}",
            f"-dummy_port={self._port}",
            "-ns_access_interval=1",
        )
        self._process.wait_until_it_listens(self._port)
        self._grace_ends_s = 0.0
        self._at_fault = self._at_grace = (0, 0)

    def _variables(self) -> dict[str, float]:
        url = f"http://127.0.0.1:{self._port}/vars/client*"
        # To a browser it would be a page.
        request = urllib.request.Request(url, headers={"User-Agent": "curl/8"})
        with urllib.request.urlopen(request, timeout=QUIET_LIMIT_S) as answer:
            text = answer.read().decode()
        return {name: float(value) for name, value in re.findall(r"(\w+) : ([\d.]+)", text)}

    def _counts(self) -> tuple[int, int]:
        """Good calls and failed ones."""
        found = self._variables()
        return int(found.get("client_count", 0)), int(found.get("client_error_count", 0))

    def count(self) -> int:
        counts = self._counts()
        if self._grace_ends_s and time.monotonic() >= self._grace_ends_s:
            self._grace_ends_s, self._at_grace = 0.0, counts
        return sum(counts)

    def note_fault(self, grace_s: float) -> None:
        self._at_fault = self._at_grace = self._counts()
        self._before = self._phase((0, 0), self._at_fault)
        self._grace_ends_s = time.monotonic() + grace_s

    def _phase(self, begin: tuple[int, int], end: tuple[int, int], has_times: bool = True) -> Phase:
        good, failed = (after - before for before, after in zip(begin, end, strict=True))
        if not has_times:
            return Phase(good + failed, failed)
        p99_us = self._variables()["client_latency_99"]
        return Phase(good + failed, failed, p99_ms=p99_us / 1e3)

    def end(self) -> Outcome:
        counts = self._counts()
        grace = self._phase(self._at_fault, self._at_grace, has_times=False)
        return Outcome(self._before, grace, self._phase(self._at_grace, counts))

    def close(self) -> None:
        self._process.close()


@dataclass(frozen=True, slots=True)
class Client:
    """One that takes part."""

    kind: str
    balancer: str
    servers: str = "pybrpc"
    """The kind of the servers that it calls."""
    reads_files: bool = True
    """Whether it finds servers by the URL of a file."""
    caller: Callable[[ClientSpec], Caller] = PythonCaller

    @property
    def name(self) -> str:
        return f"{self.kind} {self.balancer}"

    def start(
        self, where: Sequence[str] | str, per_s: float, timeout_s: float, retries: bool
    ) -> Caller:
        found = where if isinstance(where, str) else list(where)
        return self.caller(ClientSpec(self.kind, self.balancer, found, per_s, timeout_s, retries))


CLIENTS = (
    Client("pybrpc", "p2c_ewma"),
    Client("pybrpc", "rr"),
    Client("pybrpc", "la"),
    Client("grpcio", "round_robin", servers="grpcio", reads_files=False),
    Client("C++ bRPC", "la", caller=CppCaller),
    Client("C++ bRPC", "rr", caller=CppCaller),
)


def missing(client: Client) -> str:
    """Why it can't take part, or ""."""
    if client.caller is CppCaller:
        return cpp_program.missing(MULTI_THREADED)
    return ""
