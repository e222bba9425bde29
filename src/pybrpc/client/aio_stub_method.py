"""AioStubMethod: one method of a stub of an AioChannel."""

from __future__ import annotations

from asyncio import _get_running_loop
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from pybrpc.client.aio_forms import AioCall, AioCallOfThreads, AioFuture
from pybrpc.client.channel import CHANNEL_TIMEOUT, Timeout
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.method import Method

if TYPE_CHECKING:
    from pybrpc.client.aio_channel import AioChannel


class AioStubMethod:
    """Call it: `await stub.Echo(request)`."""

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
        return self._begin(request, timeout, controller)

    def _begin(
        self, request: Message, timeout: Timeout, controller: Controller | None
    ) -> AioFuture:
        channel = self._channel
        side = channel.open_side
        if side is None or side.loop is not _get_running_loop():
            side = channel.side()
        timeout_s = channel.timeout_s
        if timeout is not CHANNEL_TIMEOUT:
            timeout_s = channel.timeout_of_call(timeout)
        call: AioCall
        if side.is_foreign:
            call = AioCallOfThreads.__new__(AioCallOfThreads)
        else:
            call = AioCall.__new__(AioCall)
        call.prepare(side.source, self.method, request, timeout_s, channel.call_options, controller)
        return call.begin(side, channel)

    def __repr__(self) -> str:
        return f"<AioStubMethod {self.method.full_name} on {self._channel!r}>"
