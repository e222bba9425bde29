"""HttpClientSession: responses in received bytes, however they are cut."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from pybrpc.protocols.http1.client_session import (
    MAX_CONTINUES,
    MAX_INTERIM,
    BodyEnd,
    BodyPart,
    HttpClientSession,
    OversizedResponse,
    ResponseBegin,
    WholeResponse,
)
from pybrpc.protocols.http1.http_protocol import HTTP
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.protocols.session import Side
from pybrpc.testing.check_session import check_bad_bytes

VECTORS = Path(__file__).parents[3] / "golden" / "vectors"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nT: t\r\n\r\n"
)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"


def session_of(*expected: tuple[str, bool], limit: int = 1000) -> HttpClientSession:
    session = HttpClientSession(HTTP, ParseLimits(max_body_size=limit))
    for method, is_progressive in expected:
        session.expect(method, is_progressive)
    return session


def fed(session: HttpClientSession, *pieces: bytes, ends: bool = False) -> list[Any]:
    messages: list[Any] = []
    for piece in pieces:
        session.buffer.append(piece)
        messages += session.cut()
    return messages + (session.end() if ends else [])


def seen(messages: list[Any]) -> list[Any]:
    """Messages in a form that can be compared; parts that follow each other are one."""
    found: list[Any] = []
    for message in messages:
        if isinstance(message, WholeResponse):
            trailers = None if message.trailers is None else dict(message.trailers)
            found.append((message.head.status, bytes(message.body), trailers))
        elif isinstance(message, ResponseBegin):
            found.append(message.head.status)
        elif isinstance(message, BodyPart):
            data = bytes(message.data)
            if found and isinstance(found[-1], bytes):
                found[-1] += data
            else:
                found.append(data)
        elif isinstance(message, BodyEnd):
            found.append(None if message.trailers is None else dict(message.trailers))
        else:
            found.append(message)
    return found


GET, READ, HEAD = ("GET", False), ("GET", True), ("HEAD", False)


@pytest.mark.parametrize(
    ("expected", "stream", "found"),
    [
        ([GET], OK, [(200, b"ok", None)]),
        ([GET], CHUNKED, [(200, b"abcde", {"T": "t"})]),
        ([GET, GET], OK + CHUNKED, [(200, b"ok", None), (200, b"abcde", {"T": "t"})]),
        ([GET], INTERIM * 3 + OK, [(200, b"ok", None)]),
        ([HEAD, GET], OK[:-2] + OK, [(200, b"", None), (200, b"ok", None)]),
        ([READ], OK, [200, b"ok", None]),
        ([READ, GET], INTERIM + CHUNKED + OK, [200, b"abcde", {"T": "t"}, (200, b"ok", None)]),
        ([READ], b"HTTP/1.1 204 No\r\n\r\n", [204, None]),
    ],
)
def test_every_split_gives_the_same(expected: list[Any], stream: bytes, found: list[Any]) -> None:
    for at in range(len(stream) + 1):
        session = session_of(*expected)
        assert seen(fed(session, stream[:at], stream[at:])) == found, at
        assert session.broken is None
        assert not session.has_begun
    singles = [stream[index : index + 1] for index in range(len(stream))]
    assert seen(fed(session_of(*expected), *singles)) == found


@pytest.mark.parametrize("case", ["echo", "fail", "gzip", "logid"])
def test_recordings_of_cpp(case: str) -> None:
    data = (VECTORS / f"http_{case}.server.bin").read_bytes()
    (message,) = fed(session_of(("POST", False), limit=100_000), data)
    assert isinstance(message, WholeResponse)
    assert message.head.status == (500 if case == "fail" else 200)
    assert message.body


def test_body_until_the_end_of_the_connection() -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    assert seen(fed(session_of(GET), head + b"a", b"b", ends=True)) == [(200, b"ab", None)]
    assert seen(fed(session_of(READ), head + b"a", ends=True)) == [200, b"a", None]


@pytest.mark.parametrize("cut", [b"", b"HTTP/1", OK[:-1], CHUNKED[:-2]])
def test_end_inside_a_response_completes_nothing(cut: bytes) -> None:
    session = session_of(GET)
    assert fed(session, cut, ends=True) == []
    assert session.has_begun is bool(cut)


def test_has_begun_tells_whether_a_byte_of_the_response_has_come() -> None:
    session = session_of(GET)
    assert not session.has_begun
    fed(session, b"H")
    assert session.has_begun
    fed(session, OK[1:])
    assert not session.has_begun


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (OK + OK, "no request has asked for"),
        (b"GET / HTTP/1.1\r\n\r\n", "http: "),
        (INTERIM * (MAX_INTERIM + 1), "interim"),
        (CONTINUE * (MAX_CONTINUES + 1), "100 Continue"),
    ],
)
def test_what_makes_no_sense_breaks_it(stream: bytes, reason: str) -> None:
    session = session_of(GET)
    fed(session, stream)
    assert session.broken is not None
    assert reason in session.broken.reason
    assert fed(session, OK) == []
    assert not session.buffer


def test_each_request_may_have_so_many_interim_responses() -> None:
    """C++ bRPC repeats "100 Continue" for each piece of a body that it reads."""
    said = CONTINUE * MAX_CONTINUES + INTERIM * MAX_INTERIM + OK
    session = session_of(GET, GET)
    assert seen(fed(session, said + said)) == [(200, b"ok", None)] * 2
    assert session.broken is None


def test_body_above_the_limit_is_told_and_not_kept() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"
    session = session_of(GET)
    (message,) = fed(session, head + bytes(10))
    assert isinstance(message, OversizedResponse)
    assert "max_body_size=1000" in message.reason
    assert session.broken is not None
    assert session.unfinished_bytes == 0


def test_body_that_is_read_in_parts_has_no_limit_and_is_not_kept() -> None:
    session = session_of(READ, limit=10)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    assert seen(fed(session, head, bytes(500), bytes(500))) == [200, bytes(1000), None]
    session = session_of(READ, limit=10)
    fed(session, head + bytes(900))
    assert (session.unfinished_bytes, session.bytes_wanted()) == (0, 0)


def test_wants_the_rest_of_a_body_and_counts_it() -> None:
    session = session_of(GET)
    fed(session, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", bytes(300))
    assert (session.bytes_wanted(), session.unfinished_bytes) == (700, 300)
    assert session.held_bytes >= 300


def test_any_bytes_are_understood_or_break_it() -> None:

    def make(limits: ParseLimits) -> HttpClientSession:
        return session_of(GET, READ, GET, limit=limits.max_body_size)

    stream = INTERIM + OK + CHUNKED
    check_bad_bytes(make, stream, random.Random(1))


@pytest.mark.parametrize("endless", [b"A: b\r\n", b"x", b"HTTP/1.1 100 Go\r\n\r\n"])
@pytest.mark.parametrize("start", [b"", OK[:17], OK[:17] + b"\r\n", CHUNKED[:-20]])
def test_endless_bytes_are_not_kept(start: bytes, endless: bytes) -> None:
    session = session_of(GET)
    fed(session, start)
    most = 0
    for _ in range(300):
        fed(session, endless * (1000 // len(endless)))
        most = max(most, session.held_bytes + len(session.buffer))
    assert session.broken is not None
    assert most < 64 * 1024 + 2000


def test_protocol_makes_it_for_clients() -> None:
    session = HTTP.new_session(Side.CLIENT, ParseLimits())
    assert isinstance(session, HttpClientSession)
    assert (session.name, session.is_ordered) == ("http", False)
