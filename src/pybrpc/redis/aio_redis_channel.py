"""AioRedisChannel: Redis for asyncio."""

from __future__ import annotations

import asyncio
from typing import Any, Self, Unpack, cast

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.named_options import shows_options
from pybrpc.client.channel.aio_channel import AioChannel
from pybrpc.client.channel.aio_stub_method import AioStubMethod
from pybrpc.client.channel.options import CHANNEL_TIMEOUT, Timeout
from pybrpc.client.connections.connection_factory import ConnectionFactory
from pybrpc.protocols.redis import Argument, Reply
from pybrpc.redis.redis_messages import RedisMethod, RedisRequest, RedisResponse
from pybrpc.redis.redis_options import REDIS_DEFAULTS, RedisOptions, RedisSettings


class AioRedisChannel(AioChannel):
    """`pybrpc.redis.aio.RedisChannel`: commands from any number of tasks, over one connection.

    The options are those of `pybrpc.redis.RedisChannel`; `share_with_threads` as in
    `pybrpc.aio.Channel`.
    """

    _public_name = "pybrpc.redis.aio.RedisChannel"
    _other_name = "pybrpc.redis.RedisChannel"
    _not_offered = frozenset({"http", "raw_method"})

    @shows_options(RedisOptions, REDIS_DEFAULTS, "pybrpc.redis.aio.RedisChannel")
    def __init__(
        self,
        address: str | Endpoint,
        *,
        share_with_threads: bool = False,
        **options: Unpack[RedisOptions],
    ) -> None:
        self._settings = RedisSettings.of(options)
        endpoint = Endpoint.parse(address)
        super().__init__(endpoint, share_with_threads=share_with_threads, **self._settings.channel)
        method: Any = RedisMethod(self._settings.decode)
        self._method: Any = AioStubMethod(self, method)

    async def execute(self, *command: Argument, timeout: Timeout = CHANNEL_TIMEOUT) -> Reply:
        """Send one command and await its reply: `await channel.execute("GET", "key")`.

        Returns the reply. Raises it if it is a RedisError; an RpcError if there is none.
        """
        return (await self.call(RedisRequest().add(*command), timeout=timeout)).only()

    def call(
        self, request: RedisRequest, *, timeout: Timeout = CHANNEL_TIMEOUT
    ) -> asyncio.Future[RedisResponse]:
        """Send the commands, which are on their way when this returns; await the RedisResponse.

        RedisErrors are among its replies. Awaiting may raise an RpcError.
        """
        return cast(asyncio.Future[RedisResponse], self._method(request, timeout=timeout))

    async def __aenter__(self) -> Self:
        return self

    def make_method(self, method: Any) -> AioStubMethod:
        """TypeError: Redis has no methods."""
        raise TypeError(f"{self!r} speaks Redis; make a pybrpc.aio.Channel for a Stub")

    def _connection_factory(self, loop: asyncio.AbstractEventLoop | None) -> ConnectionFactory:
        return self._settings.connection_factory(super()._connection_factory(loop))
