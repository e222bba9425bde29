"""RedisRequest, RedisResponse and the options of a RedisChannel, without a server."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

import pybrpc
from pybrpc.base.backoff import Backoff
from pybrpc.client.calls.retry import RetryPolicy
from pybrpc.errors import (
    BadRequestError,
    BadResponseError,
    ErrorCode,
    MissingExtraError,
    Phase,
    make_rpc_error,
)
from pybrpc.redis import RedisChannel, RedisError, RedisRequest, RedisResponse
from pybrpc.redis import aio as redis_aio
from pybrpc.redis.redis_messages import RedisMethod
from tests.peers.echo import ECHO

ADDRESS = "127.0.0.1:6379"


def test_commands_are_packed_in_their_order() -> None:
    request = RedisRequest().add("SET", "k", 1).add("get", "k")
    assert bytes(request.packed()) == (
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n1\r\n*2\r\n$3\r\nget\r\n$1\r\nk\r\n"
    )
    assert len(request) == 2
    assert bytes(request.packed()) == bytes(request.packed())


def test_refused_command_is_not_added() -> None:
    request = RedisRequest().add("PING")
    for command in (["SUBSCRIBE", "c"], ["SET", "k", None], []):
        with pytest.raises(BadRequestError):
            request.add(*command)  # type: ignore[arg-type]
    assert bytes(request.packed()) == b"*1\r\n$4\r\nPING\r\n"


def test_an_unfinished_request_can_be_finished() -> None:
    request = RedisRequest()
    with pytest.raises(BadRequestError, match="needs a command"):
        request.packed()
    with pytest.raises(BadRequestError, match="in one request"):
        request.add("MULTI").packed()
    request.add("EXEC").packed()


def test_its_repr_shows_no_arguments() -> None:
    request = RedisRequest().add("SET", "k", "secret")
    assert repr(request) == "<RedisRequest SET>"
    for _ in range(20):
        request.add("PING")
    assert repr(request).endswith("PING, ...>")


def test_only_a_request_can_be_called() -> None:
    with pytest.raises(BadRequestError, match=r"must be a pybrpc\.redis\.RedisRequest"):
        RedisMethod(False).serialize("PING", None)


def test_errors_are_among_the_replies_until_raise_for_error() -> None:
    response = RedisResponse([b"OK", RedisError("ERR first"), RedisError("ERR second")])
    assert response[1].code == "ERR"
    with pytest.raises(RedisError, match="ERR first"):
        response.raise_for_error()
    for inside in ([1, RedisError("ERR inside")], {b"k": [RedisError("ERR inside")]}):
        with pytest.raises(RedisError, match="ERR inside"):
            RedisResponse([b"QUEUED", inside]).raise_for_error()
    fine = RedisResponse([1, None])
    assert fine.raise_for_error() is fine


def test_only_returns_the_reply_of_a_single_command() -> None:
    assert RedisResponse([b"v"]).only() == b"v"
    with pytest.raises(RedisError, match="WRONGTYPE"):
        RedisResponse([RedisError("WRONGTYPE x")]).only()


def test_decoding_reaches_nested_replies() -> None:
    reply = [b"\xc3\xa9", 1, None, {b"k": [b"v"]}, RedisError("ERR x")]
    assert RedisMethod(True).parse([reply], 0) == (["\u00e9", 1, None, {"k": ["v"]}, reply[-1]],)
    assert RedisMethod(False).parse([reply], 0) == (reply,)
    with pytest.raises(BadResponseError, match=r"not UTF-8: .* use a channel without decode=True"):
        RedisMethod(True).parse([[b"ab\xff"]], 0)


@pytest.mark.parametrize("make", [RedisChannel, redis_aio.RedisChannel])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"username": "app"}, "needs password="),
        ({"db": -1}, "db must be"),
        ({"backup_request_ms": 5}, "leave out backup_request_ms: it would run commands twice"),
        ({"auth": object()}, "logs in by username= and password="),
        ({"health_check": object()}, "leave out health_check"),
        ({"max_retry": -1}, "max_retry"),
    ],
)
def test_options_without_a_meaning_for_redis_are_refused(
    make: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        make(ADDRESS, **options)


@pytest.mark.parametrize("make", [RedisChannel, redis_aio.RedisChannel])
def test_stub_refuses_a_redis_channel(make: Any) -> None:
    with pytest.raises(TypeError, match="speaks Redis"):
        pybrpc.Stub(ECHO, make(ADDRESS))


@pytest.mark.parametrize("make", [RedisChannel, redis_aio.RedisChannel])
def test_missing_hiredis_raises_an_error_that_names_the_extra(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hiredis", None)
    with pytest.raises(MissingExtraError, match=r'pip install "pybrpc\[redis\]"') as caught:
        make(ADDRESS)
    assert isinstance(caught.value, ImportError)


@pytest.mark.parametrize(
    ("policy", "repeats"),
    [
        (None, "unsent"),
        (RetryPolicy(backoff=Backoff(first_s=1.0)), "unsent"),
        (RetryPolicy(codes=frozenset({ErrorCode.EEOF})), ""),
        (RetryPolicy(judge=lambda error: True), "unsent sent"),
    ],
)
def test_a_retry_policy_repeats_what_may_have_run_only_by_its_own_judgement(
    policy: RetryPolicy | None, repeats: str
) -> None:
    with RedisChannel(ADDRESS, retry_policy=policy) as channel:
        retry = channel.call_options.retry
    for phase, name in ((Phase.QUEUED, "unsent"), (Phase.SENT, "sent"), (Phase.WAITING, "sent")):
        error = make_rpc_error(ErrorCode.EFAILEDSOCKET, "broken", phase=phase)
        is_allowed = retry.may_have_run or not error.may_have_run
        assert (is_allowed and retry.may_retry(error)) is (name in repeats.split())
    assert retry.backoff is (policy and policy.backoff)


def test_channels_with_equal_logins_share_connections() -> None:
    def factory(**options: Any) -> Any:
        return RedisChannel(ADDRESS, **options)._connection_factory(None)

    assert factory(password="x") == factory(password="x", timeout=9, decode=True)
    assert factory(password="x") != factory(password="y")
    assert factory() != factory(db=1)
    assert factory() != pybrpc.Channel(
        ADDRESS, max_body_size=factory().limits.max_body_size
    )._connection_factory(None)
    assert "sesame" not in repr(factory(password="sesame"))


def test_a_refused_command_needs_no_server() -> None:
    with RedisChannel(ADDRESS) as channel:
        for name in ("MULTI", "BLPOP", "SUBSCRIBE", "SELECT"):
            with pytest.raises(BadRequestError):
                channel.execute(name)
        assert channel.statistics() is None or not channel.statistics().socket.writes  # type: ignore[union-attr]

    async def refused() -> None:
        async with redis_aio.RedisChannel(ADDRESS) as channel:
            with pytest.raises(BadRequestError):
                await channel.execute("WATCH", "k")

    asyncio.run(refused())


@pytest.mark.parametrize("make", [RedisChannel, redis_aio.RedisChannel])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"decode": "utf-8"}, "decode must be True or False, not 'utf-8'"),
        ({"password": 1234}, "password must be a string or None, not an int"),
        ({"username": b"app", "password": ""}, "username must be a string or None, not a bytes"),
        ({"client_name": None}, "client_name must be a string, not a NoneType"),
        ({"retry_policy": "never"}, "retry_policy must be a pybrpc.RetryPolicy or None"),
        ({"database": 3}, "unexpected keyword argument 'database'"),
    ],
)
def test_options_of_other_types_are_refused(make: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        make(ADDRESS, **options)
