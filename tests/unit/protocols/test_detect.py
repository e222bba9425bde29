from __future__ import annotations

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD, BaiduStd
from pybrpc.protocols.built_in import framed_protocols
from pybrpc.protocols.detect import detect
from pybrpc.protocols.message import RpcRequest
from pybrpc.protocols.protocol import (
    NEED_MORE,
    NOT_MINE,
    Broken,
    ParseLimits,
    ParseOutcome,
    RpcProtocol,
)

LIMITS = ParseLimits()


class Strange(BaiduStd):
    """A protocol with the magic "PRXX" that parses no message."""

    __slots__ = ()

    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        return NEED_MORE if b"PRXX".startswith(buffer.peek(4)) else NOT_MINE


STRANGE = Strange()


def test_detect_returns_the_protocol_of_a_message() -> None:
    request = RpcRequest(1, "S", "M", b"x")
    assert detect(BAIDU_STD.pack_request(request), LIMITS, framed_protocols()) == (
        BAIDU_STD,
        request,
    )


def test_detect_needs_more_bytes_for_an_ambiguous_start() -> None:
    assert detect(IOBuf(b"PR"), LIMITS, [BAIDU_STD, STRANGE]) == (None, NEED_MORE)


def test_detect_returns_the_only_protocol_that_accepts_the_start() -> None:
    assert detect(IOBuf(b"PRX"), LIMITS, [BAIDU_STD, STRANGE]) == (STRANGE, NEED_MORE)
    assert detect(IOBuf(b"PRP"), LIMITS, [BAIDU_STD, STRANGE]) == (BAIDU_STD, NEED_MORE)


def test_detect_tries_all_protocols() -> None:
    request = RpcRequest(1, "S", "M", b"x")
    buffer = BAIDU_STD.pack_request(request)
    assert detect(buffer, LIMITS, [STRANGE, BAIDU_STD]) == (BAIDU_STD, request)


def test_detect_returns_broken_for_an_unknown_start() -> None:
    protocol, outcome = detect(IOBuf(b"GET / HTTP/1.1\r\n"), LIMITS, [BAIDU_STD, STRANGE])
    assert protocol is None
    assert outcome == Broken("no known protocol starts with b'GET / HTTP/1.1\\r\\n'")


def test_detect_returns_the_protocol_of_a_broken_message() -> None:
    protocol, outcome = detect(IOBuf(b"PRPC" + b"\x00" * 7 + b"\x01"), LIMITS, framed_protocols())
    assert protocol is BAIDU_STD
    assert isinstance(outcome, Broken)


@pytest.mark.parametrize("protocol", framed_protocols(), ids=lambda each: each.name)
def test_every_protocol_is_detected_by_its_first_byte(protocol: RpcProtocol) -> None:
    request = RpcRequest(1, "S", "M", b"x")
    whole = bytes(protocol.pack_request(request))
    for size in range(1, len(whole)):
        assert detect(IOBuf(whole[:size]), LIMITS, framed_protocols()) == (protocol, NEED_MORE)
    assert detect(IOBuf(whole), LIMITS, framed_protocols()) == (protocol, request)


def test_an_empty_buffer_may_become_any_protocol() -> None:
    assert detect(IOBuf(), LIMITS, framed_protocols()) == (None, NEED_MORE)


@pytest.mark.parametrize("start", [b"HTTP/1.1", b"HULX", b"SOFX", b"STRM", b"hulu", b"\0\0\0\0"])
def test_start_of_no_protocol_is_broken(start: bytes) -> None:
    assert detect(IOBuf(start), LIMITS, framed_protocols()) == (
        None,
        Broken(f"no known protocol starts with {start!r}"),
    )


@pytest.mark.parametrize("start", [b"PRI * HTTP/2.0\r\n\r\nSM", b"\0\0\x18\x04\0\0\0\0\0\0\x03"])
def test_peer_that_speaks_http2_is_named(start: bytes) -> None:
    protocol, outcome = detect(IOBuf(start), LIMITS, (BAIDU_STD,))
    assert protocol is None
    assert isinstance(outcome, Broken)
    assert "as HTTP/2 does, and so gRPC" in outcome.reason
