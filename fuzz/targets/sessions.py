"""The session of an accepted connection: the chooser, frames of several protocols, responses in
order. However the bytes are cut, the same messages come out of them, each with the same packer."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz import vectors
from fuzz.fuzz_target import FuzzTarget
from fuzz.parameters import BYTEWISE, WHOLE, Parameters, pieces_of
from pybrpc.protocols.built_in import framed_protocols
from pybrpc.protocols.chooser import new_server_session
from pybrpc.protocols.message import Message, RpcRequest
from pybrpc.protocols.protocol import DEFAULT_MAX_BODY_SIZE, ParseLimits
from pybrpc.protocols.session import follow
from tests.peers.line_protocols import JSON_LINES, PLAIN_LINES

LIMITS = (DEFAULT_MAX_BODY_SIZE, 5000, 600, 64)
ENABLED = (
    (*framed_protocols(), JSON_LINES, PLAIN_LINES),
    (*framed_protocols(), JSON_LINES),
    (PLAIN_LINES,),
)
MORE_BYTES = 64
"""Bytes of a header, which are awaited beside the body."""


def check(data: bytes) -> None:
    given = Parameters(data)
    limit, enabled, plan = given.one_of(LIMITS), given.one_of(ENABLED), given.number()
    stream = given.rest()
    expected = _cut(stream, WHOLE, limit, enabled)
    assert _cut(stream, plan, limit, enabled) == expected


def _cut(
    stream: bytes, plan: int, limit: int, enabled: tuple[object, ...]
) -> tuple[list[Message], list[object], str]:
    session = new_server_session(ParseLimits(limit), enabled)
    found: list[Message] = []
    for piece in pieces_of(stream, plan):
        session.buffer.append(piece)
        found += session.cut()
        session = follow(session, found)
        assert session.bytes_wanted() >= 0
        assert len(session.buffer) <= limit + MORE_BYTES
        assert not session.output
    packers = [getattr(message, "packer", None) for message in found]
    return found, packers, "broken" if session.broken is not None else session.name


def seeds() -> Iterator[bytes]:
    streams = vectors.recorded("client")
    for plan, stream in enumerate(streams):
        yield bytes([0, 0, plan]) + stream
    yield bytes([0, 1, BYTEWISE]) + b"".join(streams[:3])
    request = RpcRequest(7, "a.Service", "Method", b"a body")
    lines = [bytes(each.pack_request(request)) for each in (JSON_LINES, PLAIN_LINES)]
    for number in range(3):
        yield bytes([number, number, 5]) + b"".join(lines)
        yield bytes([0, number, BYTEWISE]) + lines[1] * 3 + lines[0]
    yield bytes([0, 0, 9]) + lines[0] + streams[0] + lines[0]


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(b"PRPC", b"HULU", b"SOFA", b'{"id": 1, ', b"CALL a.b ", b"OK \n", b"NO 1 x\n"),
    max_bytes=3000,
)
