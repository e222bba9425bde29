"""Channel: for asyncio. The same stubs, awaited."""

from __future__ import annotations

import asyncio
import weakref
from types import TracebackType

from google.protobuf.message import Message

from pybrpc.base.deadline import checked_timeout_s
from pybrpc.base.endpoint import Endpoint
from pybrpc.client.aio_forms import AioCall, AioFuture, LoopMailbox
from pybrpc.client.channel import DEFAULT_TIMEOUT_S, ChannelBase, Shared, statistics_of
from pybrpc.client.connection import ConnectionStatistics
from pybrpc.client.retry import DEFAULT_MAX_RETRY
from pybrpc.client.sync_channel import CHANNEL_TIMEOUT, Timeout
from pybrpc.errors import ChannelClosedError
from pybrpc.protocols.protocol import DEFAULT_MAX_BODY_SIZE
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.method import Method
from pybrpc.transport.socket import DEFAULT_CONNECT_TIMEOUT_S
from pybrpc.transport.socket_options import SocketOptions


class _LoopSide:
    """What a channel has in one loop."""

    __slots__ = ("loop", "mailbox", "shared")

    def __init__(self, loop: asyncio.AbstractEventLoop, shared: Shared) -> None:
        self.loop = loop
        self.shared = shared
        self.mailbox = LoopMailbox(loop)


class AioChannel(ChannelBase):
    """`pybrpc.aio.Channel`: calls from any number of tasks over one connection.

    The running loop drives the connection: no thread, no hop. The channel may be made outside a
    loop and used in several, each of which has its own connection. With `share_with_threads` the
    calls go over the connection that the threads of the process use (`pybrpc.Channel`), driven by
    the dispatcher thread: one TCP connection for all, for one hop per batch of answers.

    The other options are those of `pybrpc.Channel`.
    """

    def __init__(
        self,
        address: str | Endpoint,
        *,
        timeout: float | None = DEFAULT_TIMEOUT_S,
        connect_timeout: float | None = DEFAULT_CONNECT_TIMEOUT_S,
        max_retry: int = DEFAULT_MAX_RETRY,
        max_body_size: int = DEFAULT_MAX_BODY_SIZE,
        options: SocketOptions | None = None,
        share_with_threads: bool = False,
    ) -> None:
        super().__init__(
            address,
            timeout=timeout,
            connect_timeout=connect_timeout,
            max_retry=max_retry,
            max_body_size=max_body_size,
            options=options,
        )
        self.share_with_threads = share_with_threads
        self._last: _LoopSide | None = None
        self._sides: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopSide] = (
            weakref.WeakKeyDictionary()
        )

    def side(self) -> _LoopSide:
        """What this channel has in the running loop."""
        side = self._last
        if side is not None and side.loop is asyncio._get_running_loop() and not self._is_closed:
            return side
        return self._side_of(asyncio.get_running_loop())

    def _side_of(self, loop: asyncio.AbstractEventLoop) -> _LoopSide:
        if self._is_closed:
            raise ChannelClosedError(f"{self!r} was closed; make a new channel")
        side = self._sides.get(loop)
        if side is None:
            shared = self._share(None if self.share_with_threads else loop)
            side = self._sides.setdefault(loop, _LoopSide(loop, shared))
        self._last = side
        return side

    def make_method(self, method: Method) -> AioStubMethod:
        return AioStubMethod(self, method)

    def statistics(self) -> ConnectionStatistics | None:
        """What the connection of the loop used last has done; `None` before the first call."""
        return statistics_of(self._last.shared if self._last is not None else None)

    async def close(self) -> None:
        """Give the connections back; the last one who shares one closes it."""
        self._release()
        await asyncio.sleep(0)  # the descriptor is closed in the loop's next turn

    async def __aenter__(self) -> AioChannel:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class AioStubMethod:
    """One method of a stub on an AioChannel: `await stub.Echo(request)`."""

    __slots__ = ("_channel", "method")

    def __init__(self, channel: AioChannel, method: Method) -> None:
        self._channel = channel
        self.method = method

    def __call__(
        self,
        request: Message,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> AioFuture:
        """Start a call; awaiting what it gives yields the response or raises an RpcError.

        The request is on its way when this returns. Cancelling the future, or the task that awaits
        it, ends the call.
        """
        channel = self._channel
        side = channel.side()
        timeout_s = channel.timeout_s
        if timeout is not CHANNEL_TIMEOUT:
            timeout_s = checked_timeout_s(timeout)  # type: ignore[arg-type]
        call = AioCall(side.shared, self.method, request, timeout_s, channel.max_retry, controller)
        return call.begin(side.loop, side.mailbox)

    def __repr__(self) -> str:
        return f"<AioStubMethod {self.method.full_name} on {self._channel!r}>"
