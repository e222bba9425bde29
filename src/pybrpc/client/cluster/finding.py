"""Finder: finds a connection for each attempt of a call to a cluster. Every call comes here."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from pybrpc.client.calls.attempt_end import CanceledBy
from pybrpc.errors import ErrorCode, Phase, make_rpc_error

if TYPE_CHECKING:
    from pybrpc.client.calls.interfaces import WaitingCall
    from pybrpc.client.cluster.cluster_server import ClusterServer
    from pybrpc.client.cluster.pick import Pick
    from pybrpc.client.cluster.router import Router
    from pybrpc.client.cluster.server_connections import ServerConnections
    from pybrpc.client.connections.connection import ClientConnection
    from pybrpc.client.endpoints.wait_queue import Waiting

MAX_BUSY = 8
"""Servers without room that a call asks before it waits."""

_ECANCELED = int(ErrorCode.ECANCELED)
_NO_TIME_LIMIT = math.inf
_NOTHING_TRIED: tuple[ClusterServer, ...] = ()


class Finder:
    """`get` is a method of the ClusterSource that has it, compiled."""

    __slots__ = ("_check_hope", "_connections", "_needs_hash_key", "_router", "_states", "_waiting")

    def __init__(
        self,
        router: Router,
        connections: ServerConnections,
        waiting: dict[int, Waiting],
        needs_hash_key: bool,
        check_hope: Callable[[WaitingCall], None],
    ) -> None:
        """`waiting`: the calls that wait, before which no other one gets a connection. `check_hope`
        raises the error of a call that has found no connection, if it shall not wait for one."""
        self._router = router
        self._connections = connections
        self._states = router.states
        self._waiting = waiting
        self._needs_hash_key = needs_hash_key
        self._check_hope = check_hope

    def get(self, call: WaitingCall) -> ClientConnection | None:
        """See `ConnectionSource`."""
        if self._states.usable > 0:
            if len(self._waiting) > 0:
                return None
            connection = self.find(call)
            if connection is not None:
                return connection
        self._check_hope(call)
        return None

    def find(self, call: WaitingCall) -> ClientConnection | None:
        """A connection to a server that has room; `None` if none has. `call.pick` is set then.

        Raises the RpcError of a call that may not begin.
        """
        router = self._router
        hash_key = call.get_hash_key()
        if self._needs_hash_key and hash_key is None:
            text = f"a call to {router.name} needs a controller with a hash_key"
            raise make_rpc_error(errno.EINVAL, text, phase=Phase.QUEUED, peer=router.name)
        last: Pick | None = call.pick
        tried = _NOTHING_TRIED
        if last is None:
            router.note_call()
        else:
            tried = last.tried_so_far
        limit_s = _NO_TIME_LIMIT
        if call.deadline < limit_s:
            limit_s = call.deadline - monotonic()
        for _asked in range(MAX_BUSY):
            pick = router.pick(tried, hash_key, limit_s)
            if pick is None:
                return None
            try:
                source: Any = pick.server.source
                if source is None:
                    source = self._connections.connect(pick.server)
                connection: ClientConnection | None = source.live
                if source.pool is not None or connection is None or not connection.is_usable():
                    connection = source.get_now(call)
            except BaseException:
                pick.end(_ECANCELED, CanceledBy.CALLER)
                raise
            if connection is not None:
                call.pick = pick
                return connection
            pick.end(_ECANCELED, CanceledBy.CALLER)
            if pick.server in tried:
                return None
            tried = (*tried, pick.server)
        return None
