"""The errors of writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybrpc.base.guard import safe_repr
from pybrpc.errors import ErrorCode, Phase, RpcError, from_os_error, make_rpc_error
from pybrpc.transport.writing.slow_peers import kernel_timeout_reason

if TYPE_CHECKING:
    from pybrpc.transport.writing.socket_core import SocketCore


def write_shutdown_error() -> RpcError:
    text = "Writing was shut down by an earlier message of this side"
    return make_rpc_error(ErrorCode.ESHUTDOWNWRITE, text, phase=Phase.QUEUED)


def dispatcher_closed_error(socket: SocketCore, reason: Exception) -> RpcError:
    text = f"The dispatcher of {socket.description} has ended: {reason}"
    return make_rpc_error(ErrorCode.EFAILEDSOCKET, text, peer=str(socket.remote_side))


def interrupted_error(socket: SocketCore, reason: BaseException) -> RpcError:
    text = f"Interrupted by {safe_repr(reason)} while writing into {socket.description}"
    return make_rpc_error(ErrorCode.EFAILEDSOCKET, text, peer=str(socket.remote_side))


def bad_message_error(reason: BaseException) -> RpcError:
    text = f"Fail to turn the message into bytes: {safe_repr(reason)}"
    error = make_rpc_error(ErrorCode.EINVAL, text, phase=Phase.QUEUED)
    error.__cause__ = reason
    return error


def canceled_error(socket: SocketCore) -> RpcError:
    text = "Canceled before anything of it was written"
    peer = str(socket.remote_side or "")
    return make_rpc_error(ErrorCode.ECANCELED, text, phase=Phase.QUEUED, peer=peer)


def broken_error(
    socket: SocketCore, error: OSError | RpcError, doing: str, phase: Phase
) -> RpcError:
    """The error for what the descriptor or the layer raised while `doing` ("write into", ...)."""
    what = f"Fail to {doing} {socket.description}"
    peer = str(socket.remote_side or "")
    if not isinstance(error, RpcError):
        what += kernel_timeout_reason(socket, error)
        return from_os_error(error, what, phase=phase, peer=peer)
    cls, text = type(error), f"{what}: {error.text}"
    copy = cls(text, code=error.code, phase=phase, peer=peer, is_remote=error.is_remote)
    copy.__cause__ = error.__cause__
    return copy


def overcrowded_error(socket: SocketCore) -> RpcError:
    backlog = socket.backlog
    held, process = backlog.size_bytes, backlog.process
    if process is not None and process.is_full() and held <= backlog.high_water:
        text = (
            f"The send queues of this process are full: {process.size_bytes} bytes are queued on "
            f"all connections, the limit is max_queued_bytes={process.limit_bytes}; {held} of "
            f"them go to {socket.description}"
        )
    else:
        text = (
            f"The send queue of this side to {socket.description} is full: {held} bytes in "
            f"{backlog.requests} messages are queued, the limits are {backlog.high_water} and "
            f"{backlog.max_requests}"
        )
    peer = str(socket.remote_side or "")
    return make_rpc_error(ErrorCode.EOVERCROWDED, text, phase=Phase.QUEUED, peer=peer)
