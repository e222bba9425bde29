"""Peers of the measures of streams: a server of two services, and a client that opens streams.

ECHO    every message comes back
SOURCE  the server sends the payload that the client has named, over and over
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, NamedTuple, Protocol

from bench.peers.peer import Client, OnReady, WaitForEnd

ECHO, SOURCE = "echo", "source"
TOGETHER = 128
"""Messages that are sent or taken at once where a library can; the default of bRPC."""
WINDOW_BYTES = 64 * 1024
"""The window of streams that echo, where a library has one to set. The windows of HTTP/2 begin with
that, too. With 2 MiB, the default of bRPC, 64 streams of small messages would fill up for seconds.
"""


class AioStream(NamedTuple):
    """An open stream, as its library offers it: nothing is put around its functions.

    send      sends a message; if `together` is not 0, a list of so many
    messages  gives a message at a time; else lists of up to so many
    receive   waits for one message
    """

    send: Callable[[Any], Awaitable[object]]
    messages: AsyncIterable[Any]
    receive: Callable[[], Awaitable[Any]]
    together: int = 0


class SyncStream(NamedTuple):
    """As AioStream, for threads.

    end  ends the stream, so that whatever waits for it raises
    """

    send: Callable[[Any], object]
    messages: Iterator[Any]
    receive: Callable[[], Any]
    end: Callable[[], object]
    together: int = 0


class StreamClient(Client, Protocol):
    def open(self, service: str, payload: bytes) -> AbstractContextManager[SyncStream]:
        """Open a stream. `payload`: for SOURCE."""


class AioStreamClient(Client, Protocol):
    def open(self, service: str, payload: bytes) -> AbstractAsyncContextManager[AioStream]: ...


class StreamPeer(Protocol):
    def serve(self, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        """Serve both services until `wait_for_end` returns."""

    def client(self, port: int) -> AbstractContextManager[StreamClient]: ...


class AioStreamPeer(Protocol):
    async def serve(self, on_ready: OnReady, wait_for_end: WaitForEnd) -> None: ...

    def client(self, port: int) -> AbstractAsyncContextManager[AioStreamClient]: ...
