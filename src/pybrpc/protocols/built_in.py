"""The protocols of this package, each of which is imported when it is first asked for.

A channel asks for the one that it speaks, a server for all, when they are made: so a client of
baidu_std loads no HTTP, and none of the protobuf schemas of the others.
"""

from __future__ import annotations

import importlib
from typing import Any

from pybrpc.protocols.protocol import RpcProtocol

_FRAMED = {
    "baidu_std": "baidu_std.BAIDU_STD",
    "hulu_pbrpc": "hulu.HULU_PBRPC",
    "sofa_pbrpc": "sofa.SOFA_PBRPC",
}
"""Those of the kind "rpc", in the order in which they are tried: the object of each, below
`pybrpc.protocols`."""

_OTHERS = {"http": "http1.http_protocol.HTTP"}
"""Those whose connections are their own: tried last, as much begins with a word in capitals."""

_PLACES = _FRAMED | _OTHERS
BUILT_IN_NAMES = tuple(_PLACES)
FRAMED_NAMES = tuple(_FRAMED)
OTHER_NAMES = tuple(_OTHERS)


def built_in(name: str) -> Any:
    """The protocol of this package with that name, which is one of BUILT_IN_NAMES."""
    module, _, attribute = _PLACES[name].rpartition(".")
    return getattr(importlib.import_module(f"pybrpc.protocols.{module}"), attribute)


def framed_protocols() -> tuple[RpcProtocol, ...]:
    """All of the kind "rpc", in the order in which they are tried."""
    return tuple(map(built_in, FRAMED_NAMES))
