"""The error of connecting for whatever a step of it raised."""

from __future__ import annotations

from pybrpc.base.guard import safe_repr
from pybrpc.errors import ConnectError, ErrorCode, Phase, RpcError, from_os_error


def connect_error(error: BaseException, what: str, peer: str) -> RpcError:
    """The error of a connect for what one of its steps has raised; `what` says what was done."""
    if isinstance(error, OSError):
        return from_os_error(error, what, phase=Phase.CONNECT, peer=peer)
    text = f"{what}: {safe_repr(error)}"
    failure = ConnectError(text, code=ErrorCode.EINVAL, phase=Phase.CONNECT, peer=peer)
    # The frames of its traceback would keep the connector and its sockets.
    failure.__cause__ = error.with_traceback(None)
    return failure
