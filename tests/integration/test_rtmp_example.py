"""examples/rtmp_relay.py, as a program that is started, used and ended by a signal."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.rtmp_frames import audio_header, keyframe, metadata, picture, video_header
from tests.fakes.threads import WAIT_S
from tests.peers.flv_files import tags_of
from tests.peers.pages import ROOT
from tests.peers.rtmp_sockets import SocketPlayers, SocketPublisher
from tests.peers.running_program import RunningProgram

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the program is ended with it")

SCRIPT = ROOT / "examples/rtmp_relay.py"
FRAMES = [metadata(), video_header(), audio_header(), keyframe(0), picture(40)]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_relay_relays_records_reports_and_ends(tmp_path: Path, end: signal.Signals) -> None:
    folder = tmp_path / "new" / "recordings"
    command = [sys.executable, "-u", SCRIPT, "--listen", "127.0.0.1:0", "--record", folder]
    with RunningProgram(command, tmp_path, "relay") as program:
        program.wait_until(lambda: "play:" in program.log(), "listening")
        found = re.search(r"publish: ffmpeg .* (rtmp://\S+)", program.log())
        assert found is not None
        with SocketPlayers(found[1], 1) as players, SocketPublisher(found[1]) as publisher:
            program.wait_until(lambda: "played live/stream by" in program.log(), "played")
            publisher.send(FRAMES)
            players.read_frames(len(FRAMES))
            assert players.frames() == FRAMES
            os.kill(program.pid, signal.SIGUSR1)
            shown = "live/stream: h264 and aac from 127.0.0.1"
            program.wait_until(lambda: shown in program.log(), "showing statistics")
            assert f"1 players, 0 of them too slow, {len(FRAMES)} frames sent" in program.log()
            os.kill(program.pid, end)
            players.read_until(lambda: all(players.ended))
        assert program.wait() == 0
        log = program.log()
    assert "Traceback" not in log
    assert log.endswith("ended\n")
    (path,) = folder.iterdir()
    assert f"recorded live/stream {path}" in log
    assert [tag.payload for tag in tags_of(path)] == [frame.payload for frame in FRAMES]


def ended(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The program, which is expected to end by itself."""
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)


@pytest.mark.proof
def test_what_keeps_it_from_starting_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with socket.create_server(("127.0.0.1", 0)) as other:
        busy = f"127.0.0.1:{other.getsockname()[1]}"
        for arguments, reason in (
            (("--listen", busy), busy),
            (("--listen", "nonsense"), "'nonsense'"),
            (("--listen", "127.0.0.1:0", "--record", file), str(file)),
        ):
            result = ended(*arguments)
            assert (result.returncode, result.stdout) == (2, "")
            (line,) = result.stderr.splitlines()
            assert reason in line


@pytest.mark.proof
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "often"])
def test_pause_between_statistics_is_a_number_of_seconds(value: str) -> None:
    result = ended("--listen", "127.0.0.1:0", "--every", value)
    assert result.returncode == 2
    assert "argument --every" in result.stderr


@pytest.mark.proof
def test_help_has_all_options_and_their_defaults() -> None:
    text = " ".join(ended("--help").stdout.split())
    for shown in ("--listen", "127.0.0.1:1935", "--record", "--every", "--grace", "(10.0)"):
        assert shown in text
    assert "SIGUSR1" in text
