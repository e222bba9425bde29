"""The bytes of rpc_dump: those of C++, and bytes that make no sense."""

from __future__ import annotations

import io
import struct

import pytest

from pybrpc.server.rpc_dump.dump_format import (
    DumpedRequest,
    DumpFormatError,
    head_of,
    read_requests,
)

ECHO = bytes.fromhex(
    "50525043 0000003a 0000002d"  # PRPC, sizes
    "0a13 6578616d706c652e4563686f53657276696365"  # 1: example.EchoService
    "1204 4563686f"  # 2: Echo
    "2000 2802 3006 3a00"  # 4: 0, 5: baidu_std, 6: 6 bytes, 7: empty
)
"""As src/brpc/rpc_dump.cpp and baidu_rpc_protocol.cpp write it."""


def test_head_has_the_bytes_of_cpp() -> None:
    size = len(ECHO) - 12
    head = head_of("example.EchoService", "Echo", 0, (7, 6))
    assert head == struct.pack(">4sII", b"PRPC", size + 13, size) + ECHO[12:]


def test_requests_are_read_as_they_were_written() -> None:
    first = head_of("a.S", "M", 2, (3, 2)) + b"abcde"
    second = head_of("a.S", "N", 0, (0, 0))
    assert list(read_requests(io.BytesIO(first + second))) == [
        DumpedRequest("a.S", "M", b"abc", b"de", 2),
        DumpedRequest("a.S", "N", b""),
    ]
    assert list(read_requests(io.BytesIO())) == []


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"PRPC", "ends within a header"),
        (b"HULU" + bytes(8), "no file of rpc_dump"),
        (struct.pack(">4sII", b"PRPC", 1, 2) + b"a", "no file of rpc_dump"),
        (struct.pack(">4sII", b"PRPC", 1 << 31, 2), "is too long"),
        (head_of("a", "b", 0, (5, 0)) + b"abcd", "ends within a request"),
        (struct.pack(">4sII", b"PRPC", 2, 2) + b"\xff\xff", "has no RpcDumpMeta"),
        (struct.pack(">4sII", b"PRPC", 2, 2) + b"\x30\x05", "shorter than its attachment"),
        (
            struct.pack(">4sII", b"PRPC", 11, 11) + b"\x30" + b"\xff" * 9 + b"\x01",
            "shorter than its attachment",
        ),
    ],
)
def test_bytes_that_make_no_sense_are_an_error(data: bytes, text: str) -> None:
    with pytest.raises(DumpFormatError, match=text):
        list(read_requests(io.BytesIO(data)))


def test_requests_before_the_broken_one_are_given() -> None:
    good = head_of("a", "b", 0, (1, 0)) + b"x"
    requests = read_requests(io.BytesIO(good + b"PR"))
    assert next(requests).body == b"x"
    with pytest.raises(DumpFormatError):
        next(requests)
