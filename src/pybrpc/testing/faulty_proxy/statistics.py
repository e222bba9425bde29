"""Counts of what a FaultyProxy has done so far."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class ProxyStatistics:
    """Counts since the proxy was made, except `open`, which is the present number."""

    accepted: int
    """Connections of clients, refused ones among them."""
    refused: int
    """Those that a fault refused."""
    connect_failures: int
    """Connections that were reset because the server could not be reached."""
    open: int
    """Connections of clients that are open now."""
    bytes_to_server: int
    """Bytes of clients that were passed on."""
    bytes_to_client: int
    """Bytes of the server that were passed on."""
    bytes_dropped: int
    """Bytes that were read and thrown away, in either direction."""
    faults: Mapping[str, int]
    """How often each kind of fault has struck: {"ResetAt": 3}."""
