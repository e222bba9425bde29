"""HttpConnectionFactory: makes the connections of a channel that speaks HTTP."""

from __future__ import annotations

import dataclasses

from pybrpc.client.connections.authentication import Authentication
from pybrpc.client.connections.connection import ClientConnection, ConnectionOwner
from pybrpc.client.connections.connection_factory import ConnectionFactory
from pybrpc.client.connections.http_body import MAX_UNREAD_BYTES
from pybrpc.client.connections.http_connection import HttpConnection
from pybrpc.client.connections.http_request import host_of
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.transport.socket.setup import SocketSetup
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.backlog import Backlog


@dataclasses.dataclass(frozen=True, slots=True)
class HttpConnectionFactory(ConnectionFactory):
    """Like a ConnectionFactory, for a protocol of the kind "http"."""

    def _setup(self) -> SocketSetup:
        setup = ConnectionFactory._setup(self)
        setup["unanswered"] = Backlog(MAX_UNREAD_BYTES)
        return setup

    def _connection(
        self,
        socket: Socket,
        timeouts: TimeoutQueues,
        owner: ConnectionOwner | None,
        setup: SocketSetup,
    ) -> ClientConnection:
        authentication = None if self.auth is None else Authentication(self.auth)
        host = host_of(self.endpoint, self.tls is not None)
        unread = setup["unanswered"]
        assert unread is not None
        return HttpConnection(socket, timeouts, host, unread, owner, authentication)
