"""Publishers and players that reconnect by themselves, with scripted servers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from pybrpc.errors import (
    ChannelClosedError,
    ConnectionFailedError,
    OvercrowdedError,
    RpcTimeoutError,
    RtmpStatusError,
    StreamClosedError,
    StreamTimeoutError,
)
from pybrpc.rtmp import (
    Frame,
    ReconnectPolicy,
    RtmpClient,
    RtmpOptions,
    RtmpPlayer,
    RtmpPublisher,
    aio,
)
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.rtmp_script import PATIENT, RtmpServerEnd, client_of, silent, status
from tests.peers.scripted_server import Peer, ScriptedServer

SOON = ReconnectPolicy(interval=0.01)
LATE = ReconnectPolicy(interval=1000.0, fast_retries=0)
METADATA = Frame.of_metadata({"width": 160.0})
AUDIO_HEADER = Frame.audio(b"\xaf\x00\x12\x10", 0)
VIDEO_HEADER = Frame.video(b"\x17\x00\x00\x00\x00\x01", 0)
HEADERS = [METADATA, AUDIO_HEADER, VIDEO_HEADER]


def key(time_ms: int) -> Frame:
    return Frame.video(b"\x17\x01\x00\x00\x00key", time_ms)


def inter(time_ms: int) -> Frame:
    return Frame.video(b"\x27\x01\x00\x00\x00inter", time_ms)


def at(frames: list[Frame], time_ms: int) -> list[Frame]:
    return [Frame(frame.message_type, frame.payload, time_ms) for frame in frames]


class Taker:
    """The script of a server that takes frames until so many have come, then closes."""

    def __init__(self, count: int = 1_000_000) -> None:
        self.count = count
        self.frames: list[Frame] = []

    def __call__(self, peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        rtmp.accept_publish()
        self.frames = rtmp.frames
        while len(rtmp.frames) < self.count and rtmp.read_on():
            pass


def giver(*frames: Frame, ends: bool = False, closes: bool = False) -> Callable[[Peer], None]:
    """The script of a server that plays these frames, then ends the stream, or closes."""

    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        stream_id = 0
        while rtmp.create(stream_id + 1):
            stream_id += 1
            rtmp.expect("play")
            rtmp.send(status("NetStream.Play.Start").pack(stream_id))
            rtmp.send_frames(*frames, stream_id=stream_id)
            if closes:
                return
            if not ends:
                return rtmp.read_to_end()
            rtmp.send(status("NetStream.Play.UnpublishNotify").pack(stream_id))

    return script


def refuse(peer: Peer) -> None:
    rtmp = RtmpServerEnd(peer)
    rtmp.accept_connect()
    stream_id = 0
    while rtmp.create(stream_id + 1):
        stream_id += 1
        rtmp.send(status("NetStream.Publish.BadName", "error").pack(stream_id))


def drop(peer: Peer) -> None:
    """The script of a server that closes each connection."""


# --- publishers ---


def test_headers_go_out_again_before_the_first_keyframe_of_the_next_connection() -> None:
    first, second = Taker(5), Taker()
    with client_of(first, second) as (client, _):
        with RtmpPublisher(client, "name", policy=SOON) as out:
            out.wait_connected(WAIT_S)
            out.send(*HEADERS, inter(1), key(2), inter(3))
            assert out.dropped_frames == 1
            wait_until(lambda: not out.is_connected)
            out.wait_connected(WAIT_S)
            assert isinstance(out.last_error, ConnectionFailedError)
            out.send(inter(4))
            out.send(key(5), inter(6))
            assert (out.connects, out.dropped_frames) == (2, 2)
    assert first.frames == [*at(HEADERS, 2), key(2), inter(3)]
    assert second.frames == [*at(HEADERS, 5), key(5), inter(6)]


def test_frames_are_dropped_while_nobody_is_there(dead_address: str) -> None:
    with RtmpClient(f"rtmp://{dead_address}/live") as client:
        with RtmpPublisher(client, "name", policy=LATE) as out:
            for time_ms in range(100):
                out.send(key(time_ms))
            assert out.dropped_frames == 100
            assert not out.is_connected
            while out.last_error is None:
                out.send(key(0))


def test_a_publisher_that_drops_nothing_refuses_frames_instead(dead_address: str) -> None:
    with RtmpClient(f"rtmp://{dead_address}/live") as client:
        with RtmpPublisher(client, "name", policy=LATE, drops_frames=False) as out:
            with pytest.raises(OvercrowdedError, match="not published now"):
                out.send(key(0))


def test_frames_are_dropped_up_to_a_keyframe_while_the_server_takes_too_little() -> None:
    go_on = threading.Event()
    received: list[Frame] = []

    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        rtmp.accept_publish()
        assert go_on.wait(WAIT_S)
        rtmp.read_to_end()
        received.extend(rtmp.frames)

    big = Frame.video(b"\x27\x01" + bytes(60_000), 1)
    options = RtmpOptions(timeout=WAIT_S, max_unwritten_bytes=100_000)
    with client_of(script, options=options) as (client, _):
        with RtmpPublisher(client, "name") as out:
            out.wait_connected(WAIT_S)
            out.send(VIDEO_HEADER, key(0))
            while not out.dropped_frames:
                out.send(big)
            go_on.set()
            while out.dropped_frames:
                before = out.dropped_frames
                out.send(key(9))
                if out.dropped_frames == before:
                    break
    assert received[0] == VIDEO_HEADER
    assert received[-2:] == [*at([VIDEO_HEADER], 9), key(9)]
    assert out.connects == 1


def test_a_refused_publisher_gives_up_after_the_longest_duration() -> None:
    policy = ReconnectPolicy(interval=0.0, fast_retries=0, max_duration=0.0)
    with client_of(refuse) as (client, server):
        with RtmpPublisher(client, "name", policy=policy) as out:
            for _ in range(2):
                with pytest.raises(RtmpStatusError) as caught:
                    out.wait_connected(WAIT_S)
                assert caught.value.status == "NetStream.Publish.BadName"
            with pytest.raises(RtmpStatusError):
                out.send(key(0))
        assert server.connections == 1


def test_a_refused_publisher_tries_again() -> None:
    taker = Taker()

    def refusing_once(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        rtmp.create(1)
        rtmp.expect("publish")
        rtmp.send(status("NetStream.Publish.BadName", "error").pack(1))
        rtmp.accept_publish(2)
        taker.frames = rtmp.frames
        rtmp.read_to_end()

    with client_of(refusing_once) as (client, _):
        with RtmpPublisher(client, "name", policy=SOON) as out:
            out.wait_connected(WAIT_S)
            assert isinstance(out.last_error, RtmpStatusError)
            out.send(key(1))
    assert taker.frames == [key(1)]


def test_an_attempt_that_is_not_answered_is_given_up() -> None:
    options = RtmpOptions(timeout=0.2, connect_timeout=WAIT_S)
    with client_of(silent, Taker(), options=options) as (client, server):
        with RtmpPublisher(client, "name", policy=SOON) as out:
            out.wait_connected(WAIT_S)
            assert isinstance(out.last_error, RpcTimeoutError)
        assert server.connections >= 2


def test_waiting_for_a_publisher_ends_at_its_timeout_and_with_its_close(
    dead_address: str,
) -> None:
    with RtmpClient(f"rtmp://{dead_address}/live") as client:
        out = RtmpPublisher(client, "name", policy=LATE)
        assert repr(out) == f"<RtmpPublisher 'name' with {dead_address}, not connected, 0 connects>"
        with pytest.raises(StreamTimeoutError, match=r"within 0\.05 s; the last attempt: ECONN"):
            out.wait_connected(0.05)
        raised: list[BaseException] = []

        def wait() -> None:
            try:
                out.wait_connected(WAIT_S)
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        out.close()
        thread.join(WAIT_S)
        assert isinstance(raised[0], StreamClosedError)
        with pytest.raises(StreamClosedError):
            out.send(key(0))


def test_a_publisher_of_a_closed_client_ends() -> None:
    with client_of(Taker()) as (client, _):
        out = RtmpPublisher(client, "name", policy=SOON)
        out.wait_connected(WAIT_S)
        client.close()
        with pytest.raises(ChannelClosedError):
            out.send(key(0))
        out.close()


# --- players ---


def test_a_player_goes_on_with_the_frames_of_the_next_connection() -> None:
    with client_of(giver(key(1), closes=True), giver(key(2), inter(3))) as (client, server):
        with RtmpPlayer(client, "name", policy=SOON) as stream:
            assert stream.recv(WAIT_S) == key(1)
            assert stream.connects == 1
            assert [stream.recv(WAIT_S), stream.recv(WAIT_S)] == [key(2), inter(3)]
            assert stream.connects == 2
            assert isinstance(stream.last_error, ConnectionFailedError)
        assert server.connections == 2


def test_a_player_plays_again_when_the_publisher_has_left() -> None:
    with client_of(giver(key(1), ends=True)) as (client, server):
        with RtmpPlayer(client, "name", policy=SOON) as stream:
            assert [stream.recv(WAIT_S) for _ in range(4)] == [key(1)] * 4
            assert stream.connects == 4
            assert stream.last_error is None
        assert server.connections == 1


def test_a_player_waits_through_failed_attempts() -> None:
    with client_of(drop, drop, drop, drop, giver(key(1))) as (client, server):
        with RtmpPlayer(client, "name", policy=SOON) as stream:
            assert stream.recv(WAIT_S) == key(1)
        assert server.connections == 5


def test_a_player_gives_up_after_the_longest_duration(dead_address: str) -> None:
    policy = ReconnectPolicy(interval=0.0, fast_retries=0, max_duration=0.0)
    with RtmpClient(f"rtmp://{dead_address}/live") as client:
        with RtmpPlayer(client, "name", policy=policy) as stream:
            with pytest.raises(ConnectionFailedError):
                next(stream)
            assert "given up" in repr(stream)


def test_recv_of_a_player_ends_at_its_timeout(dead_address: str) -> None:
    with RtmpClient(f"rtmp://{dead_address}/live") as client:
        with RtmpPlayer(client, "name", policy=LATE) as stream:
            with pytest.raises(StreamTimeoutError, match="the last attempt: ECONN"):
                stream.recv(0.05)
    with client_of(giver()) as (client, _), RtmpPlayer(client, "name") as stream:
        with pytest.raises(StreamTimeoutError):
            stream.recv(0.05)


@pytest.mark.parametrize("is_there", [False, True])
def test_close_ends_the_iteration_of_another_thread(is_there: bool, dead_address: str) -> None:
    with ScriptedServer(giver(key(1))) as server:
        address = server.address if is_there else dead_address
        with RtmpClient(f"rtmp://{address}/live", PATIENT) as client:
            stream = RtmpPlayer(client, "name", policy=LATE)
            frames: list[Frame] = []
            thread = threading.Thread(target=lambda: frames.extend(stream))
            thread.start()
            if is_there:
                wait_until(lambda: stream.is_connected)
            else:
                wait_until(lambda: stream.last_error is not None)
            stream.close()
            thread.join(WAIT_S)
            assert not thread.is_alive()


def test_close_during_an_attempt_ends_the_iteration_and_the_stream() -> None:
    asked, deleted = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        rtmp.create()
        rtmp.expect("play")
        asked.set()
        rtmp.expect("deleteStream")
        deleted.set()
        rtmp.read_to_end()

    with client_of(script) as (client, _):
        stream = RtmpPlayer(client, "name")
        frames: list[Frame] = []
        thread = threading.Thread(target=lambda: frames.extend(stream))
        thread.start()
        assert asked.wait(WAIT_S)
        stream.close()
        thread.join(WAIT_S)
        assert not thread.is_alive()
        assert deleted.wait(WAIT_S)
        assert frames == []


# --- asyncio ---


def test_asyncio_publishes_over_one_connection_after_another() -> None:
    first, second = Taker(2), Taker()

    async def main(url: str) -> None:
        async with aio.RtmpClient(url, PATIENT) as client:
            async with aio.RtmpPublisher(client, "name", policy=SOON) as out:
                await out.wait_connected(WAIT_S)
                await out.send(VIDEO_HEADER, key(1))
                while out.connects < 2 or not out.is_connected:
                    await out.send(inter(2))
                await out.send(key(3))

    with ScriptedServer(first, second) as server:
        asyncio.run(main(f"rtmp://{server.address}/live"))
    assert first.frames[:2] == [*at([VIDEO_HEADER], 1), key(1)]
    assert second.frames == [*at([VIDEO_HEADER], 3), key(3)]


def test_asyncio_plays_over_one_connection_after_another() -> None:
    async def main(url: str) -> None:
        async with aio.RtmpClient(url, PATIENT) as client:
            async with aio.RtmpPlayer(client, "name", policy=SOON) as stream:
                frames = [await stream.recv(WAIT_S) for _ in range(2)]
                assert frames == [key(1), key(2)]
                assert stream.connects == 2
                with pytest.raises(StreamTimeoutError):
                    await stream.recv(0.05)
                task = asyncio.ensure_future(anext(stream))
                await asyncio.sleep(0)
                await stream.close()
                with pytest.raises(StopAsyncIteration):
                    await task

    with ScriptedServer(giver(key(1), closes=True), drop, giver(key(2))) as server:
        asyncio.run(main(f"rtmp://{server.address}/live"))


def test_clients_of_the_wrong_kind_are_refused() -> None:
    with RtmpClient("host/app") as client:
        with pytest.raises(
            TypeError, match=r"client must be a pybrpc\.rtmp\.aio\.RtmpClient, not "
        ):
            aio.RtmpPlayer(client, "name")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"policy must be a pybrpc\.rtmp\.ReconnectPolicy or"):
            RtmpPublisher(client, "name", policy=1.0)  # type: ignore[arg-type]


def test_only_frames_are_published(dead_address: str) -> None:
    with RtmpClient(f"rtmp://{dead_address}/live") as client:
        with RtmpPublisher(client, "name", policy=LATE) as out:
            for what in (b"x", [key(0)]):
                with pytest.raises(TypeError, match="frame"):
                    out.send(what)  # type: ignore[arg-type]
