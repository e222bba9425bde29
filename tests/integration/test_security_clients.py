"""SECURITY.md, what a hostile server can do to a client: each test is a line of its table."""

from __future__ import annotations

import gc
import os
import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import BadResponseError, OvercrowdedError, ProtocolError, RpcError
from pybrpc.protocols.baidu_std.schema import RpcMeta
from pybrpc.redis import RedisChannel
from pybrpc.rpc.compress import CompressType, compress
from tests.fakes.threads import wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import Peer, ScriptedServer, never_answer

MIB = 1 << 20


def resident_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def frame_of(meta: bytes, body_size: int | None = None) -> bytes:
    size = len(meta) if body_size is None else body_size
    return struct.pack("!4sII", b"PRPC", size, len(meta)) + meta


def error_of(server: ScriptedServer, **options: Any) -> RpcError:
    with pybrpc.Channel(server.address, timeout=60, max_retry=0, **options) as channel:
        with pytest.raises(RpcError) as caught:
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
    return caught.value


def test_answers_that_nobody_asked_for_are_counted_and_kept_nowhere() -> None:
    def flood_and_answer(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            for start in range(0, 20_000, 100):
                ids = [10**9 + start * 100 + i for i in range(100)]
                peer.send(
                    b"".join(frame_of(RpcMeta(correlation_id=i).SerializeToString()) for i in ids)
                )
            peer.answer(request)

    with ScriptedServer(flood_and_answer) as server:
        with pybrpc.Channel(server.address, timeout=60) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            assert stub.Echo(echo_request("one")).message == "one"
            gc.collect()
            before = len(gc.get_objects())
            for text in ("two", "three"):
                assert stub.Echo(echo_request(text)).message == text
            gc.collect()
            assert len(gc.get_objects()) - before < 1000
            statistics = channel.statistics()
            assert statistics is not None
            assert statistics.unknown_answers == 60_000


def answer_with(*frames: Callable[[int], bytes]) -> Callable[[Peer], None]:
    """A script: read a request, say that, wait for the end."""

    def script(peer: Peer) -> None:
        correlation_id = peer.expect_request().correlation_id
        for frame in frames:
            peer.send(frame(correlation_id))
        peer.wait_closed()

    return script


def meta_of(correlation_id: int, **fields: Any) -> bytes:
    return bytes(RpcMeta(correlation_id=correlation_id, **fields).SerializeToString())


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")
def test_an_answer_that_promises_two_gigabytes_costs_nothing() -> None:
    before = resident_bytes()
    script = answer_with(lambda number: frame_of(meta_of(number), 2**31 - 1))
    with ScriptedServer(script) as server:
        error = error_of(server)
    assert isinstance(error, BadResponseError)
    assert "max_body_size" in error.text
    assert resident_bytes() - before < 50 * MIB


def test_an_answer_that_never_gets_whole_ends_at_the_deadline() -> None:
    script = answer_with(lambda number: frame_of(meta_of(number), 1000) + b"x")
    with ScriptedServer(script) as server:
        with pybrpc.Channel(server.address, timeout=0.3, max_retry=0) as channel:
            with pytest.raises(pybrpc.errors.RpcTimeoutError):
                pybrpc.Stub(ECHO, channel).Echo(echo_request())


@pytest.mark.parametrize("kind", [CompressType.GZIP, CompressType.ZLIB, CompressType.SNAPPY])
def test_a_decompression_bomb_for_an_answer_is_refused(kind: CompressType) -> None:
    bomb = compress(bytes(100_000_000), kind)

    def answer(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            peer.answer(request, body=bomb, compress_type=int(kind))

    with ScriptedServer(answer) as server:
        error = error_of(server, max_body_size=10_000_000)
    assert isinstance(error, BadResponseError)
    assert "max_body_size=10000000" in error.text


@pytest.mark.parametrize(
    "said",
    [
        lambda number: b"HTTP/1.1 200 OK\r\n\r\n",
        lambda number: struct.pack("!4sII", b"PRPC", 30_000_000, 20_000_000),
        lambda number: frame_of(meta_of(number) + b"\xfb\x07" * 100_000 + b"\xfc\x07" * 100_000),
    ],
    ids=["garbage", "large-meta", "deep-meta"],
)
def test_nonsense_is_a_typed_error(said: Callable[[int], bytes]) -> None:
    with ScriptedServer(answer_with(said)) as server:
        error = error_of(server)
    assert isinstance(error, ProtocolError)
    assert error.is_remote
    assert error.peer == server.address


def test_a_server_that_reads_nothing_makes_a_client_hold_no_more_than_the_mark() -> None:
    options = pybrpc.SocketOptions(high_water_bytes=4 * MIB, send_buffer_bytes=65536)
    ended = threading.Event()
    with ScriptedServer(lambda peer: ended.wait() and None) as server:
        try:
            with pybrpc.Channel(server.address, timeout=60, options=options) as channel:
                stub: Any = pybrpc.Stub(ECHO, channel)
                futures = [stub.Echo.future(echo_request("x" * MIB)) for _ in range(50)]
                statistics = channel.statistics()
                assert statistics is not None
                count = statistics.socket.refused_overcrowded
                assert 30 < count < 50
                wait_until(lambda: sum(future.done() for future in futures) == count)
                refused = [future for future in futures if future.done()]
                assert {type(future.exception()) for future in refused} == {OvercrowdedError}
                for future in futures:
                    future.cancel()
        finally:
            ended.set()


# --- Redis ---


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    "reply",
    [
        b"*2147483647\r\n",
        b"*1\r\n" * 100_000,
        b"$2000000000\r\n",
        b"+" + b"x" * 1_100_000,
        b"*4000000\r\n" * 3,
        b"$99999999999999999999999999\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"%-5\r\n" + b"!" * 100,
    ],
    ids=["elements", "depth", "bulk", "line", "elements-in-all", "number", "http", "negative"],
)
def test_a_hostile_reply_of_redis_is_a_typed_error(reply: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.sock.recv(65536)
        peer.send(reply)
        peer.wait_closed()

    before = resident_bytes()
    with ScriptedServer(script, never_answer) as server:
        with RedisChannel(server.address, timeout=60, max_retry=0) as channel:
            with pytest.raises(ProtocolError) as caught:
                channel.execute("GET", "x")
    assert caught.value.is_remote
    assert resident_bytes() - before < 50 * MIB
