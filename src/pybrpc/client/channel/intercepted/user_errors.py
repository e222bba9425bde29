"""Errors of interceptors, where only an RpcError can be given to the caller."""

from __future__ import annotations

from pybrpc.base.guard import deliver_interrupt
from pybrpc.errors import ErrorCode, RpcError


def as_rpc_error(error: BaseException, method_name: str) -> RpcError:
    """`error` itself, or an RpcError with EINTERNAL whose cause it is. Never raises."""
    if isinstance(error, RpcError):
        return error
    name = type(error).__name__
    try:
        text = f"{name}: {error}"
    except BaseException as raised:
        deliver_interrupt(raised)
        text = name
    made = RpcError(f"an interceptor of {method_name} raised {text}", code=ErrorCode.EINTERNAL)
    made.__cause__ = error
    return made
