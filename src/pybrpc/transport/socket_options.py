"""Options of one connection, and how they reach the descriptor."""

from __future__ import annotations

import dataclasses
import math
import socket as _socket

from pybrpc.base.checked_options import checked_count_or_none, checked_flag_or_none
from pybrpc.base.deadline import checked_timeout_s
from pybrpc.base.public_dir import public_dir

HIGH_WATER_BYTES = 64 * 1024 * 1024
"""Default of `SocketOptions.high_water_bytes`."""

KEEPALIVE_IDLE_S = 30
KEEPALIVE_INTERVAL_S = 10
KEEPALIVE_COUNT = 3
TCP_USER_TIMEOUT_MS = 30_000
"""The loss of a peer that sends no reset (power, cable, NAT table) is noticed within a minute:
after 30 s if something was sent to it, else after 30 s and 3 probes, of which Linux awaits just
one, as tcp(7) lets TCP_USER_TIMEOUT overrule the number of probes."""

WRITE_STALL_TIMEOUT_S = 60.0
MIN_WRITE_BYTES_PER_S = 1024
"""A peer is given up that takes nothing for so long, or less than that in a second."""

_RANGES = {
    "keepalive_idle_s": (1, 32767),
    "keepalive_interval_s": (1, 32767),
    "keepalive_count": (1, 127),
    "tcp_user_timeout_ms": (0, 2**31 - 1),
    "send_buffer_bytes": (1, 2**31 - 1),
    "receive_buffer_bytes": (1, 2**31 - 1),
    "high_water_bytes": (0, None),
    "low_water_bytes": (0, None),
    "min_write_bytes_per_s": (0, 2**40),
}
"""Smallest and largest values. Those of the kernel are in tcp(7) and socket(7)."""

_OF_LIBRARY = frozenset(
    {"apply_to", "high_water", "min_write_rate", "or_else", "write_stall_timeout"}
)
"""Attributes that are not for users."""

_NO_OPTION = -1
_IDLE_NAME = "TCP_KEEPIDLE" if hasattr(_socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"
"""macOS has the second name."""


@dataclasses.dataclass(frozen=True, slots=True)
class SocketOptions:
    """Options of one connection. `None` means the process's default, then pybrpc's own.

    keepalive                 SO_KEEPALIVE; on unless it is False
    keepalive_idle_s, keepalive_interval_s, keepalive_count   whole seconds, number of probes;
                              default 30 s, 10 s, 3
    tcp_user_timeout_ms       how long what was sent may stay unacknowledged, and how long the peer
                              may refuse to take more (a window of zero), before the connection is
                              given up (Linux); default 30 000, 0 for the system's 15 minutes
    send_buffer_bytes, receive_buffer_bytes   SO_SNDBUF and SO_RCVBUF, set before connecting;
                              default the system's
    no_delay                  TCP_NODELAY; on unless it is False
    high_water_bytes          backlog above which writes are refused with EOVERCROWDED; default
                              64 MiB. One message per 256 bytes of it is the limit too.
    low_water_bytes           backlog at which writes are accepted again; default half of the above
    write_stall_timeout_s     seconds for which the peer may take nothing while more than 64 KiB are
                              queued for it; then the connection is closed. Default 60; 0: for ever
    min_write_bytes_per_s     what the peer has to take, on average over four seconds, while more
                              than 64 KiB are queued for it and more than half of
                              `Runtime.max_queued_bytes` on all connections together; else the
                              connection is closed. Default 1024; 0: nothing

    Options of TCP are not applied to Unix sockets.
    """

    keepalive: bool | None = None
    keepalive_idle_s: int | None = None
    keepalive_interval_s: int | None = None
    keepalive_count: int | None = None
    tcp_user_timeout_ms: int | None = None
    send_buffer_bytes: int | None = None
    receive_buffer_bytes: int | None = None
    no_delay: bool | None = None
    high_water_bytes: int | None = None
    low_water_bytes: int | None = None
    write_stall_timeout_s: float | None = None
    min_write_bytes_per_s: int | None = None

    def __post_init__(self) -> None:
        checked_timeout_s(self.write_stall_timeout_s, "write_stall_timeout_s")
        for name in ("keepalive", "no_delay"):
            checked_flag_or_none(name, getattr(self, name))
        for name, (least, most) in _RANGES.items():
            checked_count_or_none(name, getattr(self, name), least, most)
        if self.low_water_bytes is not None and self.low_water_bytes > self.high_water:
            raise ValueError(
                f"low_water_bytes={self.low_water_bytes} must not be above the high-water mark, "
                f"which is {self.high_water} bytes"
            )

    def __dir__(self) -> list[str]:
        return public_dir(self, _OF_LIBRARY)

    def or_else(self, defaults: SocketOptions) -> SocketOptions:
        """These options, with each field that is `None` taken from `defaults`."""
        chosen = {
            field.name: getattr(defaults, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) is None
        }
        return dataclasses.replace(self, **chosen)

    @property
    def high_water(self) -> int:
        """`high_water_bytes`, or its default."""
        return HIGH_WATER_BYTES if self.high_water_bytes is None else self.high_water_bytes

    @property
    def write_stall_timeout(self) -> float:
        """Seconds for which the peer may take nothing; infinite if there is no limit."""
        timeout_s = self.write_stall_timeout_s
        return (WRITE_STALL_TIMEOUT_S if timeout_s is None else timeout_s) or math.inf

    @property
    def min_write_rate(self) -> int:
        """Bytes a second that the peer has to take."""
        rate = self.min_write_bytes_per_s
        return MIN_WRITE_BYTES_PER_S if rate is None else rate

    def apply_to(self, sock: _socket.socket) -> None:
        """Set the options on a descriptor that is not connected yet, or was just accepted."""
        sock.setblocking(False)
        if self.send_buffer_bytes is not None:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, self.send_buffer_bytes)
        if self.receive_buffer_bytes is not None:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, self.receive_buffer_bytes)
        if sock.family in (_socket.AF_INET, _socket.AF_INET6):
            self._apply_tcp(sock)

    def _apply_tcp(self, sock: _socket.socket) -> None:
        if self.no_delay is not False:
            sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        keepalive = self.keepalive is not False
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, keepalive)
        if keepalive:
            _set_tcp(sock, _IDLE_NAME, self.keepalive_idle_s, KEEPALIVE_IDLE_S)
            _set_tcp(sock, "TCP_KEEPINTVL", self.keepalive_interval_s, KEEPALIVE_INTERVAL_S)
            _set_tcp(sock, "TCP_KEEPCNT", self.keepalive_count, KEEPALIVE_COUNT)
        _set_tcp(sock, "TCP_USER_TIMEOUT", self.tcp_user_timeout_ms, TCP_USER_TIMEOUT_MS)


def _set_tcp(sock: _socket.socket, name: str, value: int | None, default: int) -> None:
    option = getattr(_socket, name, _NO_OPTION)
    if option != _NO_OPTION:
        sock.setsockopt(_socket.IPPROTO_TCP, option, default if value is None else value)
