"""HttpServerSession: requests in the received bytes, in any pieces."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.http1 import HttpParseError, MessageEnd, RequestHead
from pybrpc.protocols.http1.http_protocol import HTTP
from pybrpc.protocols.http1.server_session import MAX_ENDS, HttpServerSession
from pybrpc.protocols.protocol import ParseLimits

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = (
    b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nab\r\n1\r\nc\r\n0\r\nX: y\r\n\r\n"
)


def session() -> HttpServerSession:
    return HttpServerSession(HTTP, ParseLimits(max_body_size=10))


def cut(made: HttpServerSession, data: bytes) -> list[Any]:
    made.buffer.append(IOBuf(data))
    return made.cut()


def summary(events: list[Any]) -> list[Any]:
    """Heads by their targets, bodies as whole ones."""
    found: list[Any] = []
    for event in events:
        if isinstance(event, RequestHead):
            found.append([event.target, b""])
        elif isinstance(event, MessageEnd):
            found[-1].append(dict(event.trailers or {}))
        elif isinstance(event, HttpParseError):
            found.append(event.status)
        else:
            found[-1][1] += bytes(event)
    return found


ALL = [["/a", b"", {}], ["/b", b"abc", {}], ["/c", b"abc", {"X": "y"}], ["/a", b"", {}]]


def test_requests_in_any_pieces() -> None:
    data = GET + POST + CHUNKED + GET
    for first in range(len(data)):
        made = session()
        events = cut(made, data[:first]) + cut(made, data[first:])
        assert summary(events) == ALL
        assert (made.unfinished_bytes, made.unfinished_mark) == (0, 4)
    made = session()
    assert summary([event for byte in data for event in cut(made, bytes([byte]))]) == ALL


def test_bodies_have_no_limit_here() -> None:
    made = session()
    data = POST.replace(b"Content-Length: 3", b"Content-Length: 100000")
    assert summary(cut(made, data)) == [["/b", b"abc"]]
    assert made.is_in_body
    assert made.bytes_wanted() == 100_000 - 3
    made.collected_bytes = 7
    assert (made.held_bytes, made.unfinished_bytes) == (7, 7)


def test_what_is_wrong_comes_last() -> None:
    made = session()
    events = cut(made, GET + b"GET /bad HTTP/1.1\r\n\r\n" + GET)
    assert summary(events) == [["/a", b"", {}], 400]
    assert made.broken is not None
    assert "Host" in made.broken.reason
    assert cut(made, GET) == []


def test_end_inside_a_request_is_no_message() -> None:
    made = session()
    assert summary(cut(made, POST[:-1])) == [["/b", b"ab"]]
    assert made.end() == []


def test_same_head_is_the_same_object() -> None:
    made = session()
    first, second, other = [
        event for event in cut(made, GET + GET + POST) if isinstance(event, RequestHead)
    ]
    assert first is second
    assert other is not first
    long = GET.replace(b"/a", b"/" + b"x" * 3000)
    heads = [event for event in cut(made, long + long) if isinstance(event, RequestHead)]
    assert heads[0] is not heads[1]


@pytest.mark.parametrize("between", [POST, b"GET /a HTTP/1.1\r\nHost: b\r\n\r\n"])
def test_another_head_in_between_is_not_mixed_up(between: bytes) -> None:
    made = session()
    hosts = [
        (event.target, event.headers["host"])
        for event in cut(made, GET + between + GET)
        if isinstance(event, RequestHead)
    ]
    assert hosts[0] == hosts[2] == ("/a", "a")
    assert hosts[1] != hosts[0]


@pytest.mark.parametrize("data", [GET, POST, CHUNKED])
def test_session_is_in_a_head_until_that_has_come(data: bytes) -> None:
    made = session()
    head_size = data.index(b"\r\n\r\n") + 4
    assert not made.is_in_head
    for place in range(len(data)):
        cut(made, data[place : place + 1])
        assert made.is_in_head is (place + 1 < head_size)
    cut(made, b"G")
    assert made.is_in_head


def test_session_that_another_protocol_has_taken_over_is_in_no_head() -> None:
    made = session()
    cut(made, GET)
    made.is_raw = True
    made.buffer.append(IOBuf(b"GET"))
    assert not made.is_in_head


def test_many_requests_are_cut_in_several_turns() -> None:
    made = session()
    data = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(2 * MAX_ENDS + 1))
    found = [summary(cut(made, data))]
    while made.has_more:
        assert (made.unfinished_bytes, made.is_in_head) == (0, False), "all of them are complete"
        assert made.memory_bytes >= len(made.buffer) > 0
        found.append(summary(made.cut()))
    assert [len(each) for each in found] == [MAX_ENDS, MAX_ENDS, 1]
    assert [each[0] for part in found for each in part] == [f"/{n}" for n in range(65)]
    assert made.unfinished_mark == 2 * MAX_ENDS + 1


def test_exactly_as_many_requests_as_a_turn_takes_leave_nothing() -> None:
    made = session()
    assert len(summary(cut(made, GET * MAX_ENDS))) == MAX_ENDS
    assert not made.has_more


def test_session_that_becomes_raw_has_nothing_left_for_a_later_turn() -> None:
    """Else the reader would ask again and again, and read nothing more."""
    made = session()
    cut(made, GET * (MAX_ENDS + 1))
    assert made.has_more
    made.is_raw = True
    (rest,) = made.cut()
    assert (bytes(rest), made.has_more) == (GET, False)
