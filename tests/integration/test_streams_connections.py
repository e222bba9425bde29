"""Streams and the connections under them: who holds them, and what ends with them."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ConnectionFailedError, RpcError, StreamResetError
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.endpoints import counts
from tests.peers.forking import exit_code_of, fork
from tests.peers.raw_peer import RawPeer
from tests.peers.streams import (
    CLIENTS,
    THREADS,
    LoopThread,
    accepting,
    client_of,
    every_pair,
    opened,
    run_in,
    served,
    wait_until_idle,
)

every_client = pytest.mark.parametrize("form", CLIENTS)


@every_pair
def test_open_streams_are_counted_on_both_sides(sides: str) -> None:
    with opened(sides, streams=2) as pair:

        def found() -> tuple[int, int]:
            return pair.of_client.channel.statistics().streams, pair.running.statistics().streams

        assert found() == (2, 2)
        pair.clients[0].close(WAIT_S)
        wait_until(lambda: found() == (1, 1))
        pair.clients[1].reset()
        wait_until(lambda: found() == (0, 0))


# --- pooled and short connections ---


@every_pair
def test_pooled_connection_is_held_until_its_last_stream_has_ended(sides: str) -> None:
    with opened(sides, streams=2, channel={"connection_type": "pooled"}) as pair:
        client = pair.of_client

        def found() -> tuple[int, int, int]:
            now = counts(client.channel)
            return now.created, now.in_use, now.idle

        assert found() == (1, 1, 0)
        for _ in range(3):
            client.echo()
        assert found() == (2, 1, 1), "calls use another connection, one after another"
        pair.clients[0].close(WAIT_S)
        assert pair.servers[0].wait_closed(WAIT_S) is None
        client.echo()
        assert found() == (2, 1, 1)
        pair.clients[1].send(b"x", timeout=WAIT_S)
        assert pair.servers[1].recv(WAIT_S) == b"x"
        pair.servers[1].close(WAIT_S)
        assert pair.clients[1].wait_closed(WAIT_S) is None
        wait_until(lambda: found() == (2, 0, 2))
        wait_until_idle(pair)
        calls = [client.open() for _ in range(3)]
        assert found() == (3, 3, 0)
        for call in calls:
            call.close(WAIT_S)
        wait_until(lambda: found() == (3, 0, 3))


@every_pair
def test_short_connection_lives_as_long_as_its_streams(sides: str) -> None:
    with opened(sides, streams=2, channel={"connection_type": "short"}) as pair:
        channel = pair.of_client.channel
        pair.clients[0].close(WAIT_S)
        assert pair.servers[0].wait_closed(WAIT_S) is None
        pair.clients[1].send(b"x", timeout=WAIT_S)
        assert pair.servers[1].recv(WAIT_S) == b"x"
        pair.of_client.echo()
        wait_until(lambda: counts(channel).closed == 1)
        assert counts(channel).created == 2
        assert pair.clients[1].state == "open"
        pair.clients[1].close(WAIT_S)
        assert pair.servers[1].wait_closed(WAIT_S) is None
        wait_until(lambda: counts(channel).closed == 2)


@every_client
@pytest.mark.parametrize("connection_type", ["pooled", "short"])
def test_connection_is_given_back_if_the_stream_is_not_accepted(
    form: str, connection_type: str
) -> None:
    service = accepting(THREADS)
    service.accept = lambda *_: pybrpc  # type: ignore[method-assign]  # no response at all
    with (
        served(service) as server,
        client_of(form, server.endpoint, connection_type=connection_type) as client,
    ):
        for _ in range(2):
            with pytest.raises(RpcError):
                client.open()
        wait_until(lambda: counts(client.channel).in_use == 0)
        left = 1 if connection_type == "pooled" else 0
        wait_until(lambda: counts(client.channel).idle == left)
        wait_until(lambda: counts(client.channel).closed == (0 if left else 2))


@every_client
def test_pooled_connection_is_given_back_after_a_late_answer(form: str) -> None:
    """Or closed: what it still gets belongs to a call that has ended."""
    entered, leave = threading.Event(), threading.Event()

    def wait(streams: list[Any], controller: Any) -> None:
        entered.set()
        assert leave.wait(WAIT_S)

    service = accepting(THREADS, on_accepted=wait)
    with (
        served(service) as server,
        client_of(form, server.endpoint, connection_type="pooled") as client,
    ):
        with pytest.raises(pybrpc.errors.RpcTimeoutError):
            client.open(timeout=0.05)
        assert entered.wait(WAIT_S)
        leave.set()
        (stream,) = service.next()
        assert isinstance(stream.wait_closed(WAIT_S), RpcError)
        wait_until(lambda: counts(client.channel).in_use == 0)
        call = client.open()
        (stream,) = service.next()
        call.close(WAIT_S)
        assert stream.wait_closed(WAIT_S) is None


# --- idle connections ---


@every_pair
def test_server_does_not_close_a_connection_with_streams_as_idle(sides: str) -> None:
    server = {"idle_timeout": 0.1}
    with opened(sides, server=server) as pair:
        with RawPeer(pair.running.endpoint) as idle:  # it begins to be idle after the stream did
            assert idle.read_to_end() == b""
        assert pair.client.state == "open"
        pair.client.send(b"x", timeout=WAIT_S)
        assert pair.server.recv(WAIT_S) == b"x"
        pair.client.close(WAIT_S)
        assert pair.server.wait_closed(WAIT_S) is None
        wait_until(lambda: not pair.connections)


@every_pair
def test_channel_does_not_close_a_connection_with_streams_as_idle(sides: str) -> None:
    channel = {"idle_timeout": 0.1, "connection_type": "pooled"}
    with opened(sides, channel=channel) as pair:
        pair.of_client.echo()  # its connection becomes idle later
        wait_until(lambda: counts(pair.of_client.channel).closed == 1)
        assert pair.client.state == "open"
        pair.client.send(b"x", timeout=WAIT_S)
        assert pair.server.recv(WAIT_S) == b"x"
        pair.client.close(WAIT_S)
        wait_until(lambda: counts(pair.of_client.channel).closed == 2)


# --- the server stops ---


@every_pair
def test_server_that_stops_lets_streams_end_in_its_grace(sides: str) -> None:
    with opened(sides) as pair:
        pair.running.stop(WAIT_S)
        pair.client.send(b"question", timeout=WAIT_S)
        assert pair.server.recv(WAIT_S) == b"question"
        pair.server.send(b"answer", timeout=WAIT_S)
        assert pair.client.recv(WAIT_S) == b"answer"
        assert [each.holds for each in pair.running.unfinished_connections()] == [1]
        assert pair.running.is_stopping
        pair.server.close(WAIT_S)
        assert pair.client.wait_closed(WAIT_S) is None
        wait_until(lambda: not pair.running.is_running)


@every_pair
@pytest.mark.parametrize("grace", [0, 0.05])
def test_server_that_stops_ends_streams_after_its_grace(sides: str, grace: float) -> None:
    with opened(sides) as pair:
        receives = [pair.client.start("recv"), pair.server.start("recv")]
        pair.running.stop(grace)
        pair.running.join()
        for each in receives:
            with pytest.raises(ConnectionFailedError):
                each.result()
        assert isinstance(pair.client.failure, ConnectionFailedError)
        assert isinstance(pair.server.failure, ConnectionFailedError)
        with pytest.raises(RpcError):
            pair.client.send(b"late", timeout=WAIT_S)
        pair.call.reset()


@pytest.mark.parametrize("theirs", [THREADS, "asyncio"])
def test_bodies_end_when_the_server_stops(theirs: str) -> None:
    """The body gets the error of its stream, and ends: no thread and no task is left."""
    ended = threading.Event()

    def body(stream: Any) -> None:
        with contextlib.suppress(RpcError):
            stream.recv()
        ended.set()

    async def async_body(stream: Any) -> None:
        with contextlib.suppress(RpcError):
            await stream.recv()
        ended.set()

    service = accepting(theirs, body=body if theirs == THREADS else async_body)
    with opened(f"threads-{theirs}", service=service) as pair:
        pair.running.stop(0)
        pair.running.join()
        assert ended.wait(WAIT_S)
        assert isinstance(pair.client.wait_closed(WAIT_S), ConnectionFailedError)


# --- client and server in one loop ---


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
@pytest.mark.parametrize("is_shared", [False, True], ids=["own", "shared"])
def test_client_and_server_in_one_loop(kind: str, is_shared: bool) -> None:
    async def echo(stream: Any) -> None:
        async for message in stream:
            await stream.send(b"echo:" + message)

    async def main() -> None:
        async with pybrpc.Server() as server:
            server.add_service(ECHO, accepting("asyncio", body=echo))
            server.start("127.0.0.1:0")
            async with pybrpc.aio.Channel(
                str(server.endpoint), timeout=WAIT_S, share_with_threads=is_shared
            ) as channel:
                stub = pybrpc.Stub(ECHO, channel)
                async with stub.Echo.stream(echo_request(), streams=2) as call:
                    for stream in call.streams:
                        for i in range(100):
                            await stream.send(b"%d" % i)
                        for i in range(100):
                            assert await stream.recv(WAIT_S) == b"echo:%d" % i
                assert [stream.state for stream in call.streams] == ["closed", "closed"]

    with LoopThread(kind) as thread:
        run_in(thread.loop, main())


# --- fork ---


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_leaves_the_streams_of_its_parent_alone() -> None:
    with opened("threads-threads") as pair:

        def child() -> None:
            with contextlib.suppress(RpcError, RuntimeError):
                pair.client.send(b"from the child", timeout=0.1)
            with contextlib.suppress(RpcError, RuntimeError):
                pair.client.recv(timeout=0.1)
            with pytest.raises(RpcError, match="parent process"):
                pair.server.recv()  # no turn of the parent would end it
            pair.client.reset()
            assert pair.server.wait_closed() is not None
            with served(accepting(THREADS)) as server, client_of(THREADS, server.endpoint) as own:
                call = own.open()
                call.close(WAIT_S)

        assert exit_code_of(fork(child)) == 0
        pair.client.send(b"from the parent", timeout=WAIT_S)
        assert pair.server.recv(WAIT_S) == b"from the parent"
        pair.server.send(b"x" * 3_000_000, timeout=WAIT_S)
        assert len(pair.client.recv(WAIT_S)) == 3_000_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_child_that_is_forked_while_a_thread_sends_hangs_nowhere() -> None:
    """The thread has the lock of all streams of the connection, and does not go on in the child."""
    with opened("threads-threads", streams=2) as pair:
        first, second = pair.clients
        lock = first.inner._core.table.queue.lock
        is_held, may_end = threading.Event(), threading.Event()

        def hold() -> None:
            with lock:
                is_held.set()
                assert may_end.wait(WAIT_S)

        def child() -> None:
            for stream in (first, second):
                with pytest.raises(RpcError, match="parent process"):
                    stream.send(b"x", timeout=1)
                with pytest.raises(RpcError, match="parent process"):
                    stream.recv(timeout=1)
            assert first.wait_closed(timeout=1) is not None
            second.reset()
            with contextlib.suppress(RpcError):
                second.close(timeout=1)

        thread = threading.Thread(target=hold)
        thread.start()
        try:
            assert is_held.wait(WAIT_S)
            assert exit_code_of(fork(child)) == 0
        finally:
            may_end.set()
            thread.join(WAIT_S)


# --- a stream that is reset lets others go on ---


@every_pair
def test_calls_and_other_streams_go_on(sides: str) -> None:
    with opened(sides, streams=3) as pair:
        pair.clients[0].reset()
        pair.servers[1].reset()
        assert isinstance(pair.servers[0].wait_closed(WAIT_S), StreamResetError)
        assert isinstance(pair.clients[1].wait_closed(WAIT_S), StreamResetError)
        assert pair.of_client.echo("call").message == "call"
        pair.clients[2].send(b"x", timeout=WAIT_S)
        assert pair.servers[2].recv(WAIT_S) == b"x"
        assert len(pair.connections) == 1
