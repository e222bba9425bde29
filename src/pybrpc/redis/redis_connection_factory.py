"""RedisConnectionFactory: makes the connections of a RedisChannel."""

from __future__ import annotations

import dataclasses

from pybrpc.client.calls.retry import RetryPolicy
from pybrpc.client.connections.connection import ClientConnection, ConnectionOwner
from pybrpc.client.connections.connection_factory import ConnectionFactory
from pybrpc.protocols.redis import RedisCutter, RedisHandshake, RedisLogin
from pybrpc.protocols.session import Session
from pybrpc.redis.redis_connection import RedisConnection
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.transport.socket.setup import SocketSetup
from pybrpc.transport.socket.socket import Socket


def safe_policy(policy: RetryPolicy) -> RetryPolicy:
    """Like `policy`, but commands that may have run are not sent again.

    They may have run if they had left when the connection broke, and an INCR that runs twice is
    wrong. A policy that has a `judge` of its own is used as it is.
    """
    return policy if policy.judge is not None else dataclasses.replace(policy, may_have_run=False)


RETRY_WHAT_HAS_NOT_LEFT = safe_policy(RetryPolicy())


@dataclasses.dataclass(frozen=True, slots=True)
class RedisConnectionFactory(ConnectionFactory):
    """Makes connections to Redis. Channels share connections only if they log in alike."""

    login: RedisLogin = RedisLogin()  # noqa: RUF009 - a frozen value

    def _setup(self) -> SocketSetup:
        setup = ConnectionFactory._setup(self)
        setup["app_connect"] = RedisHandshake(self.login)
        return setup

    def _session(self) -> Session:
        return RedisCutter(self.limits.max_body_size)

    def _connection(
        self,
        socket: Socket,
        timeouts: TimeoutQueues,
        owner: ConnectionOwner | None,
        setup: SocketSetup,
    ) -> ClientConnection:
        return RedisConnection(socket, timeouts, owner)
