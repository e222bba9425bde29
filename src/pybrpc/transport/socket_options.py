"""Options of one connection, and how they reach the descriptor."""

from __future__ import annotations

import dataclasses
import socket as _socket
from typing import Any

from pybrpc.transport.backlog import HIGH_WATER_BYTES

_NO_OPTION = -1


@dataclasses.dataclass(frozen=True, slots=True)
class SocketOptions:
    """`None` leaves a value to the next lower layer: the process's defaults, then the system.

    keepalive                 SO_KEEPALIVE; on by itself when one of the three below is given
    keepalive_idle_s, keepalive_interval_s, keepalive_count   whole seconds, number of probes
    tcp_user_timeout_ms       how long sent data may stay unacknowledged (Linux)
    send_buffer_bytes, receive_buffer_bytes   SO_SNDBUF and SO_RCVBUF, set before connecting
    no_delay                  TCP_NODELAY; on unless it is False
    high_water_bytes          backlog above which writes are refused with EOVERCROWDED; default
                              64 MiB. Or more messages than one per 256 bytes of it.
    low_water_bytes           backlog at which they are let in again; default half of the above
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

    def __post_init__(self) -> None:
        for name in ("high_water_bytes", "low_water_bytes"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} must be at least 0, not {value}")
        if self.low_water_bytes is not None and self.low_water_bytes > self.high_water:
            raise ValueError(
                f"low_water_bytes={self.low_water_bytes} must not be above the high-water mark, "
                f"which is {self.high_water} bytes"
            )

    def or_else(self, defaults: SocketOptions) -> SocketOptions:
        """These options, with what they leave open taken from `defaults`, field by field."""
        chosen = {
            field.name: getattr(defaults, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) is None
        }
        return dataclasses.replace(self, **chosen)

    @property
    def high_water(self) -> int:
        return HIGH_WATER_BYTES if self.high_water_bytes is None else self.high_water_bytes

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
        timers: list[tuple[str, Any]] = [
            ("TCP_KEEPIDLE", self.keepalive_idle_s),
            ("TCP_KEEPINTVL", self.keepalive_interval_s),
            ("TCP_KEEPCNT", self.keepalive_count),
        ]
        wanted = self.keepalive
        if wanted is None:
            wanted = any(value is not None for _, value in timers)
        if wanted:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1)
            for name, value in timers:
                _set_tcp(sock, name, value)
        _set_tcp(sock, "TCP_USER_TIMEOUT", self.tcp_user_timeout_ms)


def _set_tcp(sock: _socket.socket, name: str, value: int | None) -> None:
    option = getattr(_socket, name, _NO_OPTION)
    if value is not None and option != _NO_OPTION:
        sock.setsockopt(_socket.IPPROTO_TCP, option, value)
