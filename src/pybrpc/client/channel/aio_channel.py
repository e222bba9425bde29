"""AioChannel: for asyncio. The same stubs, awaited."""

from __future__ import annotations

import asyncio
from typing import Unpack

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.named_options import shows_options
from pybrpc.client.calls.aio_calls import LoopBinding
from pybrpc.client.channel.base import ChannelBase, Lease, statistics_of
from pybrpc.client.channel.options import CHANNEL_DEFAULTS, ChannelOptions
from pybrpc.client.channel.stub import AioStubMethod
from pybrpc.client.connections.connection import ConnectionStatistics
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.rpc.method import Method


class AioChannel(ChannelBase):
    """`pybrpc.aio.Channel`: calls from any number of tasks over one connection.

    The running loop polls the connection: no thread, no hop. The channel may be made outside a
    loop and used in several, each of which has its own connection. With `share_with_threads` the
    calls go over the connection that the threads of the process use (`pybrpc.Channel`), polled by
    the dispatcher thread: one TCP connection for all, for one hop per batch of responses.

    The other options are those of `pybrpc.Channel`.
    """

    @shows_options(ChannelOptions, CHANNEL_DEFAULTS)
    def __init__(
        self,
        address: str | Endpoint,
        *,
        share_with_threads: bool = False,
        **options: Unpack[ChannelOptions],
    ) -> None:
        super().__init__(address, **options)
        self.share_with_threads = share_with_threads
        self.open_binding: LoopBinding | None = None
        """The binding of the loop used last; `None` before the first call and once closed."""
        self._last: Lease | None = None
        self._bindings: dict[asyncio.AbstractEventLoop, tuple[LoopBinding, Lease]] = {}

    def binding(self) -> LoopBinding:
        """The connections of this channel in the running loop."""
        loop = asyncio.get_running_loop()
        if self._is_closed:
            raise self._closed_error()
        if loop not in self._bindings:
            lease = self._share(None if self.share_with_threads else loop)
            binding = LoopBinding(loop, lease.source, self.share_with_threads)
            self._bindings[loop] = binding, lease
            self._release_closed_loops()
        self.open_binding, self._last = self._bindings[loop]
        if self._is_closed:
            self.open_binding = None
            raise self._closed_error()
        return self._bindings[loop][0]

    def _release_closed_loops(self) -> None:
        """A loop does not report that it closes. Its connections are released when the channel is
        used in the next loop."""
        for loop in list(self._bindings):
            if loop.is_closed():
                _, lease = self._bindings.pop(loop, (None, None))
                if lease is not None:
                    self._end_lease(lease)

    def make_method(self, method: Method) -> AioStubMethod:
        return AioStubMethod(self, self.method_as_sent(method))

    @property
    def _used_source(self) -> SourceBase | None:
        return self._last.source if self._last is not None else None

    def statistics(self) -> ConnectionStatistics | None:
        """Counts of the connection in the loop used last; `None` before the first call."""
        return statistics_of(self._used_source)

    async def close(self) -> None:
        """Release the connections; the last channel that shares one closes it."""
        self._release()
        self.open_binding = None
        await asyncio.sleep(0)  # the descriptor is closed in the loop's next turn

    async def __aenter__(self) -> AioChannel:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()
