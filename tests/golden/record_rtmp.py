"""Record what programs and nginx-rtmp say to one another, into tests/golden/rtmp.

    python -m tests.golden.record_rtmp [CASE ...]    all cases, or those that are named

A recording is a pair of files, one for the bytes of each side: <case>.client.bin, from the program,
and <case>.server.bin, from nginx. recordings.json says how each was made, and in which turns the
bytes came. Where the program does not encode by itself, the stream is always the same: two seconds
of H.264 and AAC, 160x120. In the cases with "acks" nginx announces a window so small that the other
side acknowledges what it receives, if it does so at all. In the cases with "late" timestamps begin
above 2**24 ms, so that they do not fit into three bytes, and nginx announces chunks of 128 bytes,
so that the first message with such a timestamp has several.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from tests.peers.nginx_rtmp import ACK_WINDOW, NginxRtmp
from tests.peers.recording_proxy import RecordingProxy
from tests.peers.rtmp_programs import (
    ffmpeg_player,
    ffmpeg_pusher,
    gst_player,
    gst_pusher,
    make_hevc_source,
    make_source,
    pyav_pusher,
    rtmpdump_player,
)
from tests.peers.running_program import RunningProgram

FOLDER = Path(__file__).parent / "rtmp"
INDEX = FOLDER / "recordings.json"
SMALL_WINDOW = 4000
LATE_S, LATE_CHUNK_SIZE = 16_778.0, 128
SERVER = ("nginx-light", "libnginx-mod-rtmp")


class Case(NamedTuple):
    """A program to record; `start` makes it from a URL and a file to publish or to write.

    packages     packages of Debian whose versions are noted; none for PyAV
    ack_window   the window that nginx announces, in bytes
    is_late      whether timestamps are above 2**24 ms and chunks small
    """

    start: Callable[[str, Path], RunningProgram]
    packages: tuple[str, ...]
    publishes: bool
    ack_window: int = ACK_WINDOW
    is_late: bool = False


def _push_gst(url: str, file: Path) -> RunningProgram:
    return gst_pusher(file, url)


def _push_gst_librtmp(url: str, file: Path) -> RunningProgram:
    return gst_pusher(file, url, sink="rtmpsink")


def _push_ffmpeg(url: str, file: Path) -> RunningProgram:
    return ffmpeg_pusher(make_source(file), url)


def _push_ffmpeg_late(url: str, file: Path) -> RunningProgram:
    return ffmpeg_pusher(make_source(file), url, begin_s=LATE_S)


def _push_pyav(url: str, file: Path) -> RunningProgram:
    return pyav_pusher(make_hevc_source(file), url)


FFMPEG, RTMPDUMP, GSTREAMER = ("ffmpeg",), ("rtmpdump",), ("gstreamer1.0-plugins-bad",)
CASES = {
    "ffmpeg_push": Case(_push_ffmpeg, FFMPEG, True),
    "ffmpeg_play": Case(ffmpeg_player, FFMPEG, False),
    "rtmpdump_play": Case(rtmpdump_player, RTMPDUMP, False),
    "gst_rtmp2_push": Case(_push_gst, GSTREAMER, True),
    "gst_rtmp2_play": Case(gst_player, GSTREAMER, False),
    "gst_librtmp_push": Case(_push_gst_librtmp, (*GSTREAMER, "librtmp1"), True),
    "pyav_hevc_push": Case(_push_pyav, (), True),
    "ffmpeg_push_acks": Case(_push_ffmpeg, FFMPEG, True, SMALL_WINDOW),
    "gst_rtmp2_push_acks": Case(_push_gst, GSTREAMER, True, SMALL_WINDOW),
    "ffmpeg_play_acks": Case(ffmpeg_player, FFMPEG, False, SMALL_WINDOW),
    "rtmpdump_play_acks": Case(rtmpdump_player, RTMPDUMP, False, SMALL_WINDOW),
    "gst_rtmp2_play_acks": Case(gst_player, GSTREAMER, False, SMALL_WINDOW),
    "ffmpeg_push_late": Case(_push_ffmpeg_late, FFMPEG, True, is_late=True),
    "ffmpeg_play_late": Case(ffmpeg_player, FFMPEG, False, is_late=True),
    "rtmpdump_play_late": Case(rtmpdump_player, RTMPDUMP, False, is_late=True),
}


def record(name: str) -> dict[str, Any]:
    """Run one case and write its two files; return its entry of the index."""
    case = CASES[name]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pybrpc-record-")))
        chunk_size = LATE_CHUNK_SIZE if case.is_late else 4096
        server = stack.enter_context(NginxRtmp(chunk_size, case.ack_window))
        proxy = stack.enter_context(RecordingProxy(server.port))
        url = f"rtmp://127.0.0.1:{proxy.port}/live/stream"
        program = stack.enter_context(case.start(url, folder / "file.flv"))
        if not case.publishes:
            server.wait_players(1)
            source, begin_s = make_source(folder / "pushed.flv"), LATE_S if case.is_late else 0.0
            with ffmpeg_pusher(source, server.url(), begin_s=begin_s) as pusher:
                assert pusher.wait() == 0, pusher.log()
        program.wait()
        proxy.wait()
        command = shlex.join(program.command)
        for real, shown in ((str(proxy.port), "PORT"), (f"{folder}/", ""), *_own_paths()):
            command = command.replace(real, shown)
        sent, turns = proxy.sent, proxy.turns
    for side, data in sent.items():
        (FOLDER / f"{name}.{side}.bin").write_bytes(data)
    return {
        "case": name,
        "program": _versions(case.packages) if case.packages else _pyav_version(),
        "command": command,
        "server": _versions(SERVER),
        "ack_window": case.ack_window,
        "chunk_size": chunk_size,
        "client_bytes": len(sent["client"]),
        "server_bytes": len(sent["server"]),
        "turns": turns,
    }


def _own_paths() -> list[tuple[str, str]]:
    root = Path(__file__).parents[2]
    return [(sys.executable, "python"), (f"{root}/", "")]


def _versions(packages: tuple[str, ...]) -> str:
    command = ["dpkg-query", "--show", "--showformat", "${Package} ${Version}\n", *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return ", ".join(done.stdout.splitlines())


def _pyav_version() -> str:
    import av

    return f"PyAV {av.__version__} with FFmpeg {av.ffmpeg_version_info}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.golden.record_rtmp")
    parser.add_argument("case", nargs="*", choices=[*CASES, []], metavar="CASE")
    names = parser.parse_args().case or list(CASES)
    FOLDER.mkdir(exist_ok=True)
    old = json.loads(INDEX.read_text()) if INDEX.exists() else []
    entries = {entry["case"]: entry for entry in old}
    for name in names:
        entries[name] = record(name)
        print(
            f"{name:18} {entries[name]['client_bytes']:7} {entries[name]['server_bytes']:7} bytes"
        )
    # A line for each value, and one for all turns.
    lines = (json.dumps(entries[name], indent=1).split('"turns"')[0] for name in CASES)
    turns = (json.dumps(entries[name]["turns"]) for name in CASES)
    text = ",\n".join(f'{line}"turns": {turn}\n}}' for line, turn in zip(lines, turns, strict=True))
    INDEX.write_text(f"[\n{text}\n]\n")


if __name__ == "__main__":
    main()
