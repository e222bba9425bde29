"""ConnectionFactory: makes the connections of a channel."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

from pybrpc.base.endpoint import Endpoint
from pybrpc.client.connections.authentication import Authentication
from pybrpc.client.connections.connection import ClientConnection, ConnectionOwner
from pybrpc.client.connections.rpc_connection import RpcConnection
from pybrpc.protocols.detect import BAIDU_STD
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket.message_cutter import MessageCutter
from pybrpc.transport.socket.setup import DEFAULT_CONNECT_TIMEOUT_S, SocketSetup
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.tls.client_tls import ClientTls

if TYPE_CHECKING:
    from pybrpc.rpc.authenticator import Authenticator


@dataclasses.dataclass(frozen=True, slots=True)
class ConnectionFactory:
    """Makes connections for baidu_std. Channels whose factories are equal may share connections.

    loop   the asyncio loop that polls them; `None`: the dispatcher thread does
    group  a name that the user chooses: channels with different ones share nothing
    auth   makes the credential of each connection
    """

    endpoint: Endpoint
    loop: asyncio.AbstractEventLoop | None = None
    limits: ParseLimits = ParseLimits()  # noqa: RUF009 - a frozen value
    options: SocketOptions = SocketOptions()  # noqa: RUF009
    group: str = ""
    connect_timeout_s: float | None = dataclasses.field(
        default=DEFAULT_CONNECT_TIMEOUT_S, compare=False
    )
    auth: Authenticator | None = None
    tls: ClientTls | None = None

    @property
    def dispatcher(self) -> EventDispatcher:
        """The dispatcher of the current Runtime, which is another one after a fork."""
        runtime = default_runtime()
        loop = self.loop
        return runtime.dispatcher if loop is None else runtime.dispatcher_of(loop)

    def make(self, timeouts: TimeoutQueues, owner: ConnectionOwner | None) -> ClientConnection:
        """Make one connection; it connects on its first write."""
        socket = Socket.to(self.endpoint, timeouts.dispatcher, **self._setup())
        connection = self._connection(socket, timeouts, owner)
        socket.set_user(connection)
        return connection

    def _setup(self) -> SocketSetup:
        return {
            "options": self.options.or_else(default_runtime().default_socket_options),
            "cutter": self._cutter(),
            "connect_timeout_s": self.connect_timeout_s,
            "process_backlog": default_runtime().backlog,
            "is_awaited": True,
            "layer": None if self.tls is None else self.tls.layer_to(self.endpoint),
        }

    def _cutter(self) -> Any:
        return MessageCutter(self.limits, protocol=BAIDU_STD)

    def _connection(
        self, socket: Socket, timeouts: TimeoutQueues, owner: ConnectionOwner | None
    ) -> ClientConnection:
        authentication = None if self.auth is None else Authentication(self.auth)
        return RpcConnection(socket, timeouts, BAIDU_STD, owner, authentication)
