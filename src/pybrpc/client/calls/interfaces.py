"""Calls and the sources of connections, as they see each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pybrpc.base.endpoint import Endpoint
    from pybrpc.client.calls.attempt import AttemptConnection, WaitPoint
    from pybrpc.client.calls.call_options import CallOptions
    from pybrpc.client.calls.call_times import CallTimes
    from pybrpc.client.connections.connection_pool import ConnectionPool
    from pybrpc.errors import RpcError
    from pybrpc.rpc.timeout_queue import TimeoutQueues
    from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher


class WaitingCall(Protocol):
    """A call, as a ConnectionSource sees it."""

    options: CallOptions
    retried_count: int
    deadline: float
    """In monotonic seconds."""
    is_blocking: bool
    """Whether a thread waits for its end."""
    pick: Any
    """How the server of its last attempt was picked out of a cluster; `None`: it was not."""

    def get_hash_key(self) -> int | None:
        """The key by which a balancer that hashes picks its server."""

    def wait_in(self, place: WaitPoint) -> None:
        """Note where the call will wait, before any other thread can find it there."""

    def on_connection(self, connection: AttemptConnection) -> None:
        """The call, which was claimed in the queue, gets this connection."""

    def on_no_connection(self, error: RpcError) -> None:
        """The call, which was claimed in the queue or in its pause, will get no connection."""

    def on_pause_over(self) -> None:
        """The pause before a retry is over; the call was claimed there."""


class BackedUpCall(Protocol):
    """A call with a backup request, or a retry, as a ConnectionSource sees it."""

    pick: Any

    def get_hash_key(self) -> int | None:
        """The key by which a balancer that hashes picks its server."""


class ConnectionSource(Protocol):
    """The place where the calls of a channel get their connections.

    Shared by all channels with the same address and options. Thread-safe, re-entrant; no method
    blocks.
    """

    @property
    def endpoint(self) -> Endpoint | None:
        """The address to which the connections lead; `None`: to many."""

    def endpoints(self) -> Sequence[Endpoint]:
        """The addresses of which a call may get one now; none while they are not known."""

    @property
    def name(self) -> str:
        """The address, or the name of the cluster, for texts."""

    @property
    def dispatcher(self) -> EventDispatcher:
        """The dispatcher that polls the connections."""

    @property
    def timeouts(self) -> TimeoutQueues:
        """Deadlines of calls, on `dispatcher`. After a fork this is another object."""

    @property
    def gives_own_connections(self) -> bool:
        """Whether it may give a call a connection that no other one uses meanwhile."""

    @property
    def call_times(self) -> CallTimes | None:
        """Where the calls are counted; `None`: nowhere."""

    @property
    def why_down(self) -> RpcError | None:
        """Why the endpoint can't be reached now; `None` if nothing is known against it."""

    @property
    def live(self) -> AttemptConnection | None:
        """The connection that all calls share, which they may use without `get` while it takes
        calls; `None` if they must call `get`."""

    @property
    def pool(self) -> ConnectionPool | None:
        """Its idle connections, of which a call that is no retry may `take` one without `get`;
        `None` if there is no pool."""

    def get(self, call: WaitingCall) -> AttemptConnection | None:
        """A connection for an attempt of `call`, perhaps still to be connected.

        `None`: there is none now; call `wait`. Raises the RpcError that ends the call at once: the
        endpoint is down, and the call doesn't wait for it.
        """

    def wait(self, call: WaitingCall) -> None:
        """Queue a call that got no connection. It gets exactly one of `on_connection` and
        `on_no_connection`, perhaps now, perhaps from another thread."""

    def pause(self, call: WaitingCall, pause_s: float) -> None:
        """Have a call wait for so many seconds. It gets exactly one of `on_pause_over` and
        `on_no_connection`, perhaps now, unless it is claimed before.

        DispatcherClosedError if nothing will end the pause; then the caller still owns the call.
        """

    def reclaim(self, call: WaitingCall) -> None:
        """Take back the unused connection of `call`, because a signal handler raised."""

    def connection_for_backup(
        self, call: BackedUpCall, used: AttemptConnection
    ) -> AttemptConnection | None:
        """A connection for a backup request of `call`, another one than `used`, whose first request
        is over that, if there is one."""

    def may_retry_elsewhere(self, call: BackedUpCall, error: RpcError) -> bool:
        """Whether `call`, which its server has refused with `error`, may try another server."""

    def take_retry(self, error: RpcError) -> bool:
        """Whether there may be one more retry, of a call that failed with `error`."""
