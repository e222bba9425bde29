"""What do connections cost a server on which nothing happens?

python -m bench.experiments.many_connections [COUNT] [plain|async|types]    default: 10000 plain

A server in a process of its own; here COUNT connections are opened, and some calls made over
another one, before, while they are open, and after each has made a call. `async`: the server
runs in an asyncio loop. `types`: where in the code the server's memory was allocated.

Verdict (2 cores, CPython 3.11, 10,000 connections, other work beside it, so the rates are low):

    memory of the server   4.1 KB a connection, 5.6 KB once it has made a call; async 4.4 and 5.9
    accepted               2,600/s, of which most is this client: 48 us of processor time each
    closed                 17,000/s; 38 us of processor time each
    threads                none
    a call elsewhere       196 us before, 199 us beside the 10,000

It was 5.8 KB, half of which was four empty deques of 760 bytes. Two are gone: the list of callers
that wait for room, and the buffer of a message that is only made when the connection
is closed. The rest of a call is the last request written, which the WriteQueue keeps. The kernel's
buffers are not in these figures.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest, EchoResponse
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest

CALLS = 2000
BODY = EchoRequest(message="hello").SerializeToString()
FRAME = bytes(BAIDU_STD.pack_request(RpcRequest(1, SERVICE.full_name, "Echo", BODY)))
FRAMES = 1
LINES = 30


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    style = sys.argv[2] if len(sys.argv) > 2 else "plain"
    raise_descriptor_limit()
    with ServerProcess(style) as server, pybrpc.Channel(server.address, timeout=30) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        say(f"a call alone: {median_us(stub):.0f} us")
        before, threads = server.memory_bytes(), server.ask("threads")
        started_at = time.monotonic()
        connections = [connect(server.address) for _ in range(count)]
        server.wait_for("connections", count + 1)
        rate = count / (time.monotonic() - started_at)
        say(f"{rate:,.0f} connections accepted a second")
        say(f"{(server.memory_bytes() - before) / count:,.0f} bytes of the server for each")
        say(f"threads: {threads} before, {server.ask('threads')} with them")
        server.ask("types")
        say(f"a call beside them: {median_us(stub):.0f} us")
        for sock in connections:
            call(sock)
        say(f"{(server.memory_bytes() - before) / count:,.0f} bytes once each has made a call")
        started_at = time.monotonic()
        for sock in connections:
            sock.close()
        server.wait_for("connections", 1)
        say(f"{count / (time.monotonic() - started_at):,.0f} closed a second")
        say(f"a call after them: {median_us(stub):.0f} us")


class ServerProcess:
    """The server, which is asked by lines."""

    def __init__(self, style: str) -> None:
        command = [sys.executable, "-c", f"from {__spec__.name} import serve; serve({style!r})"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = f"127.0.0.1:{self._read()}"

    def ask(self, what: str) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return self._read()

    def wait_for(self, what: str, wanted: int) -> None:
        while self.ask(what) != wanted:
            time.sleep(0.005)

    def memory_bytes(self) -> int:
        """Resident."""
        with open(f"/proc/{self._process.pid}/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def _read(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate()


def serve(style: str) -> None:
    """Run the server; the work of its process."""
    raise_descriptor_limit()
    if style == "types":
        tracemalloc.start(FRAMES)
    server = pybrpc.Server()
    server.add_service(SERVICE, AsyncEcho() if style == "async" else Echo())
    if style == "async":
        asyncio.run(serve_in_loop(server))
    else:
        with server:
            say(server.start("127.0.0.1:0").port)
            answer_questions(server)


async def serve_in_loop(server: pybrpc.Server) -> None:
    async with server:
        say(server.start("127.0.0.1:0").port)
        await asyncio.to_thread(answer_questions, server)


def answer_questions(server: pybrpc.Server) -> None:
    questions: dict[str, Callable[[], int]] = {
        "connections": lambda: server.statistics().connections,
        "threads": lambda: len(os.listdir("/proc/self/task")) - server.statistics().workers,
        "types": show_types,
    }
    for line in sys.stdin:
        say(questions[line.strip()]())


def show_types() -> int:
    """Print where most of what is allocated now was, if that was traced."""
    if tracemalloc.is_tracing():
        gc.collect()
        for line in tracemalloc.take_snapshot().statistics("lineno")[:LINES]:
            print(line, file=sys.stderr)
    return 0


class Echo:
    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return EchoResponse(message=request.message)


class AsyncEcho:
    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return EchoResponse(message=request.message)


def raise_descriptor_limit() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)))


def call(sock: socket.socket) -> None:
    """One call without a channel, of which there would have to be as many."""
    sock.sendall(FRAME)
    assert sock.recv(4096).startswith(b"PRPC")


def median_us(stub: Any) -> float:
    took_s = []
    for _ in range(CALLS):
        started_at = time.perf_counter()
        stub.Echo(EchoRequest(message="hello"))
        took_s.append(time.perf_counter() - started_at)
    return statistics.median(took_s) * 1e6


def say(what: object) -> None:
    print(what, flush=True)


if __name__ == "__main__":
    main()
