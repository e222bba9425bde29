"""The processor time that a relay of RTMP takes for its players, beside nginx-rtmp."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator

from bench.child_process import ChildFailedError, ChildProcess
from bench.figures import Figures
from bench.measures.measure import Measure
from bench.peers.entry import is_importable
from bench.site import Site
from bench.work import RtmpPlay, Window, Work

RELAY, NGINX = "pybrpc-relay", "nginx-rtmp"
MIN_SECONDS = 5.0
"""The stream has a keyframe each second, so a shorter time gives figures that differ by chance."""


def missing(name: str) -> str:
    """Why that server can't take part, or ""."""
    programs = ["ffmpeg"] + (["nginx"] if name == NGINX else [])
    lacking = [program for program in programs if not shutil.which(program)]
    lacking += [] if is_importable("pytest") else ["pytest"]
    return f"{' and '.join(lacking)} not installed" if lacking else ""


@contextlib.contextmanager
def relay() -> Iterator[tuple[str, int, ChildProcess]]:
    """A relay: its URL and its process."""
    command = [sys.executable, "-m", "bench.rtmp_relay"]
    with ChildProcess(command, {}, "the relay") as process:
        port = int(process.read_line())
        yield f"rtmp://127.0.0.1:{port}/live/stream", process.pid, process


def run(site: Site, name: str, work: Work, window: Window) -> Figures:
    """ffmpeg publishes, and this process plays. ChildFailedError if a player of the relay skips a
    frame, or if one of any server receives less than nearly all of the stream."""
    # It is among the tools of the tests, and they need pytest.
    from tests.peers.nginx_rtmp import NginxRtmp
    from tests.peers.rtmp_load import Load, NotDeliveredError, measure

    assert isinstance(work, RtmpPlay)
    seconds = max(window.measure_s, MIN_SECONDS)

    def load(url: str, pid: int) -> Load:
        try:
            return measure(url, pid, work.players, seconds, work.bits_per_s)
        except NotDeliveredError as error:
            raise ChildFailedError(str(error)) from error

    if name == NGINX:
        with NginxRtmp() as nginx:
            found = load(nginx.url(), nginx.program.pid)
    else:
        with relay() as (url, pid, process):
            found = load(url, pid)
            process.write_line("skipped")
            skipped = int(process.read_line())
        if skipped:
            raise ChildFailedError(f"players have skipped frames {skipped} times")
    return {
        "player_cpu_us": found.cpu_us_per_player_second(),
        "calls": found.seconds * work.players,
    }


MEASURE = Measure(
    name="rtmp",
    title="Players of one stream of 2 Mbit/s; the relay has one core",
    axis="players",
    points={str(players): RtmpPlay(players) for players in (50, 200)},
    peers=(RELAY, NGINX),
    run=run,
    tables=("player_cpu_us",),
    missing=missing,
    lasts=2.0,
    is_extra=True,
)
