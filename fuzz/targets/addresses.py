"""Address strings: an AddressError, or an Endpoint that can be written, read and resolved."""

from __future__ import annotations

import contextlib
import os
import socket

from fuzz.fuzz_target import FuzzTarget, assert_says
from fuzz.parameters import Parameters
from pybrpc.base.endpoint import MAX_PATH_BYTES, Endpoint
from pybrpc.errors import AddressError
from pybrpc.transport.connecting.resolver import addresses_at_hand

_TEXTS = (
    *("127.0.0.1:8000", "example.com:65535", "[::1]:80", "[fe80::1%lo]:80", "h:0"),
    *("[::ffff:10.0.0.1]:80", "unix:/tmp/a.sock", "unix:@name", "http://a/b:80", " host:1 "),
)


def check(data: bytes) -> None:
    given = Parameters(data)
    allows_port_0 = given.flag()
    text = given.rest().decode("utf-8", "surrogateescape")
    try:
        endpoint = Endpoint.parse(text, allow_port_0=allows_port_0)
    except AddressError as error:
        assert_says(error, "address")
        return
    assert Endpoint.parse(str(endpoint), allow_port_0=allows_port_0) == endpoint
    assert endpoint.is_unix == text.strip().startswith("unix:")
    if endpoint.is_unix:
        _check_unix(endpoint)
    else:
        _check_host(endpoint, allows_port_0)


def _check_unix(endpoint: Endpoint) -> None:
    assert endpoint.port == 0
    assert 0 < len(os.fsencode(endpoint.path)) <= MAX_PATH_BYTES
    assert "\0" not in endpoint.path
    assert addresses_at_hand(endpoint)


def _check_host(endpoint: Endpoint, allows_port_0: bool) -> None:
    assert endpoint.path == ""
    assert (not allows_port_0) <= endpoint.port <= 65535
    # The C library ends a name at a zero byte: "127.0.0.1\0.example.com" would be 127.0.0.1.
    assert endpoint.host.isprintable() or not endpoint.host.isascii(), endpoint
    if endpoint.is_ip:
        with contextlib.suppress(OSError):  # no such interface
            for family, sockaddr in addresses_at_hand(endpoint) or ():
                ip = str(sockaddr[0]).partition("%")[0]
                written = endpoint.host.partition("%")[0]
                assert socket.inet_pton(family, ip) == socket.inet_pton(family, written)


TARGET = FuzzTarget(
    check,
    lambda: (b"\0" + text.encode() for text in _TEXTS),
    dictionary=(b"unix:", b"unix:@", b"[::", b"]:", b"::ffff:", b"%lo", b":8000", b"\0"),
    max_bytes=200,
)
