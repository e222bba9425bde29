"""The round-trip time of a TCP connection, as Linux measures it (TCP_INFO, tcp(7))."""

from __future__ import annotations

import socket as _socket
import struct
from typing import NamedTuple

_RTT_OFFSET = 68
"""The place of tcpi_rtt and tcpi_rttvar, in microseconds, in `struct tcp_info` (linux/tcp.h)."""
_INFO_BYTES = 104


class RoundTrip(NamedTuple):
    """In milliseconds: the smoothed time, and how much it varies."""

    rtt_ms: float
    var_ms: float


def round_trip_of(sock: _socket.socket | None) -> RoundTrip | None:
    """That of a connected socket; `None` if it is closed, is no TCP one, or the system does not
    tell. Any thread, while another one may close it."""
    info = getattr(_socket, "TCP_INFO", None)
    if sock is None or info is None or sock.family not in (_socket.AF_INET, _socket.AF_INET6):
        return None
    try:
        found = sock.getsockopt(_socket.IPPROTO_TCP, info, _INFO_BYTES)
        rtt_us, var_us = struct.unpack_from("=II", found, _RTT_OFFSET)
    except (OSError, struct.error):
        return None
    return RoundTrip(rtt_us / 1000, var_us / 1000)
