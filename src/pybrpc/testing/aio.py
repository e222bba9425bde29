"""channel_for, for asyncio."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Unpack, overload

from google.protobuf.descriptor import ServiceDescriptor

from pybrpc.base.endpoint import Endpoint
from pybrpc.client.channel.aio_channel import AioChannel
from pybrpc.client.channel.options import ChannelOptions
from pybrpc.server import Server
from pybrpc.testing.in_memory import PATIENCE_S, Served, ServedAlone, begin_end, server_of

if TYPE_CHECKING:
    from pybrpc.server.settings import ServerOptions

__all__ = ["InMemoryChannel", "channel_for"]


def __dir__() -> list[str]:
    return __all__


_numbers = itertools.count(1)


class InMemoryChannel(AioChannel):
    """A `pybrpc.aio.Channel` to a server in this process, which runs within the `async with`. Made
    by `channel_for`.

    server   the `pybrpc.Server`: `server.statistics()`, `server.stop()`
    """

    def __init__(
        self, server: Server, *, share_with_threads: bool = False, **options: Unpack[ChannelOptions]
    ) -> None:
        self._owns_server = not server.is_running
        self._where = Endpoint.in_memory(f"aio-{next(_numbers)}")
        where = self._where if self._owns_server else server.endpoint
        super().__init__(where, share_with_threads=share_with_threads, **options)
        self.server = server

    async def close(self) -> None:
        """Close the channel, then stop its server, unless that ran before. Nobody waits for a
        response any more: async handlers are cancelled after a moment."""
        try:
            await super().close()
        finally:
            if self._owns_server:
                await self._end_server()

    async def _end_server(self) -> None:
        begin_end(self.server)
        try:
            await asyncio.wait_for(self.server.wait_stopped(), PATIENCE_S)
        except BaseException as error:
            self.server.stop(0.0)
            if not isinstance(error, TimeoutError):
                raise  # the test is cancelled
        finally:
            await self.server.__aexit__(None, None, None)

    async def __aenter__(self) -> InMemoryChannel:
        if self._owns_server:
            await self.server.__aenter__()
            await self.server.start_async(self._where)
        return self


@overload
def channel_for(
    served: ServedAlone,
    *,
    server_options: ServerOptions | None = None,
    share_with_threads: bool = False,
    **options: Unpack[ChannelOptions],
) -> InMemoryChannel: ...


@overload
def channel_for(
    served: ServiceDescriptor,
    impl: object,
    *,
    server_options: ServerOptions | None = None,
    share_with_threads: bool = False,
    **options: Unpack[ChannelOptions],
) -> InMemoryChannel: ...


def channel_for(
    served: Served,
    impl: object = None,
    *,
    server_options: ServerOptions | None = None,
    share_with_threads: bool = False,
    **options: Unpack[ChannelOptions],
) -> InMemoryChannel:
    """As `pybrpc.testing.channel_for`, for `async with`: a `pybrpc.aio.Channel`.

        async with channel_for(EchoService()) as channel:
            reply = await EchoServiceAioStub(channel).Echo(EchoRequest(message="hi"))

    `served`, `impl` and `server_options` are those of `pybrpc.testing.channel_for`,
    `share_with_threads` and the others those of `pybrpc.aio.Channel`.

    The server starts with the `async with`, bound to the running loop: that polls both ends of each
    connection, and runs the async handlers; plain ones run in worker threads. Before it, calls fail
    with ECONNREFUSED.
    """
    server = server_of(served, impl, server_options)
    return InMemoryChannel(server, share_with_threads=share_with_threads, **options)
