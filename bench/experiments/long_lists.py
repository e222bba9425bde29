"""Are calls late while a long list of servers changes?

python -m bench.experiments.long_lists [SERVERS] [BALANCER] [--freeze]    default: 10000 p2c_ewma

A channel calls a server of this machine, one call each 2 ms, over a list of SERVERS addresses. The
others are of another zone, so they are never called, but the channel makes and drops all that it
keeps for a server. First the list stays as it is, then half of it is replaced, ten times. Channel
and lists are in one process, with one GIL; the server is in another one. With `--freeze` garbage
collections don't look at the objects of the first list (`gc.freeze`).

Verdict (2 busy cores, CPython 3.11, compiled): with 10,000 servers 32 of 2,500 calls took more than
10 ms while the list changed, the longest one 70 ms; none did while it stayed. A full garbage
collection takes 58 ms, and the thread of the naming service, which makes the list, holds the GIL
for 5 ms at a time. A server that was never called has 8 objects that the collector looks at. When
servers had connections from the beginning, it had 30, of which 21 were cycles: the longest call
took 450 ms, and a collection 360 ms.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest, EchoResponse
from pybrpc.naming import NamingService, ServerNode, register_naming_service

CHANGES = 10
CALLS_BETWEEN = 250
PAUSE_S = 0.002


class Lists(NamingService):
    """Gives one list after the other, each when it is asked for."""

    interval_s = 0.0

    def __init__(self) -> None:
        self._waiting: list[tuple[str, range]] = []
        self._is_wanted = threading.Event()

    def give(self, address: str, others: range) -> None:
        self._waiting.append((address, others))
        self._is_wanted.set()

    def fetch(self) -> list[ServerNode] | None:
        self._is_wanted.wait(1.0)
        self._is_wanted.clear()
        if not self._waiting:
            return None
        address, others = self._waiting.pop()
        return [ServerNode.parse(address, "1 zone=here"), *map(other, others)]

    def interrupt(self) -> None:
        self._is_wanted.set()


class Collections:
    """Processor times of full garbage collections, which stop all threads."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._began_at = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began_at = time.thread_time()
        elif info["generation"] == 2:
            self.longest_s = max(self.longest_s, time.thread_time() - self._began_at)

    def take_ms(self) -> float:
        """The longest one since the last call."""
        longest_s, self.longest_s = self.longest_s, 0.0
        return longest_s * 1e3


class Echo:
    def Echo(self, request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        return EchoResponse(message=request.message)


def serve() -> None:
    """Run the server; the work of its process."""
    with pybrpc.Server() as server:
        server.add_service(SERVICE, Echo())
        print(server.start("127.0.0.1:0").port, flush=True)
        sys.stdin.read()


def main() -> None:
    given = [each for each in sys.argv[1:] if each != "--freeze"]
    count = int(given[0]) if given else 10_000
    balancer = given[1] if len(given) > 1 else "p2c_ewma"
    command = [sys.executable, "-c", f"from {__spec__.name} import serve; serve()"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        measure(f"127.0.0.1:{int(process.stdout.readline())}", count, balancer)
        process.communicate()


def measure(address: str, count: int, balancer: str) -> None:
    lists = Lists()
    register_naming_service("lists", lambda url: lists)
    collections = Collections()
    lists.give(address, range(count - 1))
    spec = f"{balancer}:zone=here"
    with pybrpc.Channel("lists://", load_balancer=spec, timeout=30) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        channel.wait_ready(60)
        calls(stub, CALLS_BETWEEN)
        collections.take_ms()
        if "--freeze" in sys.argv:
            gc.collect()
            gc.freeze()
        print(f"{count} servers, {spec}, {pybrpc.__impl__}: us of a call, 50 % 99 % longest")
        show("the list stays", calls(stub, CHANGES * CALLS_BETWEEN), collections)
        changing: list[float] = []
        used_s = time.process_time()
        for change in range(1, CHANGES + 1):
            begin = change * count // 2
            lists.give(address, range(begin, begin + count - 1))
            changing += calls(stub, CALLS_BETWEEN)
        used_s = time.process_time() - used_s
        show("it changes", changing, collections)
        last = str(other(begin + count - 2).endpoint)
        assert last in {str(each.endpoint) for each in channel.servers()}
        print(f"{used_s / CHANGES * 1e3:.0f} ms of processor time for one change and its calls")


def other(number: int) -> ServerNode:
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}:8000"
    return ServerNode.parse(address, "1 zone=there")


def calls(stub: pybrpc.Stub, count: int) -> list[float]:
    """Their latencies, in us, in order of size."""
    request = EchoRequest(message="m")
    taken = []
    for _ in range(count):
        began_at = time.perf_counter()
        stub.Echo(request)
        taken.append((time.perf_counter() - began_at) * 1e6)
        time.sleep(PAUSE_S)
    return sorted(taken)


def show(what: str, taken: list[float], collections: Collections) -> None:
    taken.sort()
    late = sum(each > 10_000 for each in taken)
    figures = (taken[len(taken) // 2], taken[len(taken) * 99 // 100], taken[-1])
    text = "".join(f"{each:9.0f}" for each in figures)
    print(f"{what:<16}{text}   {late} of {len(taken)} took more than 10 ms")
    print(f"    the longest full garbage collection took {collections.take_ms():.0f} ms")


if __name__ == "__main__":
    main()
