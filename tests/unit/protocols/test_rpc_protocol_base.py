"""RpcProtocolBase: the methods that a protocol of one's own need not have."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.message_cutter import MessageCutter
from pybrpc.protocols.ordered_session import OrderedSession
from pybrpc.protocols.protocol import NEED_MORE, NOT_MINE, ParseLimits, ParseOutcome
from pybrpc.protocols.rpc_protocol_base import RpcProtocolBase
from pybrpc.protocols.session import Session, Side
from pybrpc.protocols.traits import Detection
from tests.peers.line_protocols import JSON_LINES


def ordered_session(limits: ParseLimits, protocol: RpcProtocolBase) -> Session:
    return OrderedSession(protocol, Side.SERVER, limits)


class NoMagic(RpcProtocolBase):
    @property
    def name(self) -> str:
        return "no_magic"

    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        return NEED_MORE if buffer.peek(1) == b"a" else NOT_MINE

    def pack_request(self, request: RpcRequest) -> IOBuf:
        return IOBuf(f"{request.method} {request.timeout_ms} {request.body!r}".encode())

    def pack_response(self, response: RpcResponse) -> IOBuf:
        return IOBuf(f"{response.correlation_id} {response.body!r}".encode())


def test_fast_packing_is_packing() -> None:
    protocol = NoMagic()
    assert protocol.pack_fast_request(1, "S", "M", 20, b"x") == b"M 20 b'x'"
    assert protocol.pack_fast_response(7, b"x") == b"7 b'x'"


def test_bytes_wanted_is_unknown() -> None:
    assert NoMagic().bytes_wanted(IOBuf(b"a"), ParseLimits()) == 0


def test_detection_is_by_the_magic_or_by_parsing() -> None:
    assert NoMagic().detect(b"a") is Detection.NEED_MORE
    assert NoMagic().detect(b"b") is Detection.NO
    assert JSON_LINES.detect(b"{") is Detection.NEED_MORE
    assert JSON_LINES.detect(b'{"id"') is Detection.YES


@pytest.mark.parametrize("wanted", [0, 1 << 40])
@pytest.mark.parametrize("session_of", [MessageCutter, ordered_session])
def test_parse_that_forgets_its_limits_closes_the_connection(
    wanted: int, session_of: Callable[..., Session]
) -> None:
    class Endless(NoMagic):
        def bytes_wanted(self, buffer: IOBuf, limits: ParseLimits) -> int:
            return wanted

    limits = ParseLimits(max_body_size=1000, max_meta_size=1000)
    session = session_of(limits, protocol=Endless())
    session.buffer.append(b"a" * (67_536 if wanted == 0 else 1))
    assert session.cut() == []
    assert (session.broken is None) is (wanted == 0)
    session.buffer.append(b"a")
    assert session.cut() == []
    assert session.broken is not None
    assert "max_body_size=1000" in session.broken.reason
    assert len(session.buffer) == 0


def test_session_cuts_its_messages() -> None:
    session = JSON_LINES.new_session(Side.SERVER, ParseLimits())
    request = RpcRequest(7, "a.B", "C", b"x")
    session.buffer.append(bytes(JSON_LINES.pack_request(request)))
    assert session.cut() == [request]


def test_methods_of_the_format_must_be_there() -> None:
    with pytest.raises(TypeError, match="abstract"):
        RpcProtocolBase()  # type: ignore[abstract]
    assert repr(NoMagic()) == "<NoMagic no_magic>"
