"""Clients of RTMP that are used in one event loop after another."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pybrpc.errors import ConnectionFailedError, HandshakeError, RpcError
from pybrpc.rtmp import Frame, ReconnectPolicy, RtmpOptions, aio
from tests.fakes.threads import WAIT_S
from tests.peers.loops import LOOPS
from tests.peers.rtmp_script import PATIENT, SOON_S, RtmpServerEnd, client_of
from tests.peers.scripted_server import Peer, ScriptedServer, never_answer

AT_ONCE = ReconnectPolicy(interval=0.0)
FRAME = Frame.video(b"\x17\x01\x00\x00\x00key", 0)

NewLoop = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(params=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> NewLoop:
    if request.param not in LOOPS:
        pytest.skip("uvloop is not installed")
    return LOOPS[request.param]


@pytest.fixture
def loops(new_loop: NewLoop) -> Iterator[tuple[Any, Any]]:
    """Two loops, neither of which runs."""
    first, second = new_loop(), new_loop()
    yield first, second
    first.close()
    second.close()


def gives_one(peer: Peer) -> None:
    """The script of a server that plays a frame, and does not end the stream."""
    rtmp = RtmpServerEnd(peer)
    rtmp.accept_connect()
    rtmp.accept_play()
    rtmp.send_frames(FRAME)
    rtmp.read_to_end()


def takes(peer: Peer) -> None:
    rtmp = RtmpServerEnd(peer)
    rtmp.accept_connect()
    rtmp.accept_publish()
    rtmp.read_to_end()


def client_to(server: ScriptedServer, options: RtmpOptions = PATIENT) -> aio.RtmpClient:
    return aio.RtmpClient(f"rtmp://{server.address}/live", options)


async def play(client: aio.RtmpClient) -> aio.RtmpStream:
    return await client.play("name")


async def begin(client: aio.RtmpClient) -> asyncio.Task[Any]:
    task = asyncio.ensure_future(play(client))
    await asyncio.sleep(SOON_S)
    return task


async def close(client: aio.RtmpClient) -> None:
    async with asyncio.timeout(WAIT_S):
        await client.close()


@pytest.mark.parametrize("wait", ["recv", "wait_closed"])
def test_stream_of_a_closed_loop_has_failed(loops: tuple[Any, Any], wait: str) -> None:
    first, second = loops
    with ScriptedServer(gives_one) as server:
        client = client_to(server)
        stream = first.run_until_complete(play(client))
        assert first.run_until_complete(stream.recv(WAIT_S)) == FRAME
        first.close()

        async def use() -> RpcError | None:
            if wait == "wait_closed":
                return await stream.wait_closed(WAIT_S)
            with pytest.raises(ConnectionFailedError) as caught:
                await stream.recv(WAIT_S)
            return caught.value

        error = second.run_until_complete(use())
        assert "the event loop that polled" in str(error)
        assert stream.is_closed
        second.run_until_complete(close(client))


def test_published_stream_of_a_closed_loop_has_failed(loops: tuple[Any, Any]) -> None:
    first, second = loops

    async def publish(client: aio.RtmpClient) -> aio.RtmpStream:
        return await client.publish("name")

    with ScriptedServer(takes) as server:
        client = client_to(server)
        stream = first.run_until_complete(publish(client))
        first.run_until_complete(stream.send(FRAME))
        first.close()
        with pytest.raises(ConnectionFailedError, match="the event loop that polled"):
            second.run_until_complete(stream.send(FRAME))
        assert stream.is_closed
        second.run_until_complete(close(client))


def test_player_of_a_closed_loop_connects_anew(loops: tuple[Any, Any]) -> None:
    first, second = loops
    with ScriptedServer(gives_one) as server:
        client = client_to(server)
        player = aio.RtmpPlayer(client, "name", policy=AT_ONCE)
        assert first.run_until_complete(player.recv(WAIT_S)) == FRAME
        assert player.is_connected
        first.close()
        assert not player.is_connected
        assert second.run_until_complete(player.recv(WAIT_S)) == FRAME
        assert player.connects == 2
        assert isinstance(player.last_error, ConnectionFailedError)
        second.run_until_complete(close(client))


def test_publisher_of_a_closed_loop_connects_anew(loops: tuple[Any, Any]) -> None:
    first, second = loops
    with ScriptedServer(takes) as server:
        client = client_to(server)
        publisher = aio.RtmpPublisher(client, "name", policy=AT_ONCE)
        first.run_until_complete(publisher.wait_connected(WAIT_S))
        first.close()
        second.run_until_complete(publisher.wait_connected(WAIT_S))
        assert publisher.connects == 2
        second.run_until_complete(close(client))


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "stopped"])
def test_attempt_of_a_loop_that_runs_no_more_is_begun_anew(
    loops: tuple[Any, Any], is_closed: bool
) -> None:
    first, second = loops
    with ScriptedServer(never_answer, gives_one) as server:
        client = client_to(server)
        player = aio.RtmpPlayer(client, "name", policy=AT_ONCE)
        with pytest.raises(TimeoutError):
            first.run_until_complete(player.recv(SOON_S))
        if is_closed:
            first.close()
        assert second.run_until_complete(player.recv(WAIT_S)) == FRAME
        second.run_until_complete(close(client))
        if not is_closed:
            first.run_until_complete(asyncio.sleep(0))  # closes the first descriptor


def test_each_loop_has_its_own_connection(loops: tuple[Any, Any]) -> None:
    first, second = loops
    with ScriptedServer(gives_one) as server:
        client = client_to(server)
        for loop in loops:
            stream = loop.run_until_complete(play(client))
            assert loop.run_until_complete(stream.recv(WAIT_S)) == FRAME
        assert server.connections == 2
        second.run_until_complete(close(client))
        first.run_until_complete(asyncio.sleep(0))


def test_opening_is_limited_though_a_loop_that_stopped_connects(loops: tuple[Any, Any]) -> None:
    first, second = loops
    with ScriptedServer(never_answer) as server:
        client = client_to(server, RtmpOptions(connect_timeout=SOON_S, timeout=SOON_S))
        task = first.run_until_complete(begin(client))

        async def open_one() -> None:
            async with asyncio.timeout(WAIT_S):
                with pytest.raises(HandshakeError):
                    await client.play("name")

        second.run_until_complete(open_one())
        second.run_until_complete(close(client))
        with pytest.raises(RpcError):
            first.run_until_complete(task)


def test_an_opening_is_awaited_once(dead_address: str) -> None:
    async def use() -> None:
        async with aio.RtmpClient(f"rtmp://{dead_address}/app") as client:
            opening = client.play("name")
            with pytest.raises(RpcError):
                await opening
            with pytest.raises(RuntimeError, match="call it again"):
                await opening
            with pytest.raises(RuntimeError, match="call it again"):
                async with opening:
                    pass

    asyncio.run(use())


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_stream_is_not_copied(copied: Callable[[object], object]) -> None:
    with client_of(gives_one) as (client, _), client.play("name") as stream:
        with pytest.raises(TypeError, match="RtmpStream can't be copied"):
            copied(stream)
