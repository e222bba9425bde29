"""RtmpRelay with many players, and with a publisher that is faster than its stream plays."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.child_process import ChildProcess
from pybrpc.rtmp import Frame
from tests.fakes.rtmp_frames import (
    HEADERS,
    keyframe,
    picture,
    sound,
)
from tests.fakes.rtmp_relay import RunningRelay
from tests.peers.flv_files import packets_of
from tests.peers.rtmp_load import Players, connect_player
from tests.peers.rtmp_programs import (
    ffmpeg_player,
    ffmpeg_pusher,
    make_source,
    publish,
    rtmpdump_player,
)
from tests.peers.rtmp_sockets import SocketPublisher
from tests.peers.running_program import LIMIT_S

pytestmark = [
    pytest.mark.same_everywhere,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

ROOT = Path(__file__).parents[2]
MIB = 1 << 20


def test_players_get_all_of_a_publisher_that_is_ten_times_as_fast(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.flv", seconds=15.0, bits_per_s=300_000, noise=50)
    makers = {"ffmpeg": ffmpeg_player, "rtmpdump": rtmpdump_player}
    with RunningRelay() as relay, ExitStack() as stack:
        players = {
            name: stack.enter_context(make(relay.url(), tmp_path / f"{name}.flv"))
            for name, make in makers.items()
        }
        relay.wait_event("played", len(players))
        began = time.monotonic()
        publish(ffmpeg_pusher(source, relay.url(), 10.0))
        assert time.monotonic() - began < 7.5
        for name, player in players.items():
            assert player.wait() in (0, 2), (name, player.log())
        assert "skipping" not in relay.kinds()
    for name in players:
        assert packets_of(tmp_path / f"{name}.flv") == packets_of(source), name


def group(number: int) -> list[Frame]:
    """A second of a stream of 2 Mbit/s."""
    begin = number * 1000
    frames = [keyframe(begin, 50_000)]
    for at in range(begin + 40, begin + 1000, 40):
        frames += [sound(at - 10, 200), picture(at, 8000)]
    return frames


class RelayProcess:
    """A relay with its default options in a process of its own, whose memory is its alone."""

    def __init__(self, process: ChildProcess) -> None:
        self._process = process
        self.url = f"rtmp://127.0.0.1:{process.read_line()}/live/stream"

    def skipping(self) -> int:
        """How often a player has begun to skip frames."""
        self._process.write_line("skipped")
        return int(self._process.read_line())

    def resident_mib(self) -> float:
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024


@pytest.fixture
def relay() -> Iterator[RelayProcess]:
    command = [sys.executable, "-m", "bench.rtmp_relay"]
    with ChildProcess(command, {}, "the relay", ROOT) as process:
        yield RelayProcess(process)


@pytest.mark.parametrize("count", [50, pytest.param(100, marks=pytest.mark.proof)])
def test_memory_of_a_relay_is_bounded_beside_a_player_that_reads_nothing(
    relay: RelayProcess, count: int
) -> None:
    """With a cache for late players. The stopped player would keep a group of each second."""
    with (
        ExitStack() as stack,
        connect_player(relay.url),
        SocketPublisher(relay.url) as publisher,
    ):
        players = Players(relay.url, count - 1)
        stack.callback(players.close)
        publisher.send(HEADERS)
        begin_mib, sent = relay.resident_mib(), 0

        def publish_and_play(numbers: range) -> None:
            nonlocal sent
            for number in numbers:
                frames = group(number)
                publisher.send(frames)
                sent += sum(len(frame.payload) for frame in frames)
                end = time.monotonic() + LIMIT_S
                while min(players.received) < sent:
                    assert time.monotonic() < end, (sent, players.received)
                    players.read_until(time.monotonic() + 0.01)

        publish_and_play(range(40))  # more than the system and the relay keep for the stopped one
        steady_mib, sent_before = relay.resident_mib(), sent
        publish_and_play(range(40, 120))
        end_mib = relay.resident_mib()
        assert sent - sent_before > 18 * MIB
        assert end_mib - steady_mib < 3
        assert end_mib - begin_mib < 12
        assert relay.skipping() == 1, "of the one that reads nothing alone"
