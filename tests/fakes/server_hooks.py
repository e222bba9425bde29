"""Functions for on_startup and on_shutdown that note their calls, and services beside them."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Callable
from typing import Any

import pybrpc
from tests.protos import conformance_pb2 as pb

ANYWHERE = "127.0.0.1:0"
WAIT_S = 30.0
value: contextvars.ContextVar[str] = contextvars.ContextVar("value", default="")


class Service:
    """Answers the context variable and where it runs; as an async handler or a plain one."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        self._log.note("handler")
        return pb.EchoResponse(message=value.get())

    Stream = Echo


class AsyncService(Service):
    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:  # type: ignore[override]
        return super().Echo(request, controller)

    Stream = Echo


class Log:
    """The names of what was called, in order, and the thread of each."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.threads: dict[str, threading.Thread] = {}

    def note(self, name: str) -> None:
        self.entries.append(name)
        self.threads[name] = threading.current_thread()

    def plain(self, name: str) -> Callable[[], None]:
        return functools.partial(self.note, name)

    def awaited(self, name: str) -> Callable[[], Any]:
        async def function() -> None:
            await asyncio.sleep(0)
            self.note(name)

        return function


def stop(server: pybrpc.Server, grace: float | None = 5.0) -> None:
    """Stop the server, and wait until it has."""
    server.stop(grace)
    assert server.join(WAIT_S)
