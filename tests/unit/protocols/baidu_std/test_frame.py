from __future__ import annotations

import pytest

from pybrpc.protocols.baidu_std.frame import may_be_header, pack_header, unpack_header

ECHO_HEADER = b"PRPC\x00\x00\x00\x44\x00\x00\x00\x2f"


def test_header_is_magic_and_two_sizes_in_network_order() -> None:
    assert pack_header(0x44, 0x2F) == ECHO_HEADER
    assert unpack_header(ECHO_HEADER) == (b"PRPC", 0x44, 0x2F)


def test_sizes_are_unsigned() -> None:
    assert unpack_header(b"PRPC" + b"\xff" * 8) == (b"PRPC", 2**32 - 1, 2**32 - 1)


@pytest.mark.parametrize("size", range(12))
def test_first_bytes_of_a_header_may_be_a_header(size: int) -> None:
    assert may_be_header(ECHO_HEADER[:size])


@pytest.mark.parametrize("start", [b"p", b"PRPX", b"PRPCX"[1:], b"GET / HTTP", b"\x00"])
def test_other_bytes_are_no_header(start: bytes) -> None:
    assert not may_be_header(start)
