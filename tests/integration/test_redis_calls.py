"""Calls to a real redis-server: each form of calling, each kind of reply, many callers at once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import random
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.errors import BadRequestError, BadResponseError, WouldDeadlockError
from pybrpc.redis import RedisChannel, RedisError, RedisRequest, RedisResponse
from pybrpc.redis import aio as redis_aio
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.threads import in_threads
from tests.peers.loops import LOOPS
from tests.peers.redis_server import RedisServer

TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as started:
        yield started


@pytest.fixture
def channel(server: RedisServer) -> Iterator[RedisChannel]:
    server.run("FLUSHALL")
    with RedisChannel(server.address, timeout=TIMEOUT_S) as made:
        yield made


# --- forms of calling ---


def test_command_returns_its_reply(channel: RedisChannel) -> None:
    assert channel.execute("SET", "key", "value") == b"OK"
    assert channel.execute("GET", "key") == b"value"
    assert channel.execute("GET", "nothing") is None
    assert channel.execute("INCRBYFLOAT", "f", 1.5) == b"1.5"


def test_several_commands_in_one_request(channel: RedisChannel) -> None:
    """The example of bRPC's redis_client.md."""
    request = RedisRequest().add("INCR", "counter").add("DECR", "counter")
    request.add("INCRBY", "counter", 10).add("DECRBY", "counter", 20)
    assert channel.call(request) == (1, 0, 10, -10)
    assert channel.call(request) == (-9, -10, 0, -20)


def test_a_future_and_a_callback(channel: RedisChannel) -> None:
    request = RedisRequest().add("ECHO", "x")
    assert channel.future(request).result() == (b"x",)
    ends: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
    channel.with_callback(request, lambda response, error: ends.put((response, error)))
    assert ends.get() == ((b"x",), None)


def test_a_callback_may_call_but_not_wait(channel: RedisChannel) -> None:
    ends: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def again(response: Any, error: Any) -> None:
        with pytest.raises(WouldDeadlockError):
            channel.execute("PING")
        request = RedisRequest().add("ECHO", "second")
        channel.with_callback(request, lambda response, error: ends.put(response))

    channel.with_callback(RedisRequest().add("PING"), again)
    assert ends.get() == (b"second",)


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("new_loop", LOOPS.values())
def test_asyncio(server: RedisServer, channel: RedisChannel, new_loop: Any, share: bool) -> None:
    async def main() -> None:
        async with redis_aio.RedisChannel(
            server.address, timeout=TIMEOUT_S, share_with_threads=share, decode=True
        ) as aio_channel:
            assert await aio_channel.execute("SET", "k", "v") == "OK"
            values = await asyncio.gather(*[aio_channel.execute("INCR", "n") for _ in range(500)])
            assert values == list(range(1, 501))
            response = await aio_channel.call(RedisRequest().add("GET", "k").add("INCR", "k"))
            assert response[0] == "v"
            with pytest.raises(RedisError, match="not an integer"):
                await aio_channel.execute("INCR", "k")
            assert len(server.clients()) == 1

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


# --- replies ---


def test_each_type_of_resp3(channel: RedisChannel) -> None:
    channel.call(
        RedisRequest().add("HSET", "h", "a", 1).add("SADD", "s", "x").add("ZADD", "z", 1.5, "m")
    )
    assert channel.execute("HGETALL", "h") == {b"a": b"1"}
    assert channel.execute("SMEMBERS", "s") == [b"x"]
    assert channel.execute("ZSCORE", "z", "m") == 1.5
    assert channel.execute("DEBUG", "PROTOCOL", "true") is True
    assert channel.execute("DEBUG", "PROTOCOL", "verbatim").startswith(b"This is a verbatim")
    assert (
        channel.execute("DEBUG", "PROTOCOL", "bignum") == b"1234567999999999999999999999999999999"
    )
    assert channel.execute("EVAL", "return {1, {2, 'three', {}}}", 0) == [1, [2, b"three", []]]


def test_attributes_of_resp3_shift_nothing(channel: RedisChannel) -> None:
    request = RedisRequest().add("ECHO", "before").add("DEBUG", "PROTOCOL", "attrib")
    response = channel.call(request.add("ECHO", "after"))
    assert response[0] == b"before"
    assert b"Some real reply" in response[1]
    assert response[2] == b"after"


def test_resp2_by_choice(server: RedisServer, channel: RedisChannel) -> None:
    channel.execute("HSET", "h", "a", "1")
    with RedisChannel(server.address, protocol=2, timeout=TIMEOUT_S) as old:
        assert old.execute("HGETALL", "h") == [b"a", b"1"]
        assert {client["resp"] for client in server.clients()} == {"2", "3"}


def test_errors_stand_among_replies_in_their_place(channel: RedisChannel) -> None:
    request = RedisRequest().add("SET", "k", "text").add("INCR", "k").add("NOSUCH").add("GET", "k")
    response = channel.call(request)
    assert isinstance(response, RedisResponse)
    assert (response[0], response[3]) == (b"OK", b"text")
    assert [type(reply) for reply in response[1:3]] == [RedisError, RedisError]
    assert response[2].text.startswith("ERR unknown command 'NOSUCH'")
    with pytest.raises(RedisError, match="WRONGTYPE"):
        channel.execute("LPUSH", "k", "x")


def test_a_transaction_in_one_request(channel: RedisChannel) -> None:
    def work(number: int) -> None:
        request = RedisRequest().add("MULTI").add("INCR", "a").add("INCR", "b").add("EXEC")
        for _ in range(50):
            ok, *queued, both = channel.call(request)
            assert (ok, queued) == (b"OK", [b"QUEUED", b"QUEUED"])
            assert both[0] == both[1]

    in_threads(4, work)
    assert channel.execute("GET", "b") == b"200"


def test_a_transaction_that_redis_refuses_leaves_nothing_open(channel: RedisChannel) -> None:
    request = RedisRequest().add("MULTI").add("NOSUCH").add("SET", "k", 1).add("EXEC")
    assert channel.call(request)[3].code == "EXECABORT"
    assert channel.execute("GET", "k") is None


def test_decode(server: RedisServer, channel: RedisChannel) -> None:
    with RedisChannel(server.address, decode=True, timeout=TIMEOUT_S) as texts:
        texts.execute("SET", "caf\u00e9", "\u00e9t\u00e9")
        assert texts.execute("GET", "caf\u00e9") == "\u00e9t\u00e9"
        channel.execute("SET", "binary", b"\xff\x00")
        with pytest.raises(BadResponseError, match="use a channel without decode=True"):
            texts.execute("GET", "binary")
        assert texts.execute("ECHO", "fine") == "fine"
        assert channel.execute("GET", "caf\u00e9") == "\u00e9t\u00e9".encode()
        assert len(server.clients()) == 1


def test_binary_keys_and_values(channel: RedisChannel) -> None:
    every_byte = bytes(range(256))
    key = b"\r\n*3\r\n" + every_byte
    assert channel.execute("SET", key, every_byte) == b"OK"
    assert channel.execute("GET", key) == every_byte
    assert channel.execute("KEYS", "*") == [key]


def test_a_value_of_64_mb_among_small_ones(server: RedisServer) -> None:
    value = random.Random(1).randbytes(1024 * 1024) * 64
    options = SocketOptions(high_water_bytes=2 * len(value))
    with RedisChannel(server.address, timeout=TIMEOUT_S, options=options) as channel:
        big = channel.future(RedisRequest().add("SET", "big", value).add("GET", "big"))
        small = [channel.future(RedisRequest().add("ECHO", n)) for n in range(10)]
        assert big.result()[1] == value
        assert [future.result() for future in small] == [(b"%d" % n,) for n in range(10)]


def test_a_long_array(channel: RedisChannel) -> None:
    channel.execute("RPUSH", "list", *range(100_000))
    assert channel.execute("LRANGE", "list", 0, -1) == [b"%d" % n for n in range(100_000)]


def test_a_reply_over_the_limit_fails_its_call_alone(
    server: RedisServer, channel: RedisChannel
) -> None:
    channel.execute("SET", "big", bytes(10_001))
    with RedisChannel(
        server.address, max_body_size=10_000, timeout=TIMEOUT_S, client_name="small"
    ) as small:
        calls = [small.future(RedisRequest().add(name, "big")) for name in ("GET", "STRLEN") * 3]
        for get, length in zip(calls[::2], calls[1::2], strict=True):
            with pytest.raises(BadResponseError, match="larger than max_body_size=10000"):
                get.result()
            assert length.result() == (10_001,)
        assert len(server.clients("small")) == 1


# --- many callers, one connection ---


@pytest.mark.parametrize(
    ("options", "connections"),
    [({}, 1), ({"connections": 3}, 3), ({"connection_type": "pooled", "max_pool_size": 4}, 4)],
)
def test_each_thread_gets_its_own_replies(
    server: RedisServer, options: dict[str, Any], connections: int
) -> None:
    def work(number: int) -> None:
        rng = random.Random(number)
        for turn in range(60):
            request, values = RedisRequest(), []
            for index in range(rng.choice([1, 1, 2, 5, 20])):
                values.append(f"{number}:{turn}:{index}:".encode() + rng.randbytes(index * 100))
                key = f"{number}:{index}"
                request.add("SET", key, values[-1]).add("INCR", key).add("GET", key)
            response = channel.call(request)
            assert response[::3] == (b"OK",) * len(values)
            assert all(isinstance(error, RedisError) for error in response[1::3])
            assert list(response[2::3]) == values

    with RedisChannel(server.address, timeout=TIMEOUT_S, **options) as channel:
        in_threads(16, work)
        assert len(server.clients()) == connections


def test_increments_of_16_threads_add_up(server: RedisServer, channel: RedisChannel) -> None:
    seen: list[list[int]] = [[] for _ in range(16)]

    def work(number: int) -> None:
        for _ in range(200):
            seen[number].append(channel.execute("INCR", "n"))

    in_threads(16, work)
    assert sorted(itertools.chain(*seen)) == list(range(1, 3201))
    assert all(numbers == sorted(numbers) for numbers in seen)
    assert len(server.clients()) == 1


def test_channels_that_are_alike_share_and_others_do_not(
    server: RedisServer, channel: RedisChannel
) -> None:
    with (
        RedisChannel(server.address, timeout=1) as alike,
        RedisChannel(server.address, db=3) as other,
    ):
        channel.execute("SET", "k", "0")
        alike.execute("APPEND", "k", "!")
        assert other.execute("GET", "k") is None
        assert [client["db"] for client in server.clients()] == ["0", "3"]


def test_pushes_shift_nothing(server: RedisServer, channel: RedisChannel) -> None:
    """Another client has its invalidations sent to the connection of the channel."""
    number = channel.execute("CLIENT", "ID")
    with server.client() as other:
        assert other("CLIENT", "TRACKING", "ON", "REDIRECT", number, "BCAST") == b"OK"

        def work(number: int) -> None:
            for turn in range(50):
                channel.execute("SET", f"k{number}", turn)
                assert channel.execute("ECHO", f"{number}.{turn}") == f"{number}.{turn}".encode()

        in_threads(4, work)
    statistics = channel.statistics()
    assert statistics is not None
    assert statistics.unknown_answers > 50


# --- commands that a shared connection can't carry ---

HARMLESS = [
    "asking",
    "client|getname",
    "client|getredir",
    "client|help",
    "client|id",
    "client|info",
    "client|kill",
    "client|list",
    "client|pause",
    "client|trackinginfo",
    "client|unblock",
    "client|unpause",
    "command",
    "command|count",
    "command|docs",
    "command|getkeys",
    "command|getkeysandflags",
    "command|help",
    "command|info",
    "command|list",
    "echo",
    "exec",
    "multi",
    "ping",
    "publish",
    "pubsub|channels",
    "pubsub|help",
    "pubsub|numpat",
    "pubsub|numsub",
    "pubsub|shardchannels",
    "pubsub|shardnumsub",
    "spublish",
]
"""Commands that concern connections or messages, and leave the connection as it is."""

BLOCK = {"xread": ["BLOCK", 0, "STREAMS", "s", "$"]}
BLOCK["xreadgroup"] = ["GROUP", "g", "c", *BLOCK["xread"]]
"""The arguments with which a command blocks that need not block."""


def test_commands_of_redis_that_block_or_change_the_connection_are_refused(
    server: RedisServer,
) -> None:
    """Redis itself says which commands these are."""
    categories = ("blocking", "connection", "pubsub", "transaction")
    names = {name.decode() for each in categories for name in server.run("ACL", "CAT", each)}
    assert names >= {"blpop", "select", "subscribe", "watch", *BLOCK}
    accepted = set()
    for name in names:
        with contextlib.suppress(BadRequestError):
            RedisRequest().add(*name.split("|"), *BLOCK.get(name, []))
            accepted.add(name)
    assert accepted <= set(HARMLESS)
