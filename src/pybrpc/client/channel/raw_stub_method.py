"""RawStubMethod and AioRawStubMethod: a method of a channel that is called with bytes."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pybrpc.client.channel.options import CHANNEL_TIMEOUT, Timeout

if TYPE_CHECKING:
    import asyncio

    from pybrpc.client.channel.aio_stub_method import AioStubMethod
    from pybrpc.client.channel.stub import StubMethod
    from pybrpc.errors import RpcError
    from pybrpc.rpc.controller import Controller
    from pybrpc.rpc.raw_body import RawBody

RawDone = Callable[["bytes | None", "RpcError | None"], None]


class RawStubMethod:
    """A method on a Channel, by its name: call it, or use `.future` or `.with_callback`.

    Everything is as for a method of a Stub, but for the bodies: the request is bytes, or an IOBuf,
    and is sent as it is; the response is the bytes that the server has sent.
    """

    __slots__ = ("_method",)

    def __init__(self, method: StubMethod) -> None:
        self._method: Any = method

    def __call__(
        self,
        body: RawBody,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> bytes:
        """Call and wait. Returns the body of the response or raises an RpcError."""
        response: bytes = self._method(body, timeout=timeout, controller=controller)
        return response

    def future(
        self,
        body: RawBody,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> concurrent.futures.Future[bytes]:
        """Start a call. Never blocks. The future gives the body or raises the RpcError."""
        future: concurrent.futures.Future[bytes] = self._method.future(
            body, timeout=timeout, controller=controller
        )
        return future

    def with_callback(
        self,
        body: RawBody,
        done: RawDone,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> None:
        """Start a call. Never blocks. Ends with `done(body, None)` or `done(None, error)`."""
        self._method.with_callback(body, done, timeout=timeout, controller=controller)

    def __repr__(self) -> str:
        return f"<RawStubMethod over {self._method!r}>"


class AioRawStubMethod:
    """A method on an AioChannel, by its name, awaited: `await method(b"...")`."""

    __slots__ = ("_method",)

    def __init__(self, method: AioStubMethod) -> None:
        self._method: Any = method

    def __call__(
        self,
        body: RawBody,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> asyncio.Future[bytes]:
        """Start a call; awaiting the future gives the body of the response or raises an
        RpcError."""
        future: asyncio.Future[bytes] = self._method(body, timeout=timeout, controller=controller)
        return future

    def __repr__(self) -> str:
        return f"<AioRawStubMethod over {self._method!r}>"
