"""Programs that speak RTMP, each as a RunningProgram that the caller starts and stops.

    with NginxRtmp() as server, ffmpeg_player(server.url(), folder / "copy.flv") as player:
        server.wait_players(1)
        with ffmpeg_pusher(make_source(folder / "source.flv"), server.url()) as pusher:
            assert pusher.wait() == 0
        player.wait()

All files are FLV. A player writes what it receives without encoding it again. Programs whose log
and files are in one folder need different names: that of the file they read or write.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from tests.peers.programs import VARIABLE
from tests.peers.running_program import RunningProgram

ROOT = Path(__file__).parents[2]
FFMPEG = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "warning", "-y"]
GST = ["gst-launch-1.0", "--quiet", "--no-fault", "--eos-on-shutdown"]
LIVE_SIZE, RATE = "160x120", 25
"""Width and height in pixels, and frames a second, of the test picture."""

AUDIO_RATE, AUDIO_FRAME = 44_100, 1024
"""Samples a second, and samples in a frame of AAC."""


SPEED = 4.0
"""Files are published so much faster than they play."""


def publish(pusher: RunningProgram) -> None:
    """Have a program publish all that it has."""
    with pusher:
        assert pusher.wait() == 0, pusher.log()


def make_source(
    path: Path,
    seconds: float = 2.0,
    bits_per_s: int = 60_000,
    size: str = LIVE_SIZE,
    noise: int = 0,
) -> Path:
    """Encode ffmpeg's test picture and a tone, as H.264 and AAC, with a keyframe each second.

    bits_per_s   the bit rate of the video; a picture with little `noise` (0 to 100) has a lower one
    """
    pixels = f"testsrc=size={size}:rate={RATE},noise=alls={noise}:allf=t"
    picture = ["-f", "lavfi", "-i", pixels, "-pix_fmt", "yuv420p"]
    tone = ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate={AUDIO_RATE}"]
    rate = ["-b:v", bits_per_s, "-maxrate", bits_per_s, "-bufsize", bits_per_s]
    video = ["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-g", RATE]
    video += ["-threads", 1]  # with more, the bytes differ from run to run
    audio = ["-c:a", "aac", "-ac", 1, "-b:a", 32_000]
    command = [*FFMPEG, *picture[:4], *tone, "-t", seconds, *picture[4:], *video, *rate, *audio]
    with RunningProgram([*command, "-f", "flv", path], path.parent, path.name) as program:
        assert program.wait() == 0, program.log()
    return path


def ffmpeg_pusher(
    source: Path, url: str, speed: float = 1.0, begin_s: float = 0.0
) -> RunningProgram:
    """Publish a file. Ends with the file, with status 0.

    speed     2.0 is twice as fast as the file plays
    begin_s   timestamps begin with it, in seconds
    """
    times = ["-output_ts_offset", begin_s] if begin_s else []
    command = [*FFMPEG, "-readrate", speed, "-i", source, "-c", "copy", *times, "-f", "flv", url]
    return RunningProgram(command, source.parent, f"ffmpeg-push-{source.name}")


def ffmpeg_player(url: str, copy: Path) -> RunningProgram:
    """Ends with status 0 when its stream ends."""
    command = [*FFMPEG, "-i", url, "-c", "copy", "-f", "flv", copy]
    return RunningProgram(command, copy.parent, copy.name)


def ffmpeg_server(url: str, copy: Path) -> RunningProgram:
    """Listens for one publisher, at the port of `url`; ends with status 0 after it."""
    command = [*FFMPEG, "-listen", 1, "-timeout", 30, "-i", url, "-c", "copy", "-f", "flv", copy]
    return RunningProgram(command, copy.parent, copy.name)


def rtmpdump_player(url: str, copy: Path) -> RunningProgram:
    """Uses librtmp. Ends when its stream ends, with status 0, or 2 if it takes it as incomplete."""
    return RunningProgram(
        ["rtmpdump", "--quiet", "--rtmp", url, "--live", "--flv", copy], copy.parent, copy.name
    )


def gst_pusher(
    sent: Path, url: str, seconds: float = 2.0, sink: str = "rtmp2sink"
) -> RunningProgram:
    """Encodes a test picture and a tone, and publishes them; `sent` is a copy of what it publishes.

    `rtmp2sink` is GStreamer's own implementation, `rtmpsink` uses librtmp. Ends with status 0.
    """
    width, height = LIVE_SIZE.split("x")
    frames, tones = round(seconds * RATE), round(seconds * AUDIO_RATE / AUDIO_FRAME)
    picture = f"video/x-raw,width={width},height={height},framerate={RATE}/1"
    video = f"x264enc tune=zerolatency speed-preset=veryfast key-int-max={RATE} bitrate=60"
    samples = f"audio/x-raw,rate={AUDIO_RATE},channels=1"
    pipeline = (
        f"flvmux name=mux streamable=true ! tee name=both ! queue ! {sink} location={url} "
        f"both. ! queue ! filesink buffer-mode=unbuffered location={sent} "
        f"videotestsrc num-buffers={frames} is-live=true ! {picture} ! {video} ! h264parse "
        f"! queue ! mux. audiotestsrc num-buffers={tones} is-live=true ! {samples} "
        f"! avenc_aac bitrate=32000 ! queue ! mux."
    )
    return RunningProgram([*GST, *pipeline.split()], sent.parent, sent.name)


def gst_player(url: str, copy: Path, source: str = "rtmp2src") -> RunningProgram:
    """Writes each packet to the file at once.

    `rtmp2src` is GStreamer's own implementation; it ends with its stream, with status 0, and leaves
    the last packet out. `rtmpsrc` uses librtmp; it plays again when its stream has ended: interrupt
    it.
    """
    pipeline = f"{source} location={url} ! filesink buffer-mode=unbuffered location={copy}"
    return RunningProgram([*GST, *pipeline.split()], copy.parent, copy.name)


def require_pyav() -> None:
    """Skip the test that runs, or fail it where programs are required, if PyAV is missing."""
    if importlib.util.find_spec("av") is None:
        reason = "there is no PyAV here: pip install av"
        if os.environ.get(VARIABLE) == "required":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def make_hevc_source(path: Path, seconds: float = 2.0) -> Path:
    """Encode a test picture as HEVC, in an FLV file in the form of enhanced RTMP. No audio."""
    with pyav_program(path, "make", path, seconds) as program:
        assert program.wait() == 0, program.log()
    return path


def pyav_pusher(source: Path, url: str) -> RunningProgram:
    """Publish a file by PyAV, whose FFmpeg knows enhanced RTMP. Ends with status 0."""
    return pyav_program(source, "push", source, url)


def pyav_player(url: str, copy: Path) -> RunningProgram:
    """Ends with status 0 when its stream ends."""
    return pyav_program(copy, "play", url, copy)


def pyav_server(url: str, copy: Path) -> RunningProgram:
    """PyAV's FFmpeg listens for one publisher at the port of `url`; ends with status 0 after it."""
    return pyav_program(copy, "serve", url, copy)


def pyav_program(file: Path, action: str, *arguments: object) -> RunningProgram:
    require_pyav()
    script = Path(__file__).with_name("pyav_rtmp.py")
    command = [sys.executable, script, action, *arguments]
    return RunningProgram(command, file.parent, f"pyav-{action}-{file.name}")
