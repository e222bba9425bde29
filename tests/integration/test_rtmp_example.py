"""examples/rtmp_relay.py, as a program that is started, used and ended by a signal."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.fakes.rtmp_frames import audio_header, keyframe, metadata, picture, video_header
from tests.peers.flv_files import tags_of
from tests.peers.pages import ROOT
from tests.peers.rtmp_sockets import SocketPlayers, SocketPublisher
from tests.peers.running_program import RunningProgram

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the program is ended with it")

FRAMES = [metadata(), video_header(), audio_header(), keyframe(0), picture(40)]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_relay_relays_records_reports_and_ends(tmp_path: Path, end: signal.Signals) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    script = ROOT / "examples/rtmp_relay.py"
    command = [sys.executable, "-u", script, "--listen", "127.0.0.1:0", "--record", folder]
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
