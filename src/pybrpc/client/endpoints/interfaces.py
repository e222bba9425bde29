"""ConnectionSource: where the calls of a channel get their connections from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pybrpc.base.endpoint import Endpoint
    from pybrpc.client.calls.call import Call
    from pybrpc.client.connections.connection import ClientConnection
    from pybrpc.errors import RpcError
    from pybrpc.rpc.timeout_queue import TimeoutQueues
    from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher


class ConnectionSource(Protocol):
    """Shared by all channels with the same address and options. Thread-safe, re-entrant; no
    method blocks."""

    @property
    def endpoint(self) -> Endpoint:
        """Where the connections lead."""

    @property
    def dispatcher(self) -> EventDispatcher:
        """What drives the connections."""

    @property
    def timeouts(self) -> TimeoutQueues:
        """Deadlines of calls, driven by `dispatcher`; others after a fork."""

    @property
    def why_down(self) -> RpcError | None:
        """Why the endpoint can't be reached now; `None` if nothing is known against it."""

    @property
    def live(self) -> ClientConnection | None:
        """The connection that all calls share, to be used without asking as long as it takes
        calls; `None` if they have to ask."""

    def get(self, call: Call) -> ClientConnection | None:
        """A connection for an attempt of `call`, perhaps still to be connected.

        `None`: there is none now, `wait`. Raises the RpcError that ends the call at once: the
        endpoint is down, and the call doesn't wait for it.
        """

    def wait(self, call: Call) -> None:
        """Queue a call that got no connection. It is told once, perhaps now, perhaps by another
        thread: `on_connection` or `on_no_connection`."""

    def reclaim(self, call: Call) -> None:
        """Take back what `call` was given and has not used: a signal handler raised meanwhile."""

    def connection_for_backup(self, used: ClientConnection) -> ClientConnection | None:
        """A connection for a backup request, another one than `used` if there is one."""
