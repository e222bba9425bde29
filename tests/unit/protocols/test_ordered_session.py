"""OrderedSession: messages without ids get the ids of their places."""

from __future__ import annotations

import pytest

from pybrpc.base.guard import UserCodeError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import BadMessage, OversizedMessage, RpcRequest, RpcResponse
from pybrpc.protocols.ordered_session import OrderedSession
from pybrpc.protocols.protocol import NEED_MORE, ParseLimits, ParseOutcome
from pybrpc.protocols.session import Side
from tests.peers.line_protocols import PLAIN_LINES, PlainLines

LIMITS = ParseLimits()
REQUEST = bytes(PLAIN_LINES.pack_request(RpcRequest(0, "a.B", "C", b"x")))
RESPONSE = bytes(PLAIN_LINES.pack_response(RpcResponse(0, body=b"x")))


class Fixed(PlainLines):
    """One byte decides what a message is; large ones have 200,000 bytes."""

    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        kind = buffer.peek(1)
        if kind == b"L":
            if len(buffer) < 200_000:
                return NEED_MORE
            return RpcRequest(0, "a", "b", buffer.cut_contiguous(200_000))
        buffer.pop_front(1)
        if kind == b"b":
            return BadMessage(0, is_request=True, reason="bad")
        return OversizedMessage(0, is_request=True, size_bytes=9, limit_bytes=1)

    def bytes_wanted(self, buffer: IOBuf, limits: ParseLimits) -> int:
        return max(0, 200_000 - len(buffer)) if buffer.peek(1) == b"L" else 0


def ids_of(session: OrderedSession, data: bytes) -> list[int]:
    session.buffer.append(data)
    return [message.correlation_id for message in session.cut()]


def test_server_numbers_the_requests() -> None:
    session = OrderedSession(PLAIN_LINES, Side.SERVER, LIMITS)
    assert session.is_ordered
    assert session.name == "plain_lines"
    assert ids_of(session, REQUEST * 2 + REQUEST[:5]) == [1, 2]
    assert ids_of(session, REQUEST[5:]) == [3]
    assert session.held_bytes == session.unfinished_bytes == 0


def test_client_gives_responses_the_ids_of_the_requests_in_order() -> None:
    session = OrderedSession(PLAIN_LINES, Side.CLIENT, LIMITS)
    for number in (7, 3, 9):
        session.note_sent(number)
    assert session.held_bytes > 0
    assert ids_of(session, RESPONSE * 2) == [7, 3]
    assert ids_of(session, RESPONSE) == [9]
    assert session.held_bytes == 0


def test_response_that_no_request_awaits_breaks_the_session() -> None:
    session = OrderedSession(PLAIN_LINES, Side.CLIENT, LIMITS)
    session.note_sent(1)
    assert ids_of(session, RESPONSE * 2) == [1]
    assert session.broken is not None
    assert session.broken.reason == "a response has come that no request awaits"
    assert ids_of(session, RESPONSE) == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"rubbish", "no plain_lines message starts with b'rubbish'"), (b"OK ?\n", "no message: ")],
)
def test_invalid_bytes_break_the_session(data: bytes, reason: str) -> None:
    session = OrderedSession(PLAIN_LINES, Side.SERVER, LIMITS)
    assert ids_of(session, REQUEST + data) == [1]
    assert session.broken is not None
    assert session.broken.reason.startswith(reason)
    assert not session.buffer


def test_bad_and_oversized_messages_have_their_places_too() -> None:
    session = OrderedSession(Fixed(), Side.SERVER, LIMITS)
    session.buffer.append(b"bbo")
    *bad, oversized = session.cut()
    assert [each.correlation_id for each in bad] == [1, 2]
    assert isinstance(oversized, OversizedMessage)
    assert oversized.correlation_id == 3
    assert session.broken is not None
    assert session.broken.reason == oversized.reason


def test_large_message_is_parsed_again_only_when_it_is_complete() -> None:
    session = OrderedSession(Fixed(), Side.SERVER, LIMITS)
    assert session.bytes_wanted() == 0
    assert ids_of(session, b"L" + bytes(10)) == []
    assert session.bytes_wanted() == 200_000 - 11
    assert ids_of(session, bytes(1000)) == []
    assert session.bytes_wanted() == 200_000 - 1011
    assert ids_of(session, bytes(200_000 - 1011)) == [1]


@pytest.mark.parametrize("outcome", [RpcRequest(0, "a.B", "C"), None, 42])
def test_parse_that_takes_nothing_is_called_once(outcome: object) -> None:
    class TakesNothing(PlainLines):
        def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
            return outcome  # type: ignore[return-value]

    session = OrderedSession(TakesNothing(), Side.SERVER, LIMITS)
    session.buffer.append(b"abc")
    with pytest.raises(UserCodeError, match="took no bytes, and returned"):
        session.cut()
