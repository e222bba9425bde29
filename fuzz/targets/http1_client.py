"""The session of a client of HTTP/1: however the bytes are cut, the same responses come out; and
nothing is kept beyond the limits, nor after bytes that make no sense."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fuzz.fuzz_target import FuzzTarget
from fuzz.parameters import BYTEWISE, WHOLE, Parameters, pieces_of
from pybrpc.protocols.http1.client_session import (
    BodyEnd,
    BodyPart,
    HttpClientSession,
    ResponseBegin,
    WholeResponse,
)
from pybrpc.protocols.http1.http_protocol import HTTP
from pybrpc.protocols.protocol import ParseLimits
from tests.fakes.http1_messages import HOSTILE_RESPONSES, OK, SOUND_RESPONSES

LIMITS = (1 << 20, 100, 5)
METHODS = ("GET", "HEAD", "POST")
HEAD_BYTES = 64 * 1024 + 2048
"""The longest head, or trailers, that may be held beside the body."""


def check(data: bytes) -> None:
    given = Parameters(data)
    limit, method, is_progressive = given.one_of(LIMITS), given.one_of(METHODS), given.flag()
    ends, plan = given.flag(), given.number()
    stream = given.rest()
    expected = _cut(stream, WHOLE, limit, method, is_progressive, ends)
    assert _cut(stream, plan, limit, method, is_progressive, ends) == expected


def _cut(
    stream: bytes, plan: int, limit: int, method: str, is_progressive: bool, ends: bool
) -> tuple[list[Any], str | None]:
    session = HttpClientSession(HTTP, ParseLimits(max_body_size=limit))
    for _ in range(3):
        session.expect(method, is_progressive)
    found: list[Any] = []
    for piece in pieces_of(stream, plan):
        session.buffer.append(piece)
        _note(session.cut(), found)
        assert session.bytes_wanted() >= 0
        assert session.held_bytes + len(session.buffer) <= limit + HEAD_BYTES
        assert not session.output
    if ends:
        _note(session.end(), found)
    broken = None if session.broken is None else session.broken.reason
    if broken is not None:
        session.buffer.append(OK)
        assert session.cut() == []
        assert not session.buffer
    return found, broken


def _note(messages: list[Any], found: list[Any]) -> None:
    """Add messages in a form that can be compared; parts that follow each other are one."""
    for message in messages:
        if isinstance(message, WholeResponse):
            found.append((message.head.status, bytes(message.body), message.trailers))
        elif isinstance(message, ResponseBegin):
            found.append(message.head.status)
        elif isinstance(message, BodyPart):
            assert message.data
            if found and isinstance(found[-1], bytes):
                found[-1] += bytes(message.data)
            else:
                found.append(bytes(message.data))
        elif isinstance(message, BodyEnd):
            found.append(message.trailers)
        else:
            found.append(message)


def seeds() -> Iterator[bytes]:
    wires = [*SOUND_RESPONSES.values(), *HOSTILE_RESPONSES.values()]
    for number, wire in enumerate(wires):
        if len(wire) < TARGET.max_bytes:
            ends = number % 2
            yield bytes([0, 0, ends, ends, BYTEWISE]) + wire
            yield bytes([number % 3, number % 3, 0, 0, 2 + number % 200]) + wire + OK


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(
        *(b"\r\n", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"),
        *(b"0\r\n\r\n", b"5\r\nhello\r\n", b" 204 ", b" 304 ", b" 101 "),
    ),
    max_bytes=1500,
)
