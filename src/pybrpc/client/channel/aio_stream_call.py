"""AioStreamCall: a call that opens streams, for asyncio."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from pybrpc.client.calls.aio_calls import new_aio_call
from pybrpc.client.channel.stream_call import Resp, StreamCallBase, as_rpc_error
from pybrpc.streams.aio_stream import AioStream
from pybrpc.streams.opening import StreamBody
from pybrpc.streams.stream import CLOSE_TIMEOUT_S


class AioStreamCall(StreamCallBase[Resp]):
    """A call that opens streams: `async with stub.Chat.stream(request) as call:`. As StreamCall."""

    __slots__ = ()

    _is_async = True

    @property
    def stream(self) -> AioStream:
        """The first stream."""
        stream: AioStream = self._all()[0]
        return stream

    @property
    def streams(self) -> list[AioStream]:
        """All streams."""
        return self._all()

    async def open(self) -> Self:
        """Make the call, and wait for the answer. Raises its RpcError."""
        opening = self._opening()
        binding = self._channel.binding()
        try:
            call = new_aio_call(
                binding,
                self._method,
                self._request,
                self._timeout_s(),
                self._call_options(),
                self.controller,
            )
            call.body = StreamBody(call.body, opening)
            response = await call.begin(binding, self._channel)
        except BaseException as error:
            opening.fail(as_rpc_error(error))
            raise
        self._opened(opening, response, binding.crosses_threads)
        return self

    async def close(self, timeout: float | None = CLOSE_TIMEOUT_S) -> None:
        """Close all streams, as `Stream.close`."""
        raised: BaseException | None = None
        for stream in self._all():
            try:
                await stream.close(timeout)
            except BaseException as error:
                raised = raised or error
        if raised is not None:
            raise raised

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.close()
        else:
            self.reset()
