"""AioInterceptedStreamCall: a call that opens streams, with interceptors around it. For asyncio."""

from __future__ import annotations

from typing import Any, Self

from pybrpc.client.channel.aio_stream_call import AioStreamCall
from pybrpc.client.channel.intercepted.intercepted_stream_call import (
    check_is_open,
    intercepted_call_of,
)
from pybrpc.rpc.interceptors.chain import LoopChain


class AioInterceptedStreamCall(AioStreamCall):
    """An AioStreamCall of a channel with interceptors, which run in `open`."""

    __slots__ = ("_chain",)

    _chain: LoopChain

    async def open(self) -> Self:
        """As `AioStreamCall.open`; as `InterceptedStreamCall.open`."""

        async def last(request: Any) -> Any:
            self._request = request
            return (await AioStreamCall.open(self)).response

        try:
            response = await self._chain.run(intercepted_call_of(self), last)
            check_is_open(self)
        except BaseException:
            self.reset()
            raise
        self.response = response
        return self
