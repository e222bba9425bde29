"""Waiting for room in the backlog of a socket: threads with a deadline, tasks with `await`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybrpc.base.deadline import NEVER
from pybrpc.base.waiting import block_until_woken, until_woken
from pybrpc.errors import ErrorCode, Phase, make_rpc_error

if TYPE_CHECKING:
    from pybrpc.transport.socket import Socket


def wait_for_room(socket: Socket, deadline: float = NEVER) -> None:
    """Block until the backlog is under its mark; see `Socket.wait_writable`."""
    backlog = socket.backlog
    if (backlog.is_crowded or backlog.is_shut_out) and socket.error is None:
        has_room = block_until_woken(backlog.when_writable, backlog.forget, deadline)
        if not has_room and socket.error is None:
            text = f"No room in the backlog of {socket.description} before the deadline"
            peer = str(socket.remote_side)
            raise make_rpc_error(ErrorCode.ERPCTIMEDOUT, text, phase=Phase.QUEUED, peer=peer)
    socket.raise_if_failed()


async def drain(socket: Socket) -> None:
    """Wait until the backlog is under its mark; see `Socket.drain`."""
    backlog = socket.backlog
    if (backlog.is_crowded or backlog.is_shut_out) and socket.error is None:
        await until_woken(backlog.when_writable, backlog.forget)
    socket.raise_if_failed()
