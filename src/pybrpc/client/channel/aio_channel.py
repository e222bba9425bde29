"""Channel: for asyncio. The same stubs, awaited."""

from __future__ import annotations

import asyncio
from typing import Unpack

from pybrpc.base.endpoint import Endpoint
from pybrpc.client.calls.aio_calls import LoopBinding
from pybrpc.client.channel.base import (
    ChannelBase,
    ChannelOptions,
    statistics_of,
)
from pybrpc.client.channel.stub import AioStubMethod
from pybrpc.client.connections.connection import ConnectionStatistics
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.rpc.method import Method


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
        share_with_threads: bool = False,
        **options: Unpack[ChannelOptions],
    ) -> None:
        super().__init__(address, **options)
        self.share_with_threads = share_with_threads
        self.open_side: LoopBinding | None = None
        """What it has in the loop used last; `None` before the first call and once closed."""
        self._last: LoopBinding | None = None
        self._sides: dict[asyncio.AbstractEventLoop, LoopBinding] = {}

    def side(self) -> LoopBinding:
        """What this channel has in the running loop."""
        loop = asyncio.get_running_loop()
        if self._is_closed:
            raise self._closed_error()
        side = self._sides.get(loop)
        if side is None:
            lease = self._share(None if self.share_with_threads else loop)
            side = self._sides[loop] = LoopBinding(loop, lease, self.share_with_threads)
            self._give_back_closed_loops()
        self._last = self.open_side = side
        if self._is_closed:
            self.open_side = None
            raise self._closed_error()
        return side

    def _give_back_closed_loops(self) -> None:
        """A loop that closes tells nobody; what it had is given back when the next one comes."""
        for loop in list(self._sides):
            if loop.is_closed():
                side = self._sides.pop(loop, None)
                if side is not None:
                    self._give_back(side.lease)

    def make_method(self, method: Method) -> AioStubMethod:
        return AioStubMethod(self, self.method_as_sent(method))

    @property
    def _used_source(self) -> SourceBase | None:
        return self._last.source if self._last is not None else None

    def statistics(self) -> ConnectionStatistics | None:
        """What the connection of the loop used last has done; `None` before the first call."""
        return statistics_of(self._used_source)

    async def close(self) -> None:
        """Give the connections back; the last one who shares one closes it."""
        self._release()
        self.open_side = None
        await asyncio.sleep(0)  # the descriptor is closed in the loop's next turn

    async def __aenter__(self) -> AioChannel:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()
