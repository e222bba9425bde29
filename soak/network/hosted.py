"""The two processes of a run, each on its host. They read lines, and end when these end.

python -m soak.network.hosted serve IP CERT KEY   prints its addresses, by name; after each line
                                                  what was run since the last one, and how many
                                                  connections are left
python -m soak.network.hosted call CA             reads a Cell, calls until the next line, prints
                                                  what became of the calls
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import json
import sys
import threading
import time
from collections import Counter
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest
from soak.echo_services import AsyncEcho, PlainEcho
from soak.network.callers import TaskCallers, ThreadCallers
from soak.network.load import LOADS, CallBook
from soak.network.stream_callers import STREAM, StreamTaskCallers, StreamThreadCallers

WATCHFUL = pybrpc.SocketOptions(
    keepalive_idle_s=1, keepalive_interval_s=1, keepalive_count=2, tcp_user_timeout_ms=1500
)
"""A peer that vanishes is detected after 1.5 s, or 2 s if nothing was sent to it."""
SETTLE_S = 15.0
CONNECT_TIMEOUT_S = 1.5
"""Enough for a second SYN, which Linux sends after a second."""
FORMS = ("threads", "asyncio", "uvloop")


class Executions:
    """How often each call was run by a handler. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: Counter[str] = Counter()

    def note(self, name: str) -> None:
        with self._lock:
            self._times[name] += 1

    def take(self) -> dict[str, int]:
        with self._lock:
            times, self._times = self._times, Counter()
            return dict(times)


class NotedPlain(PlainEcho):
    def __init__(self, executions: Executions) -> None:
        self._executions = executions

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        self._executions.note(request.message)
        if request.message.startswith(STREAM):
            controller.accept_stream(body=self._echo_all)
        return super().Echo(request, controller)

    def _echo_all(self, stream: Any) -> None:
        for message in stream:
            self._executions.note(EchoRequest.FromString(message).message)
            stream.send(message)


class NotedAsync(AsyncEcho):
    def __init__(self, executions: Executions) -> None:
        self._executions = executions

    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        self._executions.note(request.message)
        if request.message.startswith(STREAM):
            controller.accept_stream(body=self._echo_all)
        return await super().Echo(request, controller)

    async def _echo_all(self, stream: Any) -> None:
        async for message in stream:
            self._executions.note(EchoRequest.FromString(message).message)
            await stream.send(message)


def serve(ip: str, cert: str, key: str) -> None:
    executions = Executions()
    servers, addresses = [], {}
    for security in ("plain", "TLS"):
        tls = pybrpc.ServerTls(cert=cert, key=key) if security == "TLS" else None
        for kind in (NotedPlain, NotedAsync):
            server = pybrpc.Server(tls=tls, options=WATCHFUL)
            server.add_service(SERVICE, kind(executions))
            name = "threads" if kind is NotedPlain else "tasks"
            addresses[f"{security} {name}"] = str(server.start(f"{ip}:0"))
            servers.append(server)
    _say(addresses)
    for _ in sys.stdin:
        seconds, left = _settled(servers)
        _say({"executed": executions.take(), "left": left, "seconds": seconds})
    for server in servers:
        server.stop(0)
        server.join(SETTLE_S)


def _settled(servers: list[pybrpc.Server]) -> tuple[float, int]:
    """After how long there is no connection any more; and how many there are, after SETTLE_S."""
    start = time.monotonic()
    while True:
        left = sum(server.statistics().connections for server in servers)
        passed_s = time.monotonic() - start
        if not left or passed_s > SETTLE_S:
            return passed_s, left
        time.sleep(0.01)


def call(ca: str) -> None:
    for line in sys.stdin:
        cell, book, stop = json.loads(line), CallBook(), threading.Event()
        options = {
            "options": WATCHFUL,
            "connect_timeout": CONNECT_TIMEOUT_S,
            "tls": pybrpc.ClientTls(ca=ca) if cell["security"] == "TLS" else None,
        }
        callers = _callers(cell["form"], cell["load"], book, stop, str(cell["seed"]))
        thread = threading.Thread(target=callers.run, args=(cell["address"],), kwargs=options)
        thread.start()
        _say({"begun": True, "impl": pybrpc.__impl__})
        sys.stdin.readline()
        stop.set()
        thread.join()
        totals = dataclasses.asdict(book.ledger.totals())
        _say({"totals": totals, "attempts": book.attempts, "answered": book.answered})


def _callers(form: str, load: str, book: CallBook, stop: Any, seed: str) -> ThreadCallers:
    over_streams = LOADS[load].over_streams
    if form == "threads":
        threads = StreamThreadCallers if over_streams else ThreadCallers
        return threads(LOADS[load], book, stop, seed)
    factory = asyncio.new_event_loop
    if form == "uvloop":
        factory = importlib.import_module("uvloop").new_event_loop
    tasks = StreamTaskCallers if over_streams else TaskCallers
    return tasks(LOADS[load], book, stop, seed, factory)


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(*sys.argv[2:])
    else:
        call(*sys.argv[2:])
