"""Finds the protocol of a connection: each protocol tries to parse the first bytes."""

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
"""All protocols of this package, in the order in which they are tried."""


def detect(
    buffer: IOBuf, limits: ParseLimits, protocols: Sequence[RpcProtocol] = PROTOCOLS
) -> tuple[RpcProtocol | None, ParseOutcome]:
    """The protocol of the message at the front of `buffer`, and the outcome of parsing.

    The protocol is `None` together with NEED_MORE while several protocols are possible, and
    together with Broken if none is. Once a protocol is found, its `parse` can be called directly.
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
