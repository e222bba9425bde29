"""Peer: a library in the bench, as a server that echoes and clients of three kinds.

A peer is a file: it has the server and the client as that library's documentation would write
them. Server and client run in processes of their own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol

from bench.figures import Figures

Call = Callable[[Any, int], Any]
"""`call(payload, sleep_us)`: send it, wait for the echo, return its bytes. `sleep_us`: how long the
server shall sleep first. A server answers with what its own `Call` returns."""
AioCall = Callable[[Any, int], Awaitable[Any]]

OnReady = Callable[[int], None]
"""Told the port of a server that now listens on 127.0.0.1."""
WaitForEnd = Callable[[], object]
"""Blocks until the server shall stop."""
OnAnswer = Callable[[BaseException | None], None]
"""Told once, in any thread, that a call has ended: how it failed, or `None`."""


class Client(Protocol):
    def statistics(self) -> Figures:
        """Figures that the library itself has about the connection; may be empty."""


class SyncClient(Client, Protocol):
    def caller(self) -> Call:
        """For one thread: over the connection of all, or over one of its own."""


class CallbackClient(Client, Protocol):
    def start(self, payload: bytes, on_answer: OnAnswer) -> None:
        """Start a call; doesn't block."""


class AioClient(Client, Protocol):
    @property
    def call(self) -> AioCall: ...


class SyncPeer(Protocol):
    def serve(self, answer: Call, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        """Serve until `wait_for_end` returns."""

    def client(self, port: int) -> AbstractContextManager[SyncClient]: ...


class CallbackPeer(Protocol):
    def client(self, port: int) -> AbstractContextManager[CallbackClient]: ...


class AioPeer(Protocol):
    async def serve(self, answer: AioCall, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        """Serve in the running loop until `wait_for_end`, called in a thread, returns."""

    def client(self, port: int) -> AbstractAsyncContextManager[AioClient]: ...


class NoStatistics:
    """For a library that tells nothing."""

    def statistics(self) -> Figures:
        return {}
