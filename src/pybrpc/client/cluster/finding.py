"""find_connection: a connection for an attempt of a call to a cluster. Every call comes here."""

from __future__ import annotations

import errno
import math
import time
from typing import TYPE_CHECKING, Any

from pybrpc.client.calls.attempt_end import CanceledBy
from pybrpc.errors import ErrorCode, Phase, make_rpc_error

if TYPE_CHECKING:
    from pybrpc.client.calls.interfaces import WaitingCall
    from pybrpc.client.cluster.cluster_server import ClusterServer
    from pybrpc.client.cluster.pick import Pick
    from pybrpc.client.cluster.router import Router
    from pybrpc.client.connections.connection import ClientConnection

MAX_BUSY = 8
"""Servers without room that a call asks before it waits."""

_NO_TIME_LIMIT = math.inf
_NOTHING_TRIED: tuple[ClusterServer, ...] = ()


def find_connection(
    router: Router, call: WaitingCall, needs_hash_key: bool
) -> ClientConnection | None:
    """A connection to a server that has room; `None` if none has. `call.pick` is set then.

    Raises the RpcError of a call that may not begin.
    """
    hash_key = call.hash_key
    if needs_hash_key and hash_key is None:
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
        limit_s = call.deadline - time.monotonic()
    for _ in range(MAX_BUSY):
        pick = router.pick(tried, hash_key, limit_s)
        if pick is None:
            return None
        source: Any = pick.server.source
        connection: ClientConnection | None = source.live
        if connection is None or not connection.is_usable():
            connection = source.get_now(call)
        if connection is not None:
            call.pick = pick
            return connection
        pick.end(int(ErrorCode.ECANCELED), CanceledBy.CALLER)
        if pick.server in tried:
            return None
        tried = (*tried, pick.server)
    return None
