"""Which protocol a connection speaks: each one is asked in turn."""

from __future__ import annotations

from collections.abc import Sequence

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BaiduStd
from pybrpc.protocols.protocol import (
    NEED_MORE,
    NOT_MINE,
    Broken,
    ParseLimits,
    ParseOutcome,
    RpcProtocol,
)

BAIDU_STD = BaiduStd()

PROTOCOLS: tuple[RpcProtocol, ...] = (BAIDU_STD,)
"""Every protocol of this package, in the order in which they are asked."""


def detect(
    buffer: IOBuf, limits: ParseLimits, protocols: Sequence[RpcProtocol] = PROTOCOLS
) -> tuple[RpcProtocol | None, ParseOutcome]:
    """The protocol of the message at the front of `buffer`, and what parsing it gave.

    The protocol is `None` with NEED_MORE while more than one could still be meant, and with
    Broken when none is. A connection that has a protocol may go on with its `parse`.
    """
    waiting: list[RpcProtocol] = []
    for protocol in protocols:
        outcome = protocol.parse(buffer, limits)
        if outcome is NEED_MORE:
            waiting.append(protocol)
        elif outcome is not NOT_MINE:
            return protocol, outcome
    if not waiting:
        return None, Broken(f"no known protocol starts with {buffer.peek(16)!r}")
    return (waiting[0] if len(waiting) == 1 else None), NEED_MORE
