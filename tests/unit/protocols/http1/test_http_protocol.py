"""HttpProtocol: which first bytes are those of HTTP."""

from __future__ import annotations

import pytest

from pybrpc.protocols.http1.http_protocol import HTTP, HttpProtocol
from pybrpc.protocols.http1.options import METHODS
from pybrpc.protocols.http1.server_session import HttpServerSession
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.protocols.registry import all_protocols
from pybrpc.protocols.session import Side
from pybrpc.protocols.traits import MAX_DETECT_BYTES, Detection, detection_of

YES, NO, NEED_MORE = Detection.YES, Detection.NO, Detection.NEED_MORE


@pytest.mark.parametrize("method", sorted(METHODS))
def test_each_method_is_known_by_its_line(method: str) -> None:
    line = f"{method} /path HTTP/1.1\r\n".encode()
    for length in range(1, len(method) + 2):
        assert HTTP.detect(line[:length]) is NEED_MORE
    for length in range(len(method) + 2, len(line)):
        assert HTTP.detect(line[:length]) is YES


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM", NO),
        (b"PRI * HTTP/", NEED_MORE),
        (b"PRI ", NEED_MORE),
        (b"PRI /x HTTP/1.1", YES),
        (b"BREW /pot HTTP/1.1", YES),
        (b"BREW /pot HTTP/1", YES),
        (b"BREW /pot HTT", NEED_MORE),
        (b"BREW /pot", NEED_MORE),
        (b"CALL service.Echo 1", NO),
        (b"CALL service\r\n", NO),
        (b"SET key value\r\n", NO),
        (b"OPTIONS * HTTP/1.1\r\n", YES),
        (b"get / HTTP/1.1\r\n", NO),
        (b"GET\t/", NO),
        (b"GET  /", NO),
        (b"GET \r\n", NO),
        (b"\r\nGET /", NO),
        (b"PRPC\0\0\0\1", NO),
        (b"HULU\1\0\0\0", NO),
        (b"\x16\x03\x01", NO),
        (b"*1\r\n$4\r\n", NO),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", NO),
    ],
)
def test_first_bytes(first: bytes, expected: Detection) -> None:
    assert HTTP.detect(first) is expected


def test_one_protocol_at_most_says_yes() -> None:
    for first in (b"PRPC", b"HULU", b"SOFA", b"POST /a HTTP/1.1\r\nHost: abcdef\r\n"):
        first = first.ljust(MAX_DETECT_BYTES, b"\0")
        assert sum(detection_of(each, first) is YES for each in all_protocols()) == 1


def test_sessions_are_those_of_their_side() -> None:
    session = HTTP.new_session(Side.SERVER, ParseLimits())
    assert isinstance(session, HttpServerSession)
    assert (session.name, session.is_ordered) == ("http", True)
    assert repr(HTTP) == "<HttpProtocol>"
    assert isinstance(HTTP, HttpProtocol)
