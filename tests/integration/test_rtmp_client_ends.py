"""Clients of RTMP: the ends of this side, and asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.errors import (
    ChannelClosedError,
    RpcError,
    RpcTimeoutError,
    RtmpStatusError,
    WouldDeadlockError,
)
from pybrpc.rtmp import Frame, RtmpClient, RtmpOptions, aio
from pybrpc.transport.runtime import default_runtime
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.forking import exit_code_of, fork
from tests.peers.loops import RUNS
from tests.peers.rtmp_script import (
    FRAMES,
    HASTY,
    PATIENT,
    SOON_S,
    PublishScript,
    RtmpServerEnd,
    client_of,
    playing,
    silent,
    status,
)
from tests.peers.scripted_server import Peer, ScriptedServer

# --- ends of this side ---


def test_close_of_the_client_writes_what_was_sent() -> None:
    script = PublishScript()
    frame = Frame.video(bytes(500_000), 0)
    with client_of(script) as (client, _):
        out = client.publish("name")
        for _ in range(20):
            out.send_nowait(frame)
    (rtmp,) = script.peers
    assert rtmp.frames == [frame] * 20
    assert rtmp.seen[-1] == "deleteStream"


def test_close_of_the_client_ends_a_wait_of_another_thread() -> None:
    ended: list[object] = []

    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        rtmp.read_to_end()

    with client_of(script) as (client, _):
        stream = client.play("name")
        thread = threading.Thread(target=lambda: ended.extend(stream))
        thread.start()
        client.close()
        thread.join(WAIT_S)
        assert not thread.is_alive()
        with pytest.raises(ChannelClosedError):
            client.play("name")


def test_wait_for_a_stream_goes_on_if_only_the_connection_is_established() -> None:
    """That may be said after the wait for the answer has begun."""
    answers = threading.Event()
    opened: list[str] = []

    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        answers.wait(WAIT_S)
        rtmp.accept_publish()
        rtmp.read_to_end()

    with client_of(script) as (client, _):
        thread = threading.Thread(target=lambda: opened.append(client.publish("name").peer))
        thread.start()
        wait_until(lambda: client.is_connected)
        (lease,) = client._leases
        (opening,) = lease.connection._commands.values()
        for _ in range(3):
            wait_until(lambda: bool(opening._waits))
            opening.on_connected()
        answers.set()
        thread.join(WAIT_S)
        assert len(opened) == 1


def test_close_does_not_wait_for_a_server_that_does_not_close() -> None:
    over = threading.Event()

    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        over.wait(WAIT_S)

    with ScriptedServer(script) as server:
        client = RtmpClient(f"rtmp://{server.address}/live", PATIENT)
        client.play("name")
        client.close(timeout=SOON_S)
        assert not client.is_connected
        over.set()


def test_a_client_that_nobody_closed_gives_a_warning_and_closes_its_connection() -> None:
    ended = threading.Event()

    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        rtmp.read_to_end()
        ended.set()

    with ScriptedServer(script) as server:
        client = RtmpClient(f"rtmp://{server.address}/live", PATIENT)
        client.play("name")
        clients = [client]
        del client
        with pytest.warns(ResourceWarning, match="unclosed client"):
            clients.clear()
        assert ended.wait(WAIT_S)


def test_opening_a_stream_inside_a_callback_would_deadlock() -> None:
    raised: list[BaseException] = []

    def script(peer: Peer) -> None:
        peer.wait_closed()

    with client_of(script) as (client, _):

        def open_one() -> None:
            try:
                client.publish("name")
            except BaseException as error:
                raised.append(error)

        default_runtime().dispatcher.post(open_one)
        wait_until(lambda: bool(raised))
    assert isinstance(raised[0], WouldDeadlockError)


def test_a_forked_child_finds_its_streams_failed_and_makes_its_own_connection() -> None:
    with client_of(playing(*FRAMES), playing(*FRAMES)) as (client, server):
        stream = client.play("name")

        def child() -> None:
            stream.wait_closed(WAIT_S)
            assert client.play("name").recv(WAIT_S) == FRAMES[0]
            client.close()

        assert exit_code_of(fork(child)) == 0
        assert list(stream) == FRAMES
        assert server.connections == 2


# --- asyncio ---


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    runner: Callable[..., Any] = RUNS[request.param]
    return runner


def test_asyncio_publishes_and_plays(run: Callable[..., Any]) -> None:
    script = PublishScript()

    async def main(publish_url: str, play_url: str) -> list[Frame]:
        async with aio.RtmpClient(publish_url, PATIENT) as client:
            async with client.publish("name") as out:
                for frame in FRAMES:
                    await out.send(frame)
        async with aio.RtmpClient(play_url, PATIENT) as client:
            stream = await client.play("name")
            return [frame async for frame in stream]

    with ScriptedServer(script) as one, ScriptedServer(playing(*FRAMES)) as other:
        urls = [f"rtmp://{server.address}/live" for server in (one, other)]
        assert run(main(*urls)) == FRAMES
    assert script.peers[0].frames == FRAMES


def test_asyncio_refusals_and_timeouts_are_typed_errors(run: Callable[..., Any]) -> None:
    async def main(url: str, options: RtmpOptions, kind: type[RpcError]) -> None:
        async with aio.RtmpClient(url, options) as client:
            with pytest.raises(kind):
                await client.publish("name")
            with pytest.raises(kind):
                async with client.publish("name"):
                    raise AssertionError

    def refusing_twice(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        for stream_id in (1, 2):
            rtmp.create(stream_id)
            rtmp.expect("publish")
            rtmp.send(status("NetStream.Publish.BadName", "error").pack(stream_id))
        rtmp.read_to_end()

    with ScriptedServer(silent) as server:
        run(main(f"rtmp://{server.address}/live", HASTY, RpcTimeoutError))
    with ScriptedServer(refusing_twice) as server:
        run(main(f"rtmp://{server.address}/live", PATIENT, RtmpStatusError))


def test_cancelling_the_opening_of_a_stream_deletes_it(run: Callable[..., Any]) -> None:
    deleted, asked = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        rtmp.create()
        rtmp.expect("play")
        asked.set()
        rtmp.expect("deleteStream")
        deleted.set()
        rtmp.read_to_end()

    async def main(url: str) -> None:
        async with aio.RtmpClient(url, PATIENT) as client:
            task = asyncio.ensure_future(client.play("name")._open())
            await asyncio.to_thread(asked.wait, WAIT_S)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(deleted.wait, WAIT_S)

    with ScriptedServer(script) as server:
        run(main(f"rtmp://{server.address}/live"))


def test_a_client_of_a_closed_loop_connects_anew_in_the_next_one(run: Callable[..., Any]) -> None:
    async def main(client: aio.RtmpClient) -> Any:
        return await client.play("name")

    async def end(client: aio.RtmpClient) -> list[Frame]:
        stream = await client.play("name")
        frames = [frame async for frame in stream]
        await client.close()
        return frames

    with ScriptedServer(playing(*FRAMES)) as server:
        client = aio.RtmpClient(f"rtmp://{server.address}/live", PATIENT)
        first = run(main(client))
        assert run(end(client)) == FRAMES
        assert first.is_closed
        assert server.connections == 2
