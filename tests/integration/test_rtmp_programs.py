"""The programs that RTMP is tested against work with one another, and arrive at equal frames."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.threads import wait_until
from tests.golden import record_rtmp
from tests.oracles.rtmp_chunks import messages_of
from tests.peers.flv_files import (
    AUDIO,
    METADATA,
    VIDEO,
    hevc_pictures,
    media_of,
    packets_of,
    tags_of,
)
from tests.peers.nginx_rtmp import NginxRtmp
from tests.peers.programs import require_program
from tests.peers.redis_server import free_port
from tests.peers.rtmp_programs import (
    SPEED,
    ffmpeg_player,
    ffmpeg_pusher,
    ffmpeg_server,
    gst_player,
    gst_pusher,
    make_hevc_source,
    publish,
    pyav_pusher,
    pyav_server,
    rtmpdump_player,
)
from tests.peers.running_program import RunningProgram, is_listening
from tests.peers.supervised import is_alive

pytestmark = [
    pytest.mark.same_everywhere,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]


@pytest.fixture
def server() -> Iterator[NginxRtmp]:
    with NginxRtmp() as running:
        yield running


def wait_media(player: RunningProgram, copy: Path, count: int) -> None:
    player.wait_until(lambda: len(media_of(copy)) >= count, f"at tag {count}")


def test_source_has_both_codecs_and_a_keyframe_each_second(source: Path) -> None:
    packets = packets_of(source)
    assert [packet.codec_type for packet in packets].count("video") == 50
    assert [packet.codec_type for packet in packets].count("audio") > 80
    kinds = [tag.kind for tag in tags_of(source)]
    assert {METADATA, AUDIO, VIDEO} == set(kinds)
    keyframes = [
        tag for tag in media_of(source) if tag.kind == VIDEO and tag.payload[:2] == b"\x17\1"
    ]
    assert len(keyframes) == 2


def test_ffmpeg_plays_the_packets_that_ffmpeg_pushes(
    server: NginxRtmp, source: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.flv"
    with ffmpeg_player(server.url(), copy) as player:
        server.wait_players(1)
        publish(ffmpeg_pusher(source, server.url(), SPEED))
        assert player.wait() == 0, player.log()
    assert packets_of(copy) == packets_of(source)


def test_rtmpdump_plays_the_packets_that_ffmpeg_pushes(
    server: NginxRtmp, source: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.flv"
    with rtmpdump_player(server.url(), copy) as player:
        server.wait_players(1)
        publish(ffmpeg_pusher(source, server.url(), SPEED))
        assert player.wait() in (0, 2), player.log()
    assert packets_of(copy) == packets_of(source)


def test_gstreamer_plays_the_packets_that_ffmpeg_pushes(
    server: NginxRtmp, source: Path, tmp_path: Path
) -> None:
    """But for the last packet, which rtmp2src may leave out when the stream ends."""
    copy = tmp_path / "copy.flv"
    with gst_player(server.url(), copy) as player:
        server.wait_players(1)
        publish(ffmpeg_pusher(source, server.url(), SPEED))
        assert player.wait() == 0, player.log()
    packets = packets_of(source)
    assert packets_of(copy) in (packets, packets[:-1])


def test_gstreamer_with_librtmp_plays_the_packets_that_ffmpeg_pushes(
    server: NginxRtmp, source: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.flv"
    with gst_player(server.url(), copy, "rtmpsrc") as player:
        server.wait_players(1)
        publish(ffmpeg_pusher(source, server.url(), SPEED))
        wait_media(player, copy, len(media_of(source)))
        player.interrupt()
    assert packets_of(copy) == packets_of(source)


@pytest.mark.parametrize("sink", ["rtmp2sink", "rtmpsink"])
def test_rtmpdump_plays_the_packets_that_gstreamer_pushes(
    server: NginxRtmp, tmp_path: Path, sink: str
) -> None:
    sent, copy = tmp_path / "sent.flv", tmp_path / "copy.flv"
    with rtmpdump_player(server.url(), copy) as player:
        server.wait_players(1)
        publish(gst_pusher(sent, server.url(), seconds=1.0, sink=sink))
        assert player.wait() in (0, 2), player.log()
    packets = packets_of(sent)
    assert [packet.codec_type for packet in packets].count("video") == 25
    assert packets_of(copy) == packets


def test_listening_ffmpeg_receives_the_packets_that_ffmpeg_pushes(
    source: Path, tmp_path: Path
) -> None:
    port, copy = free_port(), tmp_path / "copy.flv"
    url = f"rtmp://127.0.0.1:{port}/live/stream"
    with ffmpeg_server(url, copy) as server:
        server.wait_listening(port)
        publish(ffmpeg_pusher(source, url, SPEED))
        assert server.wait() == 0, server.log()
    assert packets_of(copy) == packets_of(source)


def test_listening_pyav_receives_the_hevc_that_pyav_pushes(tmp_path: Path) -> None:
    """In the form of enhanced RTMP: the first bit, then the kind of packet, then the codec."""
    port, copy = free_port(), tmp_path / "copy.flv"
    url = f"rtmp://127.0.0.1:{port}/live/stream"
    sent = make_hevc_source(tmp_path / "source.flv", seconds=1.0)
    with pyav_server(url, copy) as server:
        server.wait_listening(port)
        publish(pyav_pusher(sent, url))
        assert server.wait() == 0, server.log()
    frames = media_of(copy)
    assert len(frames) >= 26
    assert all(frame.payload[0] & 0x80 and frame.payload[1:5] == b"hvc1" for frame in frames)
    assert hevc_pictures(media_of(copy)) == hevc_pictures(media_of(sent))


def test_nginx_accepts_hevc_and_passes_only_its_metadata_on(
    server: NginxRtmp, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.flv"
    with rtmpdump_player(server.url(), copy) as player:
        server.wait_players(1)
        publish(pyav_pusher(make_hevc_source(tmp_path / "source.flv", seconds=0.5), server.url()))
        player.wait()
    server.wait_publishers(1)
    assert {tag.kind for tag in tags_of(copy)} == {METADATA}


def test_recording_can_be_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not with equal bytes, for the handshake and the port differ; other versions differ more."""
    kept_in = record_rtmp.FOLDER
    monkeypatch.setattr(record_rtmp, "FOLDER", tmp_path)
    entry = record_rtmp.record("ffmpeg_play")
    for side in "client", "server":
        name = f"ffmpeg_play.{side}.bin"
        made, kept = (
            {message.kind for message in messages_of((folder / name).read_bytes())}
            for folder in (tmp_path, kept_in)
        )
        assert made == kept
        assert (
            sum(count for from_, count in entry["turns"] if from_ == side) == entry[f"{side}_bytes"]
        )
    assert "rtmp://127.0.0.1:PORT/live/stream -c copy -f flv file.flv" in entry["command"]


STARTS_A_SERVER = """
from tests.peers.nginx_rtmp import NginxRtmp
with NginxRtmp() as server:
    print(server.port, flush=True)
    input()
"""


def test_killed_test_leaves_no_program(tmp_path: Path) -> None:
    """No code of the killed process runs: the kernel ends the program."""
    require_program("nginx")
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_A_SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)},
    ) as test:
        assert test.stdout is not None
        port = int(test.stdout.readline())
        assert is_listening(port)
        test.kill()
        wait_until(lambda: not is_listening(port))


def test_stopped_program_is_gone_and_its_log_remains(tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", "sleep 60 & echo $! begun; wait"]
    with RunningProgram(command, tmp_path, "shell") as program:
        program.wait_until(lambda: "begun" in program.log(), "begun")
        assert program.is_running()
    assert not program.is_running()
    child = int(program.log().split()[0])
    wait_until(lambda: not is_alive(child))


def test_program_that_ends_early_is_reported_with_its_log(tmp_path: Path) -> None:
    with RunningProgram(["/bin/sh", "-c", "echo no space; exit 3"], tmp_path, "shell") as program:
        with pytest.raises(AssertionError, match=r"has ended, not listening on 1:\s+no space"):
            program.wait_listening(1)
