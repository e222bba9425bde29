"""A real server in a process of its own, and requests that come whether it can answer or not.

python -m bench.overload.live LIMIT SLEEP_S    the server; prints its port
"""

from __future__ import annotations

import dataclasses
import random
import sys
import threading
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pybrpc
from bench.child_process import ChildProcess
from bench.echo_messages import SERVICE, EchoRequest, EchoResponse
from pybrpc.errors import ErrorCode, RpcError

WORKERS = 8
SLEEP_S = 0.010
TIMEOUT_SLEEPS = 10
"""How many times the time of a handler clients wait."""

START_LIMIT_S = 120.0
END_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class LiveOutcome:
    """Requests that arrived after the warm-up, by how they ended for the client."""

    seconds: float
    arrived: int
    in_time: int
    rejected: int
    timed_out: int
    others: int
    ran: int = 0
    """Calls whose handler ran, those of the warm-up included."""


class SleepingService:
    """Its handler keeps a worker, and no processor, busy."""

    def __init__(self, sleep_s: float) -> None:
        self._sleep_s = sleep_s
        self.ran = 0

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        time.sleep(self._sleep_s)
        self.ran += 1
        return EchoResponse(message=request.message)


def capacity_per_s(sleep_s: float) -> float:
    """Calls that the server can end in a second."""
    return WORKERS / sleep_s


def serve(limit: str, sleep_s: float) -> None:
    """Serve until stdin ends."""
    with pybrpc.Server(
        max_workers=WORKERS, max_concurrency=pybrpc.AdaptiveMaxConcurrency(limit)
    ) as server:
        service = SleepingService(sleep_s)
        server.add_service(SERVICE, service)
        print(server.start("127.0.0.1:0").port, flush=True)
        sys.stdin.readline()
        print(service.ran, flush=True)
        sys.stdin.read()


def load(
    limit: str, percent: float, seconds: float, sleep_s: float = SLEEP_S, seed: int = 1
) -> LiveOutcome:
    """Call a new server with `limit` at `percent` of its capacity, by an open loop.

    As long again as `seconds` it is called before, for the limiter to learn.
    """
    command = [sys.executable, "-m", "bench.overload.live", limit, str(sleep_s)]
    with ChildProcess(command, {}, f"server with max_concurrency={limit}") as child:
        address = f"127.0.0.1:{child.read_line(START_LIMIT_S)}"
        timeout_s = TIMEOUT_SLEEPS * sleep_s
        with pybrpc.Channel(address, timeout=timeout_s, max_retry=0) as channel:
            stub: Any = pybrpc.Stub(SERVICE, channel)
            per_s = capacity_per_s(sleep_s) * percent / 100
            found = OpenLoop(stub, per_s, random.Random(seed)).run(seconds, seconds)
        child.write_line("end")
        return dataclasses.replace(found, ran=int(child.read_line(END_LIMIT_S)))


class OpenLoop:
    """Sends requests at random times, in this thread; futures count how they end."""

    def __init__(self, stub: Any, per_s: float, dice: random.Random) -> None:
        self._stub = stub
        self._per_s = per_s
        self._dice = dice
        self._counts: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._left = threading.Semaphore(0)

    def run(self, seconds: float, warm_up_s: float) -> LiveOutcome:
        request = EchoRequest(message="x")
        began = due = time.monotonic()
        sent = arrived = 0
        while due < began + warm_up_s + seconds:
            if (wait_s := due - time.monotonic()) > 0:
                time.sleep(wait_s)
            counts = due >= began + warm_up_s
            future = self._stub.Echo.future(request)
            future.add_done_callback(self._note_counted if counts else self._note)
            sent += 1
            arrived += counts
            due += self._dice.expovariate(self._per_s)
        for _ in range(sent):
            assert self._left.acquire(timeout=END_LIMIT_S)
        counted = self._counts
        in_time, rejected = counted.pop(0, 0), counted.pop(ErrorCode.ELIMIT, 0)
        timed_out = counted.pop(ErrorCode.ERPCTIMEDOUT, 0)
        return LiveOutcome(seconds, arrived, in_time, rejected, timed_out, counted.total())

    def _note(self, future: Future[Any]) -> None:
        future.exception()
        self._left.release()

    def _note_counted(self, future: Future[Any]) -> None:
        error = future.exception()
        code = 0 if error is None else error.code if isinstance(error, RpcError) else -1
        with self._lock:
            self._counts[int(code)] += 1
        self._left.release()


if __name__ == "__main__":
    serve(sys.argv[1], float(sys.argv[2]))
