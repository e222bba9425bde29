"""Those that are measured, each in a file of its own, behind the interface in peer.py."""

from __future__ import annotations

import importlib
from typing import cast

from bench.loads import Style
from bench.peers.peer import Peer

LIBRARIES = ("pybrpc", "grpcio")
"""The first one is compared with the others."""


def peer_for(library: str, style: Style) -> Peer:
    """The library used in that style. Imports no other one, so that it can't disturb."""
    kind = "aio" if style in (Style.ASYNCIO, Style.UVLOOP) else "sync"
    return cast(Peer, importlib.import_module(f"bench.peers.{library}_{kind}").PEER)
