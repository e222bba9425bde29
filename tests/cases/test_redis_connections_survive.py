"""One caller's command or reply does not harm the others of a shared Redis connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.errors import BadRequestError, BadResponseError
from pybrpc.redis import RedisChannel, RedisError, RedisRequest
from tests.cases.peers import PATIENT_S
from tests.peers.redis_server import RedisServer
from tests.peers.scripted_server import Peer, ScriptedServer


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.mark.parametrize(
    "options",
    [
        ("BLOCK", 300, "GROUP", "g", "c"),
        ("NOACK", "BLOCK", 300, "GROUP", "g", "c"),
        ("COUNT", 1, "BLOCK", 300, "GROUP", "g", "c"),
        ("block", 300, "group", "g", "c"),
    ],
)
def test_xreadgroup_that_blocks_is_refused_in_any_order_of_its_options(
    redis: RedisServer, options: tuple[Any, ...]
) -> None:
    with RedisChannel(redis.address, timeout=PATIENT_S) as channel:
        channel.execute("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
        with pytest.raises(BadRequestError):
            channel.execute("XREADGROUP", *options, "STREAMS", "s", ">")


def test_long_error_reply_concerns_its_own_caller_only(redis: RedisServer) -> None:
    with RedisChannel(redis.address, timeout=PATIENT_S) as channel:
        long = channel.future(RedisRequest().add("EVAL", "error(ARGV[1])", 0, "y" * 100_000))
        other = channel.future(RedisRequest().add("INCR", "n"))
        assert other.result(PATIENT_S)[0] == 1
        (error,) = long.result(PATIENT_S)
        assert isinstance(error, RedisError)
        assert "y" * 100_000 in error.text


@pytest.mark.parametrize(
    "command",
    [
        ("EVAL", "error(ARGV[1])", 0, "y" * 3_000_000),
        ("EVAL", "return string.rep('y', 3000000)", 0),
        ("EVAL", "local t = {}; for i = 1, 400000 do t[i] = 12345 end; return t", 0),
        ("EVAL", "local t = {}; for i = 1, 200 do t = {t} end; return t", 0),
        ("EVAL", "local t = {}; for i = 1, 200 do t = {t} end; return {1, t, 2}", 0),
    ],
    ids=["line", "string", "array", "depth", "depth inside"],
)
def test_reply_over_a_limit_concerns_its_own_caller_only(
    redis: RedisServer, command: tuple[Any, ...]
) -> None:
    with RedisChannel(redis.address, timeout=PATIENT_S, max_body_size=1_000_000) as channel:
        long = channel.future(RedisRequest().add("INCR", "n").add(*command))
        others = [channel.future(RedisRequest().add("INCR", "n")) for _ in range(3)]
        with pytest.raises(BadResponseError):
            long.result(PATIENT_S)
        assert [other.result(PATIENT_S)[0] for other in others] == [2, 3, 4]
        assert len(redis.clients()) == 1


def reply_with(reply: bytes) -> Any:
    """A script for ScriptedServer: this to each PING, OK to all else."""

    def script(peer: Peer) -> None:
        received = b""
        while data := peer.sock.recv(65536):
            received += data
            *lines, received = received.split(b"\r\n")
            for line in lines:
                if line == b"PING":
                    peer.send(reply)
                elif line == b"SETNAME":
                    peer.send(b"+OK\r\n")

    return script


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        (b"*2\r\n:1\r\n|1\r\n+ttl\r\n:5\r\n:2\r\n", [1, 2]),
        (b"%1\r\n+key\r\n|1\r\n+ttl\r\n:5\r\n+value\r\n", {b"key": b"value"}),
    ],
    ids=["in an array", "in a map"],
)
def test_attribute_of_resp3_is_read_inside_a_reply(reply: bytes, value: Any) -> None:
    with ScriptedServer(reply_with(reply)) as server:
        with RedisChannel(server.address, timeout=2, max_retry=0) as channel:
            assert channel.execute("PING") == value


def test_blob_error_of_resp3_is_an_error_reply() -> None:
    with ScriptedServer(reply_with(b"!5\r\nERR x\r\n")) as server:
        with RedisChannel(server.address, timeout=2, max_retry=0) as channel:
            with pytest.raises(RedisError, match="ERR x"):
                channel.execute("PING")
