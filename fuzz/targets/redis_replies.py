"""Replies of Redis: those of hiredis alone, however they were cut, or an end that says why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import hiredis

from fuzz.fuzz_target import FuzzTarget
from fuzz.parameters import BYTEWISE, WHOLE, Parameters, pieces_of
from pybrpc.protocols.redis.reply_parser import BadReply, RedisCutter, RedisError, RedisPush

LIMITS = (1 << 20, 10_000, 100)
REPEATS = (1, 1, 1, 1, 1, 1, 1, 40)
_LARGE_COUNT = re.compile(rb"[*~>%|]\D*\d{6}")
_NOT_YET = object()
_STRICTER = ("nested deeper", "inside a reply", "elements", "larger", "declares no number")
"""Why pybrpc breaks up where hiredis goes on."""

_LIMITS = ("max_body_size", "nested deeper", "elements", "longer than")
"""Why pybrpc skips a reply that hiredis reads."""

WIRES = (
    *(b"+OK\r\n", b"-WRONGTYPE Operation\r\n", b":-42\r\n", b"$5\r\nhello\r\n", b"$-1\r\n"),
    *(b"*3\r\n:1\r\n$-1\r\n-ERR no\r\n", b"*2\r\n*1\r\n*1\r\n:1\r\n*0\r\n", b"_\r\n", b"#t\r\n"),
    *(b",1.5\r\n", b",-inf\r\n", b"(34928903284092385093\r\n", b"=7\r\ntxt:abc\r\n", b"*-1\r\n"),
    *(b"~2\r\n+a\r\n+b\r\n", b"%1\r\n+a\r\n*1\r\n:1\r\n", b">2\r\n+invalidate\r\n*1\r\n+k\r\n"),
    *(b"|1\r\n+ttl\r\n:5\r\n+b\r\n", b"%1\r\n*1\r\n:1\r\n:2\r\n:3\r\n", b"!5\r\nERR x\r\n"),
    *(b"*2\r\n:1\r\n|1\r\n+ttl\r\n:5\r\n:2\r\n", b"*2\r\n!3\r\nERR\r\n|0\r\n:1\r\n"),
)


class _BrokenError(Exception):
    """hiredis: this is no reply."""


def check(data: bytes) -> None:
    given = Parameters(data)
    limit, repeats, plan = given.one_of(LIMITS), given.one_of(REPEATS), given.number()
    stream = given.rest() * repeats
    replies, cutter = _cut(pieces_of(stream, WHOLE), limit)
    again, other = _cut(pieces_of(stream, plan), limit)
    assert _known(again) == _known(replies)
    assert (other.broken is None) == (cutter.broken is None)
    assert len(other.buffer) == len(cutter.buffer)
    # An attribute is a reply of its own to hiredis, which does not say that it is one, and a blob
    # error is none.
    if b"|" not in stream and b"!" not in stream and not _LARGE_COUNT.search(stream):
        _check_against_hiredis(stream, replies, cutter)


def _cut(pieces: list[bytes], limit: int) -> tuple[list[Any], RedisCutter]:
    cutter, found = RedisCutter(limit), []
    for piece in pieces:
        cutter.buffer.append(piece)
        found += cutter.cut()
        if cutter.broken is not None:
            assert cutter.broken.reason
            assert not cutter.buffer
        else:
            size, wanted = len(cutter.buffer), cutter.bytes_wanted()
            assert size <= limit
            assert 0 <= wanted <= limit - size
    return found, cutter


def _check_against_hiredis(stream: bytes, replies: list[Any], cutter: RedisCutter) -> None:
    theirs, is_broken = _replies_of_hiredis(stream)
    if any(map(_is_skipped, replies)):
        _check_beside_skipped(replies, theirs)
        return
    count = len(replies)
    held = next((at for at, reply in enumerate(replies) if _bad_in(reply)), None)
    if held is not None:
        assert len(theirs) == held
        assert is_broken
        assert _told(replies[:held]) == _told(theirs)
        return
    assert _told(replies) == _told(theirs[:count])
    if _is_skipping(cutter):
        return
    if cutter.broken is None:
        assert len(theirs) == count
    else:
        reason = cutter.broken.reason
        assert is_broken or any(word in reason for word in _STRICTER), reason
    # hiredis looks into a reply that is not whole yet, pybrpc does not.
    assert not is_broken or cutter.broken is not None or cutter.buffer


def _check_beside_skipped(replies: list[Any], theirs: list[Any]) -> None:
    """hiredis may be unable to read the one that was skipped, or one after it."""
    for ours, their in zip(replies, theirs, strict=False):
        assert _is_skipped(ours) or _told([ours]) == _told([their])


def _known(replies: list[Any]) -> str:
    """Which of several limits a reply is over, and by how much, is seen when it comes."""
    return repr(["skipped" if _is_skipped(reply) else reply for reply in replies])


def _told(replies: list[Any]) -> str:
    """hiredis does not say of a null push that it is one."""
    return repr([None if reply == RedisPush(()) else reply for reply in replies])


def _bad_in(reply: object) -> BadReply | None:
    values = reply.values if isinstance(reply, RedisPush) else (reply,)
    return next((value for value in values if isinstance(value, BadReply)), None)


def _is_skipping(cutter: RedisCutter) -> bool:
    """Whether the rest of the last reply would be dropped. hiredis reads it, or is broken by it."""
    return bool(cutter._parser._scanner._reason)


def _is_skipped(reply: object) -> bool:
    bad = _bad_in(reply)
    return bad is not None and any(word in bad.reason for word in _LIMITS)


def _replies_of_hiredis(stream: bytes) -> tuple[list[Any], bool]:
    """Up to the first that it can't read, or can't hold, and whether there is such a one."""
    reader = hiredis.Reader(
        protocolError=_BrokenError, replyError=RedisError, notEnoughData=_NOT_YET
    )
    reader.feed(stream)
    found: list[Any] = []
    try:
        while (reply := reader.gets()) is not _NOT_YET:
            is_push = isinstance(reply, hiredis.PushNotification)
            found.append(RedisPush(tuple(reply)) if is_push else reply)
    except (_BrokenError, TypeError):
        return found, True
    return found, False


def seeds() -> Iterator[bytes]:
    for plan, wire in enumerate(WIRES):
        yield bytes([0, 0, plan]) + wire
    yield bytes([0, 7, 9]) + b"".join(WIRES)
    yield bytes([1, 0, BYTEWISE]) + b"".join(WIRES)
    yield bytes([0, 7, 9]) + b"$2000\r\n" + bytes(2000) + b"\r\n"
    yield bytes([0, 0, 5]) + b"*1\r\n" * 130
    yield bytes([2, 0, BYTEWISE]) + b"+a\r\n$200\r\n" + bytes(200) + b"\r\n" + b"".join(WIRES)
    yield bytes([2, 0, 7]) + b"*2\r\n+" + bytes(200) + b"\r\n:1\r\n+b\r\n"


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(
        *WIRES,
        *(b"\r\n", b"*2147483648\r\n", b"$-5\r\n", b"$+1\r\n", b"$1_0\r\n", b"$ 1\r\n"),
        *(
            b"$007\r\n",
            b">-1\r\n",
            b"*-2\r\n",
            b"%-1\r\n",
            b"$?\r\n",
            b"=3\r\n",
            b",nan\r\n",
            b"$-0\r\n",
            b"*1\r\n",
        ),
    ),
    max_bytes=2500,
)
