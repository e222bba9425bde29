"""Sockets over which nothing more comes, though no failure was reported."""

from __future__ import annotations

import asyncio

from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.transport.dispatch.asyncio_dispatcher import AsyncioDispatcher
from pybrpc.transport.socket.socket import Socket


def loop_of(socket: Socket) -> asyncio.AbstractEventLoop | None:
    """The loop that polls `socket`; `None` if the dispatcher thread does."""
    dispatcher = socket.dispatcher
    return dispatcher.loop if isinstance(dispatcher, AsyncioDispatcher) else None


def failure_of(socket: Socket) -> RpcError | None:
    """Why `socket` has failed; `None` if it has not.

    A loop does not report that it closes. So a socket that a closed loop polled fails here. Any
    thread; never blocks. The user of the socket gets the error in the calling thread.
    """
    loop = loop_of(socket)
    if socket.error is None and loop is not None and loop.is_closed():
        text = f"the event loop that polled {socket.description} is closed"
        peer = str(socket.remote_side or "")
        socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, text, phase=Phase.WAITING, peer=peer))
    return socket.error
