"""`check_session`: tests that the session of every protocol must pass, whatever its format.

Each check raises AssertionError with the bytes that it failed on. The bytes depend on a seed, so a
failure can be repeated.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import NamedTuple

from pybrpc.protocols.message import Message
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.protocols.session import Session, follow

__all__ = ["check_session"]


def __dir__() -> list[str]:
    return __all__


MakeSession = Callable[[ParseLimits], Session]
"""Makes a session as it is when the connection begins; a client's has its requests noted."""


class Found(NamedTuple):
    """All that came of a stream of bytes."""

    messages: list[Message]
    output: bytes
    is_broken: bool


def check_session(
    make: MakeSession, stream: bytes, *, head_bytes: int = 64, table_bytes: int = 0, seed: int = 1
) -> list[Message]:
    """Run all checks below on the session that `make` makes. Return the messages of `stream`.

    stream       whole messages, which the session understands
    head_bytes   how much of a message it may await before it knows the size
    table_bytes  memory of its tables and windows, beside the parts of messages
    seed         of the random changes
    """
    found = feed(make(ParseLimits()), [stream])
    assert not found.is_broken, f"broken by {stream!r}"
    check_all_splits(make, stream, found)
    check_ends(make, stream, found)
    check_bad_bytes(make, stream, random.Random(seed))
    check_memory(make, stream, head_bytes + table_bytes)
    return found.messages


def check_all_splits(make: MakeSession, stream: bytes, expected: Found) -> None:
    """Split in two at any byte, or into single bytes, a stream gives the same."""
    for at in range(len(stream) + 1):
        found = feed(make(ParseLimits()), [stream[:at], stream[at:]])
        assert found == expected, f"split at {at}: {found}, not {expected}"
    singles = [stream[index : index + 1] for index in range(len(stream))]
    assert feed(make(ParseLimits()), singles) == expected, "byte by byte"


def check_ends(make: MakeSession, stream: bytes, expected: Found) -> None:
    """The input may end at any byte: that raises nothing, and completes at most one message."""
    for at in range(len(stream) + 1):
        session = make(ParseLimits())
        found = feed(session, [stream[:at]], and_end=True)
        count = len(found.messages)
        whole = expected.messages[: max(0, count - 1)]
        assert found.messages[: len(whole)] == whole, f"ended at {at}: {found.messages}"
        assert count <= len(expected.messages) + 1, f"ended at {at}: {found.messages}"


def check_bad_bytes(make: MakeSession, stream: bytes, random_source: random.Random) -> None:
    """Random bytes, and messages with a wrong byte, raise nothing. What is broken stays so."""
    samples = [random_source.randbytes(random_source.randint(1, 256)) for _ in range(200)]
    for at in range(len(stream)):
        damaged = bytearray(stream)
        damaged[at] ^= random_source.randint(1, 255)
        samples.append(bytes(damaged))
    for sample in samples:
        session = make(ParseLimits())
        session.buffer.append(sample)
        messages = session.cut()
        session = follow(session, messages)
        assert session.bytes_wanted() >= 0, f"{sample!r}"
        if session.broken is not None:
            assert session.broken.reason, f"no reason for {sample!r}"
            session.buffer.append(stream)
            assert session.cut() == [], f"goes on after {sample!r}"
            assert not session.buffer, f"keeps what comes after {sample!r}"


def check_memory(make: MakeSession, stream: bytes, more_bytes: int) -> None:
    """Whatever comes, and however slowly, no more is held than the limits and `more_bytes`."""
    for limit in (0, 16, max(17, len(stream) // 4)):
        rest = bytes(2 * (limit + more_bytes))
        for data in (stream, stream[:1] + rest, stream[:-1] + rest):
            session = make(ParseLimits(max_body_size=limit))
            before = session.held_bytes
            for index in range(len(data)):
                session.buffer.append(data[index : index + 1])
                session = follow(session, session.cut())
                held = len(session.buffer) + session.held_bytes - before
                text = f"holds {held} bytes at limit {limit}, at byte {index} of {data!r}"
                assert held <= limit + more_bytes, text
                wanted = session.bytes_wanted()
                most = limit + more_bytes - len(session.buffer)
                assert not wanted or _skips(session) or wanted <= most, f"wants {wanted}, {text}"


def feed(session: Session, pieces: Iterable[bytes], and_end: bool = False) -> Found:
    """All that comes of `pieces`, one after the other, and perhaps of the end of the input."""
    messages: list[Message] = []
    output = b""
    for piece in pieces:
        session.buffer.append(piece)
        messages += session.cut()
        session = follow(session, messages)
        while session.has_more and session.broken is None:
            size = len(session.buffer)
            messages += session.cut()
            assert len(session.buffer) < size, "has more, and cuts nothing"
        output += bytes(session.output)
        session.output.clear()
    if and_end and session.broken is None:
        messages += session.end()
        output += bytes(session.output)
    return Found(messages, output, session.broken is not None)


def _skips(session: Session) -> bool:
    """Whether the bytes that it wants are dropped as they come."""
    return not session.buffer
