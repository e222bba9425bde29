"""Holds: who uses a connection beside its calls, on either side: streams, exchanges.

A connection keeps its holds in a dict, in the order in which they began. It has an end for each:
`release_hold`, or the failure of the connection, which is reported to the user.
"""

from __future__ import annotations

from typing import Any, Protocol

from pybrpc.errors import RpcError
from pybrpc.rpc.bounded_steps import BoundedSteps
from pybrpc.transport.socket.socket import Socket


class ConnectionUser(Protocol):
    """Holds a connection, beside its calls: a stream, an exchange."""

    def on_connection_failed(self, connection: Any, error: RpcError) -> None:
        """The connection has failed, and the hold is over. Called once, in a turn."""


Holds = dict[ConnectionUser, None]


def begin_hold(holds: Holds, user: ConnectionUser, connection: object, socket: Socket) -> None:
    """Have `user` hold `connection`, unless its socket has failed: raises the RpcError of that.

    RuntimeError if `user` holds it already. Any thread.
    """
    if user in holds:
        raise RuntimeError(f"{user!r} holds {connection!r} already")
    holds[user] = None
    # Store, then load: either this sees the failure, or the failure sees the user.
    error = socket.error
    if error is not None and holds.pop(user, user) is None:
        raise error.copy()


def end_hold(holds: Holds, user: ConnectionUser, connection: object, socket: Socket) -> bool:
    """End a hold. False if the socket has failed, so that there is nothing more to do.

    RuntimeError if `user` does not hold it, though it has not failed. Any thread.
    """
    is_held = holds.pop(user, user) is None
    if socket.error is not None:
        return False
    if not is_held:
        raise RuntimeError(f"{user!r} does not hold {connection!r}")
    return True


def fail_holds(holds: Holds, connection: object, socket: Socket, error: RpcError) -> None:
    """The socket has failed: notify all users, in bounded steps."""

    def notify(user: ConnectionUser) -> None:
        if holds.pop(user, user) is None:
            user.on_connection_failed(connection, error)

    if holds:
        BoundedSteps(socket.dispatcher, lambda: list(holds), notify).run()
