"""SocketOptions: what may be said, which layer has the last word, and what a descriptor gets."""

from __future__ import annotations

import math
import socket
from typing import Any

import pytest

from pybrpc.transport import socket_options
from pybrpc.transport.socket_options import HIGH_WATER_BYTES, SocketOptions

TCP = socket.IPPROTO_TCP


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("high_water_bytes", -1, "high_water_bytes must be None or a whole number >= 0, not -1"),
        ("low_water_bytes", -1, "low_water_bytes must be None or a whole number >= 0, not -1"),
        ("low_water_bytes", HIGH_WATER_BYTES + 1, "must not be above the high-water mark"),
        ("keepalive_idle_s", 0, "a whole number from 1 to 32767, not 0"),
        ("keepalive_idle_s", 32768, "a whole number from 1 to 32767, not 32768"),
        ("keepalive_interval_s", 1.5, "a whole number from 1 to 32767, not 1.5"),
        ("keepalive_count", 128, "a whole number from 1 to 127, not 128"),
        ("keepalive_count", True, "a whole number from 1 to 127, not True"),
        ("tcp_user_timeout_ms", -1, "a whole number from 0 to 2147483647, not -1"),
        ("min_write_bytes_per_s", -1, "must be None or a whole number from 0 to 1099511627776"),
        ("min_write_bytes_per_s", 1.5, "^min_write_bytes_per_s must be None or a whole number"),
        (
            "high_water_bytes",
            "1M",
            "high_water_bytes must be None or a whole number >= 0, not '1M'",
        ),
        ("send_buffer_bytes", 0, "send_buffer_bytes must be None or a whole number from 1 to"),
        ("receive_buffer_bytes", 1e6, "receive_buffer_bytes must be None or a whole number from 1"),
        ("write_stall_timeout_s", -1, "write_stall_timeout_s must be at least 0 seconds"),
    ],
)
def test_options_that_make_no_sense_are_refused(field: str, value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SocketOptions(**{field: value})


def test_largest_and_smallest_options_are_accepted() -> None:
    for number in (1, 32767):
        SocketOptions(keepalive_idle_s=number, keepalive_interval_s=number)
    SocketOptions(keepalive_count=127, tcp_user_timeout_ms=0)
    SocketOptions(high_water_bytes=0, low_water_bytes=0)
    SocketOptions(low_water_bytes=HIGH_WATER_BYTES)


def test_limits_of_slow_peers_have_defaults_and_0_is_no_limit() -> None:
    found = SocketOptions()
    assert (found.write_stall_timeout, found.min_write_rate) == (60.0, 1024)
    found = SocketOptions(write_stall_timeout_s=1.5, min_write_bytes_per_s=7)
    assert (found.write_stall_timeout, found.min_write_rate) == (1.5, 7)
    found = SocketOptions(write_stall_timeout_s=0, min_write_bytes_per_s=0)
    assert (found.write_stall_timeout, found.min_write_rate) == (math.inf, 0)


def test_options_left_open_come_from_the_defaults() -> None:
    defaults = SocketOptions(keepalive=False, keepalive_count=5, high_water_bytes=1000)
    found = SocketOptions(keepalive=True, high_water_bytes=0).or_else(defaults)
    assert found == SocketOptions(keepalive=True, keepalive_count=5, high_water_bytes=0)
    assert found.high_water == 0
    assert SocketOptions().high_water == HIGH_WATER_BYTES


def test_all_options_reach_a_tcp_descriptor() -> None:
    options = SocketOptions(
        keepalive=True,
        keepalive_idle_s=11,
        keepalive_interval_s=12,
        keepalive_count=13,
        tcp_user_timeout_ms=14_000,
        send_buffer_bytes=65536,
        receive_buffer_bytes=65536,
    )
    with socket.socket() as sock:
        options.apply_to(sock)
        assert not sock.getblocking()
        assert sock.getsockopt(TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(TCP, getattr(socket, socket_options._IDLE_NAME)) == 11
        assert sock.getsockopt(TCP, socket.TCP_KEEPINTVL) == 12
        assert sock.getsockopt(TCP, socket.TCP_KEEPCNT) == 13
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert sock.getsockopt(TCP, socket.TCP_USER_TIMEOUT) == 14_000
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= 65536
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 65536


def test_options_turned_off_stay_off() -> None:
    with socket.socket() as sock:
        SocketOptions(keepalive=False, no_delay=False).apply_to(sock)
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not sock.getsockopt(TCP, socket.TCP_NODELAY)


def test_option_that_the_system_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "TCP_KEEPCNT")
    with socket.socket() as sock:
        SocketOptions(keepalive_count=3).apply_to(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_unix_sockets_get_no_tcp_options() -> None:
    near, far = socket.socketpair()
    with near, far:
        SocketOptions(keepalive_count=3, send_buffer_bytes=65536).apply_to(near)
        assert not near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert near.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= 65536
