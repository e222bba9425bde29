"""The login of Redis: done, waiting, or a typed error, the same however its answers were cut; and
it says commands only, no more of them than there are steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hiredis

from fuzz.fuzz_target import FuzzTarget
from fuzz.parameters import BYTEWISE, WHOLE, Parameters, pieces_of
from pybrpc.errors import (
    AuthenticationError,
    BadRequestError,
    HandshakeError,
    Phase,
    ProtocolError,
    RpcError,
)
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.redis.redis_handshake import RedisHandshake, RedisLogin

PASSWORD = "very-secret"
LOGINS = (
    RedisLogin(),
    RedisLogin(password=PASSWORD),
    RedisLogin("user", PASSWORD, db=3),
    RedisLogin(db=7, client_name="", protocol=2),
    RedisLogin("user", PASSWORD, db=1, protocol=2),
    RedisLogin(client_name="", protocol=2),
)
MOST_COMMANDS = 4
"""HELLO; AUTH, CLIENT SETNAME, SELECT."""

_NOT_YET = object()
_EXPECTED = (AuthenticationError, BadRequestError, HandshakeError, ProtocolError)


def check(data: bytes) -> None:
    given = Parameters(data)
    login, plan = given.one_of(LOGINS), given.number()
    answers = given.rest()
    outcome = _log_in(login, pieces_of(answers, WHOLE))
    assert _log_in(login, pieces_of(answers, plan)) == outcome
    result, said, left = outcome
    commands = _commands_in(said)
    assert len(commands) <= MOST_COMMANDS
    if result == "True":
        assert answers.endswith(left)
        _check_each_was_answered(commands, answers[: len(answers) - len(left)])


def _log_in(login: RedisLogin, pieces: list[bytes]) -> tuple[str, bytes, bytes]:
    """How it ended, what it said, and what it has left for the first command."""
    handshake, incoming, outgoing = RedisHandshake(login), IOBuf(), IOBuf()
    is_done = handshake.start(outgoing)
    try:
        for piece in pieces:
            incoming.append(piece)
            is_done = is_done or handshake.on_data(incoming, outgoing)
    except _EXPECTED as error:
        _check_error(error, b"".join(pieces))
        return type(error).__name__, bytes(outgoing), b""
    return str(is_done), bytes(outgoing), bytes(incoming)


def _check_each_was_answered(commands: list[list[bytes]], answers: bytes) -> None:
    """And that none of those that count was refused."""
    # An attribute is a reply of its own to hiredis, which does not say that it is one.
    if b"|" in answers:
        return
    try:
        found = _all_of(answers)
    except TypeError:  # a map as the key of a map: hiredis can't make that
        return
    replies = [one for one in found if not isinstance(one, hiredis.PushNotification)]
    assert len(replies) == len(commands)
    for (name, *_), reply in zip(commands, replies, strict=True):
        if isinstance(reply, hiredis.ReplyError):
            is_old = str(reply).lower().startswith(("err unknown command", "noauth", "noproto"))
            assert name == b"CLIENT" or (name == b"HELLO" and is_old), (name, reply)


def _check_error(error: RpcError, answers: bytes) -> None:
    assert error.text
    assert error.phase is Phase.HANDSHAKE
    assert PASSWORD not in error.text or PASSWORD.encode() in answers


def _commands_in(said: bytes) -> list[list[bytes]]:
    commands = _all_of(said)
    for command in commands:
        assert isinstance(command, list)
        assert all(isinstance(word, bytes) for word in command)
    return commands


def _all_of(data: bytes) -> list[Any]:
    reader = hiredis.Reader(notEnoughData=_NOT_YET)
    reader.feed(data)
    found: list[Any] = []
    while (reply := reader.gets()) is not _NOT_YET:
        found.append(reply)
    return found


def seeds() -> Iterator[bytes]:
    hello = b"%2\r\n+server\r\n+redis\r\n+proto\r\n:3\r\n"
    for number in range(len(LOGINS)):
        yield bytes([number, number]) + b"+OK\r\n" * 4
        yield bytes([number, BYTEWISE]) + hello + b"+OK\r\n>1\r\n+x\r\n+OK\r\n"
        yield bytes([number, 5]) + b"-ERR unknown command 'HELLO'\r\n" + b"+OK\r\n" * 3 + b":1\r\n"
    for error in (b"NOAUTH", b"WRONGPASS", b"NOPROTO", b"LOADING", b"ERR max number of clients"):
        yield bytes([2, 0]) + b"-" + error + b" reached\r\n"
    yield bytes([0x84, 1]) + b"%1\r\n%0\r\n,\r\n"  # a map with a map as key


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(b"-NOAUTH \r\n", b"-NOPROTO \r\n", b"-WRONGPASS \r\n", b"-ERR \r\n", b"+OK\r\n"),
    max_bytes=400,
)
