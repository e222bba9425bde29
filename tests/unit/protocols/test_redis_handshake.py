"""RedisHandshake with old and new servers, command by command."""

from __future__ import annotations

from typing import Any

import hiredis
import pytest

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

HELLO_REPLY = b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n"
UNKNOWN = b"-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n"
OK = b"+OK\r\n"


def talk(login: RedisLogin, *replies: bytes, after: bytes = b"") -> list[str]:
    """The bytes that a handshake sends to a server with these replies, received byte by byte."""
    handshake, said, incoming = RedisHandshake(login), IOBuf(), IOBuf()
    is_over = handshake.start(said)
    for number, reply in enumerate(replies):
        assert not is_over
        is_last = number == len(replies) - 1
        wire = reply + (after if is_last else b"")
        for index in range(len(reply)):
            assert not is_over
            incoming.append(
                wire[index:] if is_last and index == len(reply) - 1 else wire[index : index + 1]
            )
            is_over = handshake.on_data(incoming, said)
    assert is_over
    assert bytes(incoming) == after
    return commands_in(bytes(said))


def commands_in(wire: bytes) -> list[str]:
    reader, found = hiredis.Reader(encoding="utf-8"), []
    reader.feed(wire)
    while command := reader.gets():
        found.append(" ".join(command))
    return found


def failure(login: RedisLogin, *replies: bytes) -> RpcError:
    with pytest.raises(RpcError) as caught:
        talk(login, *replies)
    error = caught.value
    assert error.phase is Phase.HANDSHAKE
    assert error.is_remote
    return error


def test_handshake_without_a_login_sends_hello_only() -> None:
    assert talk(RedisLogin(), HELLO_REPLY) == ["HELLO 3 SETNAME pybrpc"]


def test_handshake_sends_all_settings_and_leaves_later_bytes() -> None:
    login = RedisLogin("app", "sesame", 3, "me")
    said = talk(login, HELLO_REPLY, OK, after=b"+next\r\n")
    assert said == ["HELLO 3 AUTH app sesame SETNAME me", "SELECT 3"]


def test_password_without_a_username_is_for_the_default_user() -> None:
    said = talk(RedisLogin(password="sesame", client_name=""), HELLO_REPLY)
    assert said == ["HELLO 3 AUTH default sesame"]


@pytest.mark.parametrize(
    "first", [UNKNOWN, b"-NOPROTO unsupported protocol version\r\n", b"-NOAUTH needed\r\n"]
)
def test_handshake_falls_back_to_resp2_with_an_old_server(first: bytes) -> None:
    said = talk(RedisLogin(password="sesame", db=2), first, OK, b"-ERR no names here\r\n", OK)
    assert said[1:] == ["AUTH sesame", "CLIENT SETNAME pybrpc", "SELECT 2"]


def test_handshake_with_resp2_sends_no_hello() -> None:
    login = RedisLogin("app", "sesame", protocol=2, client_name="")
    assert talk(login, OK) == ["AUTH app sesame"]
    assert talk(RedisLogin(protocol=2, client_name="")) == []


def test_handshake_ignores_pushes() -> None:
    assert talk(RedisLogin(), b">1\r\n+hi\r\n" + HELLO_REPLY) == ["HELLO 3 SETNAME pybrpc"]


@pytest.mark.parametrize(
    ("login", "replies", "words"),
    [
        (RedisLogin(), [b"-NOAUTH HELLO must be called\r\n"], "NOAUTH HELLO .* give the channel"),
        (RedisLogin(password="x"), [b"-WRONGPASS invalid\r\n"], "WRONGPASS invalid.*; check user"),
        (RedisLogin(), [b"-DENIED protected mode\r\n"], "DENIED protected mode"),
        (RedisLogin(password="x"), [UNKNOWN, b"-ERR invalid password\r\n"], "AUTH: ERR invalid pa"),
        (RedisLogin(db=1), [HELLO_REPLY, b"-NOPERM no select\r\n"], "SELECT: NOPERM no select"),
    ],
)
def test_refused_login_raises_authentication_error(
    login: RedisLogin, replies: list[bytes], words: str
) -> None:
    error = failure(login, *replies)
    assert type(error) is AuthenticationError
    with pytest.raises(AuthenticationError, match=words):
        raise error


def test_part_of_the_password_that_a_server_repeats_is_not_shown() -> None:
    """An old server or a proxy shows the first 128 bytes of the arguments."""
    password = "sesame" * 40
    echo = f"-ERR unknown command `AUTH`, with args beginning with: `{password[:128]}`, \r\n"
    error = failure(RedisLogin(password=password), UNKNOWN, echo.encode())
    assert "sesame" not in str(error)
    assert "unknown command `AUTH`, with args beginning with: ..." in error.text


def test_unknown_database_raises_bad_request_error() -> None:
    error = failure(RedisLogin(db=99), HELLO_REPLY, b"-ERR DB index is out of range\r\n")
    assert type(error) is BadRequestError
    assert error.text == "Redis refuses SELECT: ERR DB index is out of range"


@pytest.mark.parametrize(
    "reply", [b"-LOADING dataset\r\n", b"-ERR max number of clients reached\r\n"]
)
def test_server_that_is_not_ready_raises_an_error_worth_a_retry(reply: bytes) -> None:
    error = failure(RedisLogin(), reply)
    assert type(error) is HandshakeError
    assert error.name == "EFAILEDSOCKET"


def test_server_of_another_protocol_raises_protocol_error() -> None:
    error = failure(RedisLogin(), b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert type(error) is ProtocolError
    assert "does not speak the protocol of Redis" in error.text


def test_server_that_speaks_tls_is_recognized() -> None:
    handshake, said = RedisHandshake(RedisLogin()), IOBuf()
    handshake.start(said)
    alert = IOBuf(b"\x15\x03\x01\x00\x02\x02\x46")
    with pytest.raises(ProtocolError, match="the peer speaks TLS, and this side was given no tls="):
        handshake.on_data(alert, said)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"username": "app"}, "needs password="),
        ({"db": -1}, "db must be"),
        ({"db": "1"}, "db must be"),
        ({"client_name": "two words"}, "without blanks"),
        ({"protocol": 4}, "2 or 3"),
    ],
)
def test_invalid_logins_are_refused(options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RedisLogin(**options)


def test_repr_of_a_login_does_not_show_the_password() -> None:
    login = RedisLogin("app", "sesame")
    assert "sesame" not in f"{login!r} {RedisHandshake(login)!r}"
    assert login != RedisLogin("app", "other")
