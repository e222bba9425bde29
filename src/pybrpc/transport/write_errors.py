"""The errors of writing, in one place: who is told what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error

if TYPE_CHECKING:
    from pybrpc.transport.socket import Socket


def write_shutdown_error() -> RpcError:
    text = "Writing was shut down by an earlier message of this side"
    return make_rpc_error(ErrorCode.ESHUTDOWNWRITE, text, phase=Phase.QUEUED)


def undriven_error(socket: Socket, reason: Exception) -> RpcError:
    text = f"Nobody drives {socket.description} any more: {reason}"
    return make_rpc_error(ErrorCode.EFAILEDSOCKET, text, peer=str(socket.remote_side))


def interrupted_error(socket: Socket, reason: BaseException) -> RpcError:
    text = f"Interrupted by {reason!r} while writing into {socket.description}"
    return make_rpc_error(ErrorCode.EFAILEDSOCKET, text, peer=str(socket.remote_side))


def overcrowded_error(socket: Socket) -> RpcError:
    backlog = socket.backlog
    text = (
        f"The send queue of this side to {socket.description} is full: {backlog.size_bytes} "
        f"bytes in {backlog.requests} messages are queued, the limits are {backlog.high_water} "
        f"and {backlog.most_requests}"
    )
    peer = str(socket.remote_side or "")
    return make_rpc_error(ErrorCode.EOVERCROWDED, text, phase=Phase.QUEUED, peer=peer)
