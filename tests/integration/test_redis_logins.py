"""Logging in to a real redis-server: passwords, ACL users, databases, Unix sockets."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator

import pytest

from pybrpc.errors import AuthenticationError, BadRequestError, Phase, RpcError, RpcTimeoutError
from pybrpc.redis import RedisChannel, RedisError, RedisRequest
from tests.peers.redis_server import RedisServer

PASSWORD = "open-sesame"
READER = "reader on >read-me ~* +get +ping"
TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer(password=PASSWORD, users=(READER,)) as started:
        yield started


def login_error(server: RedisServer, **login: str) -> RpcError:
    with RedisChannel(server.address, timeout=TIMEOUT_S, **login) as channel:  # type: ignore[arg-type]
        futures = [channel.future(RedisRequest().add("PING")) for _ in range(20)]
        errors = [future.exception() for future in futures]
    for error in errors:
        assert isinstance(error, AuthenticationError)
        assert error.phase is Phase.HANDSHAKE
        assert error.peer == server.address
    assert isinstance(errors[0], RpcError)
    return errors[0]


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_password(server: RedisServer, protocol: int) -> None:
    with RedisChannel(
        server.address, password=PASSWORD, protocol=protocol, timeout=TIMEOUT_S
    ) as channel:  # type: ignore[arg-type]
        assert channel.execute("PING") == b"PONG"
        assert [client["resp"] for client in server.clients()] == [str(protocol)]


def test_a_wrong_password_reaches_everybody_and_is_shown_to_nobody(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        error = login_error(server, password="sesame-shut")
    assert "WRONGPASS invalid username-password pair or user is disabled" in error.text
    assert "check username= and password=" in error.text
    shown = f"{error!r} {''.join(traceback.format_exception(error))} {caplog.text}"
    assert "sesame-shut" not in shown
    channel = RedisChannel(server.address, password="sesame-shut")
    assert "sesame-shut" not in f"{channel!r} {channel.source()!r} {vars(channel)!r}"


def test_no_password_for_a_server_that_wants_one(server: RedisServer) -> None:
    error = login_error(server)
    assert "NOAUTH" in error.text
    assert "give the channel username= and password=" in error.text


def test_a_user_of_the_acl_may_what_he_may(server: RedisServer) -> None:
    with RedisChannel(
        server.address, username="reader", password="read-me", timeout=TIMEOUT_S
    ) as channel:
        assert channel.execute("GET", "k") is None
        response = channel.call(RedisRequest().add("GET", "k").add("SET", "k", 1).add("PING"))
        assert (response[0], response[2]) == (None, b"PONG")
        assert response[1].code == "NOPERM"
        with pytest.raises(RedisError, match="NOPERM"):
            channel.execute("FLUSHALL")
        assert [client["user"] for client in server.clients()] == ["reader"]


def test_a_transaction_whose_exec_is_refused_is_not_left_open(server: RedisServer) -> None:
    """Else every later command on the shared connection would only be queued."""
    server.run("ACL", "SETUSER", "no-exec", "on", ">pw", "~*", "+@all", "-exec")
    with RedisChannel(
        server.address, username="no-exec", password="pw", timeout=TIMEOUT_S
    ) as channel:
        response = channel.call(RedisRequest().add("MULTI").add("SET", "k", 1).add("EXEC"))
        assert response[2].code == "EXECABORT"
        assert channel.execute("GET", "k") is None


def test_a_database_that_a_user_may_not_select(server: RedisServer) -> None:
    error = login_error(server, username="reader", password="read-me", db=1)  # type: ignore[arg-type]
    assert "SELECT: NOPERM" in error.text


def test_a_wrong_password_is_right_later(server: RedisServer) -> None:
    """A login that was refused is tried again in the background, and calls may wait for that."""
    with RedisChannel(
        server.address, username="late", password="secret", timeout=TIMEOUT_S, wait_for_ready=True
    ) as channel:
        with pytest.raises(RpcTimeoutError, match=r"which is not ready: .*WRONGPASS"):
            channel.execute("PING", timeout=0.1)
        waiting = channel.future(RedisRequest().add("PING"))
        server.run("ACL", "SETUSER", "late", "on", ">secret", "+ping")
        assert waiting.result() == (b"PONG",)


def test_databases() -> None:
    with RedisServer(databases=4) as server:
        with RedisChannel(server.address, db=3, timeout=TIMEOUT_S) as channel:
            channel.execute("SET", "k", "v")
            assert server.run("INFO", "keyspace").startswith(b"# Keyspace\r\ndb3:keys=1")
        with (
            RedisChannel(server.address, db=4, timeout=TIMEOUT_S) as channel,
            pytest.raises(BadRequestError, match="SELECT: ERR DB index is out of range"),
        ):
            channel.execute("PING")


def test_a_unix_socket(server: RedisServer) -> None:
    with RedisChannel(server.unix_address, password=PASSWORD, timeout=TIMEOUT_S) as channel:
        assert channel.execute("ECHO", "x") == b"x"
        (client,) = server.clients()
        assert client["addr"].startswith(str(server.path))


def test_too_many_clients_is_worth_a_retry() -> None:
    with (
        RedisServer(maxclients=1) as server,
        RedisChannel(server.address, timeout=TIMEOUT_S, client_name="first") as first,
        RedisChannel(server.address, timeout=TIMEOUT_S, client_name="second") as second,
    ):
        first.execute("PING")
        with pytest.raises(RpcError, match="max number of clients") as caught:
            second.execute("PING")
        assert caught.value.text.count("max number of clients") == 4  # three retries
        first.close()
        assert second.execute("PING") == b"PONG"
