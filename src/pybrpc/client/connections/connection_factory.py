"""ConnectionFactory: makes the connections of a channel."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pybrpc.base.endpoint import Endpoint
from pybrpc.client.connections.authentication import Authentication
from pybrpc.client.connections.connection import ClientConnection, ConnectionOwner
from pybrpc.client.connections.hulu_connection import HuluConnection
from pybrpc.client.connections.ordered_connection import OrderedConnection
from pybrpc.client.connections.rpc_connection import RpcConnection
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.protocol import ParseLimits, RpcProtocol
from pybrpc.protocols.session import Session, Side
from pybrpc.protocols.traits import new_session, sends_method_index
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.transport.dispatch.direct_dispatcher import DirectDispatcher
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket.setup import DEFAULT_CONNECT_TIMEOUT_S, SocketSetup
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_options import SocketOptions

if TYPE_CHECKING:
    import asyncio

    from pybrpc.rpc.authenticator import Authenticator
    from pybrpc.transport.tls.client_tls import ClientTls


@dataclasses.dataclass(frozen=True, slots=True)
class ConnectionFactory:
    """Makes connections. Channels whose factories are equal may share connections.

    loop   the asyncio loop that polls them; `None`: the dispatcher thread does
    group  a name that the user chooses: channels with different ones share nothing
    auth   makes the credential of each connection
    protocol  what they speak
    max_streams_unconsumed_bytes   see StreamTable; of each connection
    """

    endpoint: Endpoint
    loop: asyncio.AbstractEventLoop | None = None
    limits: ParseLimits = ParseLimits()  # noqa: RUF009 - a frozen value
    options: SocketOptions = SocketOptions()  # noqa: RUF009
    group: str = ""
    connect_timeout_s: float | None = dataclasses.field(
        default=DEFAULT_CONNECT_TIMEOUT_S, compare=False
    )
    auth: Authenticator | None = dataclasses.field(default=None, repr=False)
    tls: ClientTls | None = None
    protocol: RpcProtocol = BAIDU_STD
    max_streams_unconsumed_bytes: int = 0

    @property
    def dispatcher(self) -> EventDispatcher:
        """The dispatcher of the current Runtime, which is another one after a fork."""
        runtime = default_runtime()
        loop = self.loop
        return runtime.dispatcher if loop is None else runtime.dispatcher_of(loop)

    def make(
        self,
        timeouts: TimeoutQueues,
        owner: ConnectionOwner | None,
        is_for_one_call: bool = False,
    ) -> ClientConnection:
        """Make one connection; it connects on its first write. `is_for_one_call`: for one at a
        time, so the thread that waits for its response may read it."""
        setup = self._setup()
        shared = timeouts.dispatcher
        direct = None
        if is_for_one_call and type(shared) is EpollDispatcher:
            direct = DirectDispatcher(shared)
        socket = Socket.to(self.endpoint, direct or shared, **setup)
        connection = self._connection(socket, timeouts, owner, setup)
        connection.direct = direct
        socket.set_user(connection)
        return connection

    def _setup(self) -> SocketSetup:
        return {
            "options": self.options.or_else(default_runtime().default_socket_options),
            "session": self._session(),
            "connect_timeout_s": self.connect_timeout_s,
            "process_backlog": default_runtime().backlog,
            "is_awaited": True,
            "layer": None if self.tls is None else self.tls.layer_to(self.endpoint),
        }

    def _session(self) -> Session:
        return new_session(self.protocol, Side.CLIENT, self.limits)

    def _connection(
        self,
        socket: Socket,
        timeouts: TimeoutQueues,
        owner: ConnectionOwner | None,
        setup: SocketSetup,
    ) -> ClientConnection:
        """The user of `socket`, which was made with `setup`."""
        authentication = None if self.auth is None else Authentication(self.auth)
        protocol = socket.session.protocol
        make: type[RpcConnection] = RpcConnection
        if socket.session.is_ordered:
            make = OrderedConnection
        elif sends_method_index(protocol):
            make = HuluConnection
        limit_bytes = self.max_streams_unconsumed_bytes
        return make(socket, timeouts, protocol, owner, authentication, limit_bytes)
