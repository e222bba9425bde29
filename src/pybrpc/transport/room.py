"""Waiting for room in the backlog of a socket: threads with a deadline, tasks with `await`."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from pybrpc.base.deadline import NEVER, lock_timeout_s
from pybrpc.errors import ErrorCode, Phase, make_rpc_error

if TYPE_CHECKING:
    from pybrpc.transport.socket import Socket


def wait_for_room(socket: Socket, deadline: float = NEVER) -> None:
    """Block until the backlog is under its mark; see `Socket.wait_writable`."""
    has_room = threading.Lock()
    has_room.acquire()
    wake = _release_once(has_room)
    socket.backlog.when_roomy(wake)
    try:
        if socket.error is None and not has_room.acquire(timeout=lock_timeout_s(deadline)):
            text = f"No room in the backlog of {socket.description} before the deadline"
            peer = str(socket.remote_side)
            raise make_rpc_error(ErrorCode.ERPCTIMEDOUT, text, phase=Phase.QUEUED, peer=peer)
    finally:
        socket.backlog.forget(wake)
    socket.raise_if_failed()


async def drain(socket: Socket) -> None:
    """Wait until the backlog is under its mark; see `Socket.drain`."""
    loop = asyncio.get_running_loop()
    has_room: asyncio.Future[None] = loop.create_future()

    def set_room() -> None:
        if not has_room.done():
            has_room.set_result(None)

    def wake() -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(set_room)

    socket.backlog.when_roomy(wake)
    try:
        if socket.error is None:
            await has_room
    finally:
        socket.backlog.forget(wake)
    socket.raise_if_failed()


class _release_once:
    """Releases a held lock at most once: a waiter may be woken by room and by failure."""

    __slots__ = ("_lock",)

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __call__(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._lock.release()
