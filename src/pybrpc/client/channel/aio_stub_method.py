"""AioStubMethod: one method of a stub on a channel for asyncio."""

from __future__ import annotations

from asyncio import _get_running_loop
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from pybrpc.client.calls.aio_calls import AioFuture, new_aio_call
from pybrpc.client.channel.aio_stream_call import AioStreamCall
from pybrpc.client.channel.interfaces import LoopsChannel
from pybrpc.client.channel.options import CHANNEL_TIMEOUT, Timeout
from pybrpc.client.channel.stub import timeout_s_of
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.misnamed import Misnamed, without_misnamed
from pybrpc.rpc.stream_options import StreamOptions

if TYPE_CHECKING:
    from pybrpc.client.calls.aio_calls import LoopBinding
    from pybrpc.client.calls.call_options import CalledMethod


class AioStubMethod:
    """One method of a stub on an AioChannel, awaited: `await stub.Echo(request)`."""

    __slots__ = ("_channel", "method")

    def __init__(self, channel: LoopsChannel, method: CalledMethod) -> None:
        self._channel = channel
        self.method = method

    def __call__(
        self,
        request: Message,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> AioFuture:
        """Start a call; awaiting the future gives the response or raises an RpcError.

        The request is on its way when this returns. Cancelling the future, or the task that awaits
        it, ends the call.
        """
        channel = self._channel
        binding, timeout_s = _binding(channel), timeout_s_of(channel, timeout, controller)
        call = new_aio_call(
            binding, self.method, request, timeout_s, channel.call_options, controller
        )
        return call.begin(binding, channel)

    def stream(
        self,
        request: Message,
        *,
        streams: int = 1,
        options: StreamOptions | None = None,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> AioStreamCall:
        """A call that opens `streams` streams, for `async with`, as `StubMethod.stream`."""
        return AioStreamCall(
            self._channel, self.method, request, streams, options, timeout, controller
        )

    if not TYPE_CHECKING:  # type checkers refuse them as names that don't exist
        future = Misnamed("what the call returns is a future: await it, or keep it")
        with_callback = Misnamed("await the call, or add a done callback to the future it returns")

    def __dir__(self) -> list[str]:
        return without_misnamed(type(self), list(object.__dir__(self)))

    def __repr__(self) -> str:
        return f"<AioStubMethod {self.method.full_name} on {self._channel!r}>"


def _binding(channel: LoopsChannel) -> LoopBinding:
    binding = channel.open_binding
    if binding is None or binding.loop is not _get_running_loop():
        binding = channel.binding()
    return binding
