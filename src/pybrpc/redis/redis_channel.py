"""RedisChannel: Redis for threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Self, Unpack, cast

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.named_options import shows_options
from pybrpc.client.channel.channel import Channel
from pybrpc.client.channel.options import CHANNEL_TIMEOUT, Timeout
from pybrpc.client.channel.stub import StubMethod
from pybrpc.client.connections.connection_factory import ConnectionFactory
from pybrpc.errors import RpcError
from pybrpc.protocols.redis import Argument, Reply
from pybrpc.redis.redis_messages import RedisMethod, RedisRequest, RedisResponse
from pybrpc.redis.redis_options import REDIS_DEFAULTS, RedisOptions, RedisSettings

RedisDone = Callable[[RedisResponse | None, RpcError | None], None]


class RedisChannel(Channel):
    """Commands of Redis from any number of threads, over one connection.

    username, password  of an ACL user; a password alone is the default user's
    db                  number of the database; 0
    client_name         what CLIENT LIST shows; "pybrpc"
    protocol            3 (RESP3, or RESP2 with a server older than Redis 6), or 2
    decode              give `str` instead of bytes; a reply that is not UTF-8 is a BadResponseError
    max_body_size       bytes that one reply may have; 512 MiB, the longest string of Redis. The
                        call whose reply is longer ends with a BadResponseError; other calls don't.

    The other options are those of `pybrpc.Channel`. Channels of a process with the same address,
    login and options share their connection, which logs in each time it is established.

    Threads send at once, and requests that wait for the same write go out together, so there is no
    pool to size and nothing to check out. Commands of one thread run in its order. Since replies
    come in the order of commands, a command that takes long (KEYS *, a long script) delays those of
    all callers. A command that answers more than once, blocks, or changes the connection
    (SUBSCRIBE, BLPOP, SELECT, WATCH, ...) is refused with a BadRequestError that says what to use
    instead. A reply READONLY drops the connection, so that the next command finds the server that
    has taken over.

    A call that ends with a timeout or a broken connection may have run if it was sent. It is sent
    again, up to `max_retry` times, only if nothing of it had left this process; a `retry_policy`
    with a `judge` may decide otherwise, for commands that may run twice.
    """

    _public_name = "pybrpc.redis.RedisChannel"
    _other_name = "pybrpc.redis.aio.RedisChannel"
    _not_offered = frozenset({"http", "raw_method"})

    @shows_options(RedisOptions, REDIS_DEFAULTS, "pybrpc.redis.RedisChannel")
    def __init__(self, address: str | Endpoint, **options: Unpack[RedisOptions]) -> None:
        self._settings = RedisSettings.of(options)
        super().__init__(Endpoint.parse(address), **self._settings.channel)
        method: Any = RedisMethod(self._settings.decode)
        self._method: Any = StubMethod(self, method)

    def execute(self, *command: Argument, timeout: Timeout = CHANNEL_TIMEOUT) -> Reply:
        """Send one command and wait: `execute("SET", "key", "value")`.

        Returns the reply. Raises it if it is a RedisError; an RpcError if there is none.
        """
        return self.call(RedisRequest().add(*command), timeout=timeout).only()

    def call(self, request: RedisRequest, *, timeout: Timeout = CHANNEL_TIMEOUT) -> RedisResponse:
        """Send the commands together and wait for all replies. RedisErrors are among them.

        Raises an RpcError. Not on the dispatcher thread, where callbacks run: WouldDeadlockError.
        """
        return cast(RedisResponse, self._method(request, timeout=timeout))

    def future(
        self, request: RedisRequest, *, timeout: Timeout = CHANNEL_TIMEOUT
    ) -> Future[RedisResponse]:
        """Send the commands. Never blocks. The future gives the RedisResponse or raises.

        Cancelling it does not stop commands that were sent.
        """
        return cast(Future[RedisResponse], self._method.future(request, timeout=timeout))

    def with_callback(
        self, request: RedisRequest, done: RedisDone, *, timeout: Timeout = CHANNEL_TIMEOUT
    ) -> None:
        """Send the commands. Never blocks. Ends with `done(response, None)` or `done(None, error)`.

        `done` is called exactly once, mostly by the dispatcher thread; it must not block.
        """
        self._method.with_callback(request, done, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def make_method(self, method: Any) -> StubMethod:
        """TypeError: Redis has no methods."""
        raise TypeError(f"{self!r} speaks Redis; make a pybrpc.Channel for a Stub")

    def _connection_factory(self, loop: asyncio.AbstractEventLoop | None) -> ConnectionFactory:
        return self._settings.connection_factory(super()._connection_factory(loop))
