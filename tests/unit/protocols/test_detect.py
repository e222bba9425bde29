from __future__ import annotations

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BaiduStd
from pybrpc.protocols.detect import BAIDU_STD, detect
from pybrpc.protocols.message import RpcRequest
from pybrpc.protocols.protocol import NEED_MORE, NOT_MINE, Broken, ParseLimits, ParseOutcome

LIMITS = ParseLimits()


class Strange(BaiduStd):
    """Speaks another magic, "PRXX", of which it parses nothing."""

    __slots__ = ()

    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        return NEED_MORE if b"PRXX".startswith(buffer.peek(4)) else NOT_MINE


STRANGE = Strange()


def test_message_tells_its_protocol() -> None:
    request = RpcRequest(1, "S", "M", b"x")
    assert detect(BAIDU_STD.pack_request(request), LIMITS) == (BAIDU_STD, request)


def test_ambiguous_start_waits_for_more() -> None:
    assert detect(IOBuf(b"PR"), LIMITS, [BAIDU_STD, STRANGE]) == (None, NEED_MORE)


def test_start_that_only_one_knows_is_its() -> None:
    assert detect(IOBuf(b"PRX"), LIMITS, [BAIDU_STD, STRANGE]) == (STRANGE, NEED_MORE)
    assert detect(IOBuf(b"PRP"), LIMITS, [BAIDU_STD, STRANGE]) == (BAIDU_STD, NEED_MORE)


def test_later_protocol_is_asked_too() -> None:
    request = RpcRequest(1, "S", "M", b"x")
    buffer = BAIDU_STD.pack_request(request)
    assert detect(buffer, LIMITS, [STRANGE, BAIDU_STD]) == (BAIDU_STD, request)


def test_start_that_no_one_knows_is_broken() -> None:
    protocol, outcome = detect(IOBuf(b"GET / HTTP/1.1\r\n"), LIMITS, [BAIDU_STD, STRANGE])
    assert protocol is None
    assert outcome == Broken("no known protocol starts with b'GET / HTTP/1.1\\r\\n'")


def test_broken_message_tells_its_protocol() -> None:
    protocol, outcome = detect(IOBuf(b"PRPC" + b"\x00" * 7 + b"\x01"), LIMITS)
    assert protocol is BAIDU_STD
    assert isinstance(outcome, Broken)
