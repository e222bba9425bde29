"""Clients of RTMP with real programs: frames arrive as they were sent."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybrpc.errors import RpcError, RtmpStatusError
from pybrpc.rtmp import (
    FlvReader,
    FlvWriter,
    Frame,
    RtmpClient,
    RtmpOptions,
    RtmpPlayer,
    RtmpPublisher,
    aio,
)
from tests.fakes.threads import WAIT_S
from tests.peers.flv_files import Packet, packets_of
from tests.peers.nginx_rtmp import NginxRtmp
from tests.peers.redis_server import free_port
from tests.peers.rtmp_programs import (
    SPEED,
    ffmpeg_player,
    ffmpeg_pusher,
    ffmpeg_server,
    gst_player,
    gst_pusher,
    make_hevc_source,
    pyav_server,
    rtmpdump_player,
)
from tests.peers.running_program import RunningProgram

pytestmark = [
    pytest.mark.same_everywhere,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

PATIENT = RtmpOptions(timeout=WAIT_S, connect_timeout=WAIT_S)


@pytest.fixture
def server() -> Iterator[NginxRtmp]:
    with NginxRtmp() as running:
        yield running


def app_of(url: str) -> str:
    return url.rpartition("/")[0]


def frames_of(path: Path) -> list[Frame]:
    with path.open("rb") as file:
        return list(FlvReader(file))


def packets_in(frames: list[Frame], path: Path) -> list[Packet]:
    with path.open("wb") as file:
        writer = FlvWriter(file)
        for frame in frames:
            writer.write(frame)
    return packets_of(path)


def publish_all(url: str, frames: list[Frame]) -> None:
    with RtmpClient(app_of(url), PATIENT) as client:
        with client.publish(url.rpartition("/")[2]) as out:
            for frame in frames:
                out.send(frame)


def player_of(name: str, url: str, copy: Path) -> RunningProgram:
    players = {"ffmpeg": ffmpeg_player, "rtmpdump": rtmpdump_player, "gstreamer": gst_player}
    return players[name](url, copy)


@pytest.mark.parametrize("program", ["ffmpeg", "rtmpdump", "gstreamer"])
def test_programs_play_what_the_client_publishes_to_nginx(
    program: str, server: NginxRtmp, source: Path, tmp_path: Path
) -> None:
    """All of a file at once. rtmp2src may leave out the last packet when the stream ends."""
    copy = tmp_path / "copy.flv"
    with player_of(program, server.url(), copy) as player:
        server.wait_players(1)
        publish_all(server.url(), frames_of(source))
        assert player.wait() in (0, 2), player.log()
    packets = packets_of(source)
    assert packets_of(copy) in ([packets, packets[:-1]] if program == "gstreamer" else [packets])


def test_a_listening_ffmpeg_receives_what_the_client_publishes(
    source: Path, tmp_path: Path
) -> None:
    port, copy = free_port(), tmp_path / "copy.flv"
    url = f"rtmp://127.0.0.1:{port}/live/stream"
    with ffmpeg_server(url, copy) as server:
        server.wait_listening(port)
        publish_all(url, frames_of(source))
        assert server.wait() == 0, server.log()
    assert packets_of(copy) == packets_of(source)


def test_a_listening_pyav_receives_hevc_that_the_client_publishes(tmp_path: Path) -> None:
    port, copy = free_port(), tmp_path / "copy.flv"
    url = f"rtmp://127.0.0.1:{port}/live/stream"
    frames = frames_of(make_hevc_source(tmp_path / "source.flv", seconds=1.0))
    with pyav_server(url, copy) as server:
        server.wait_listening(port)
        publish_all(url, frames)
        assert server.wait() == 0, server.log()
    sent = [frame.payload for frame in frames if frame.kind == "video" and len(frame.payload) > 50]
    assert len(sent) >= 20
    # Another FFmpeg writes coded frames with or without a composition time.
    received = {frame.payload[-40:] for frame in frames_of(copy)}
    assert all(payload[-40:] in received for payload in sent)


@pytest.mark.parametrize("chunk_size", [128, 4096])
def test_the_client_plays_what_ffmpeg_pushes_to_nginx(
    chunk_size: int, source: Path, tmp_path: Path
) -> None:
    with NginxRtmp(chunk_size) as server:
        with RtmpClient(app_of(server.url()), PATIENT) as client, client.play("stream") as stream:
            with ffmpeg_pusher(source, server.url(), SPEED) as pusher:
                frames = list(stream)
                assert pusher.wait() == 0, pusher.log()
    assert packets_in(frames, tmp_path / "copy.flv") == packets_of(source)
    assert frames[1].metadata is not None or frames[0].metadata is not None


def test_the_client_plays_what_gstreamer_pushes_to_nginx(server: NginxRtmp, tmp_path: Path) -> None:
    sent = tmp_path / "sent.flv"
    with RtmpClient(app_of(server.url()), PATIENT) as client, client.play("stream") as stream:
        with gst_pusher(sent, server.url(), seconds=1.0) as pusher:
            frames = list(stream)
            assert pusher.wait() == 0, pusher.log()
    assert packets_in(frames, tmp_path / "copy.flv") == packets_of(sent)


def test_the_client_plays_what_the_client_publishes_in_asyncio(
    server: NginxRtmp, source: Path, tmp_path: Path
) -> None:
    sent = frames_of(source)

    async def play(client: aio.RtmpClient, is_playing: asyncio.Event) -> list[Frame]:
        async with client.play("stream") as stream:
            is_playing.set()
            return [frame async for frame in stream]

    async def main() -> list[Frame]:
        async with aio.RtmpClient(app_of(server.url()), PATIENT) as client:
            is_playing = asyncio.Event()
            player = asyncio.create_task(play(client, is_playing))
            await is_playing.wait()
            async with client.publish("stream") as out:
                for frame in sent:
                    await out.send(frame)
            return await player

    frames = asyncio.run(main())
    assert packets_in(frames, tmp_path / "copy.flv") == packets_of(source)


def test_nginx_refuses_the_second_publisher(server: NginxRtmp, source: Path) -> None:
    frames = frames_of(source)
    with RtmpClient(app_of(server.url()), PATIENT) as client, client.publish("stream") as out:
        with pytest.raises(RtmpStatusError) as caught:
            client.publish("stream")
        assert caught.value.status == "NetStream.Publish.BadName"
        out.send(*frames)
    assert out.failure is None


def test_a_stream_can_be_published_again_after_its_end(server: NginxRtmp, source: Path) -> None:
    frames = frames_of(source)
    with RtmpClient(app_of(server.url()), PATIENT) as client:
        for _ in range(3):
            with client.publish("stream") as out:
                out.send(*frames[:20])
            assert out.failure is None


def test_nginx_refuses_an_unknown_stream_if_it_is_told_to() -> None:
    with NginxRtmp(settings="idle_streams off;") as server:
        with RtmpClient(app_of(server.url()), PATIENT) as client:
            with pytest.raises(RpcError) as caught:
                client.play("nobody")
    assert isinstance(caught.value, RtmpStatusError), caught.value
    assert caught.value.status == "NetStream.Play.StreamNotFound"


def test_nginx_refuses_an_unknown_app(server: NginxRtmp) -> None:
    with RtmpClient(f"rtmp://127.0.0.1:{server.port}/other", PATIENT) as client:
        with pytest.raises(RpcError) as caught:
            client.publish("stream")
    assert caught.value.phase == "handshake"


@pytest.mark.parametrize("digest", [False, True])
def test_nginx_takes_both_handshakes(digest: bool, server: NginxRtmp, source: Path) -> None:
    options = RtmpOptions(timeout=WAIT_S, connect_timeout=WAIT_S, digest=digest)
    with RtmpClient(app_of(server.url()), options) as client, client.publish("stream") as out:
        out.send(*frames_of(source))


def test_publisher_and_player_outlive_a_server_that_is_killed(
    server: NginxRtmp, source: Path
) -> None:
    """As C++ bRPC's RtmpTest.retrying_stream: each side is connected twice."""
    frames = [frame for frame in frames_of(source) if frame.kind != "data"]
    headers = [frame for frame in frames if frame.is_sequence_header and frame.kind == "video"]
    key = next(frame for frame in frames if frame.is_keyframe and frame not in headers)
    app = app_of(server.url())
    with (
        RtmpClient(app, PATIENT) as client,
        RtmpPlayer(client, "stream") as player,
        RtmpPublisher(client, "stream") as publisher,
    ):
        publisher.wait_connected(WAIT_S)
        publisher.send(*headers)
        received = received_of(player, publisher, key)
        server.program.stop()
        server.program.start().wait_listening(server.port)
        again = received_of(player, publisher, key, connects=2)
        assert (publisher.connects, player.connects) == (2, 2)
        assert publisher.last_error is not None
    for got in (received, again):
        assert {frame.payload for frame in headers} <= {frame.payload for frame in got}
        assert key.payload in {frame.payload for frame in got}


def received_of(
    player: RtmpPlayer, publisher: RtmpPublisher, key: Frame, connects: int = 1
) -> list[Frame]:
    """Send a keyframe again and again until it arrives over this connection of both."""
    received: list[Frame] = []
    while True:
        publisher.send(key)
        try:
            frame = player.recv(0.02)
        except TimeoutError:
            continue
        if player.connects == connects:
            received.append(frame)
            if frame.payload == key.payload and publisher.connects == connects:
                return received
