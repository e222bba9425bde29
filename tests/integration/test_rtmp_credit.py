"""A server with `ack_window`: what a player may have and not acknowledge, over real connections."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.rtmp import FlvReader
from pybrpc.rtmp import Frame
from pybrpc.rtmp.server.answers import CHUNK_SIZE
from pybrpc.rtmp.server.rtmp_layer import RtmpLayer, credit_of
from tests.fakes.rtmp_frames import (
    HEADERS,
    keyframe,
    picture,
    sound,
)
from tests.fakes.rtmp_relay import RunningRelay
from tests.fakes.threads import wait_until
from tests.peers.flv_files import packets_of
from tests.peers.rtmp_programs import ffmpeg_player, gst_player, make_source, rtmpdump_player
from tests.peers.rtmp_sockets import AckingPlayer, SocketPublisher
from tests.peers.running_program import RunningProgram

pytestmark = [
    pytest.mark.same_everywhere,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the programs are those of Linux"),
]

WINDOW = 16_384
CREDIT = credit_of(WINDOW, CHUNK_SIZE)
QUEUE_BYTES = 16 << 20
QUIET_S = 0.2
"""A server that could send has done so within this time."""


@pytest.fixture
def relay() -> Iterator[RunningRelay]:
    """No player of it skips frames."""
    with RunningRelay(ack_window=WINDOW, queue_bytes=QUEUE_BYTES, queue_seconds=None) as running:
        yield running


def long_stream() -> list[Frame]:
    """More than ten times as much as the credit."""
    frames = [*HEADERS]
    for number in range(20):
        begin = number * 400
        frames.append(keyframe(begin, 30_000 + number))
        for at in range(begin + 40, begin + 400, 40):
            frames += [sound(at - 10, 200), picture(at, 4000 + number)]
    assert sum(len(frame.payload) for frame in frames) > 10 * CREDIT
    return frames


def send_all(relay: RunningRelay, publisher: SocketPublisher, frames: list[Frame]) -> None:
    """Publish; return when the relay has everything."""
    publisher.send(frames)
    wait_until(lambda: relay.stream().frames_in == len(frames))


def test_player_that_acknowledges_no_more_is_sent_the_credit_and_then_the_rest(
    relay: RunningRelay,
) -> None:
    frames = long_stream()
    with AckingPlayer(relay.url()) as player, SocketPublisher(relay.url()) as publisher:
        relay.wait_event("played")
        player.ack()
        acked = player.count
        send_all(relay, publisher, frames)
        player.read_until_quiet(acked + CREDIT, QUIET_S)
        assert player.count == acked + CREDIT
        assert relay.stream().players[0].queued_bytes > 0

        player.ack()
        player.read_until_quiet(acked + 2 * CREDIT, QUIET_S)
        assert player.count == acked + 2 * CREDIT

        assert player.read_all(frames, ack_every=WINDOW) == frames
        assert "skipping" not in relay.kinds()


@pytest.mark.parametrize("ack_every", [WINDOW // 10, WINDOW + 1, 2 * WINDOW])
def test_player_that_acknowledges_in_time_receives_all_and_never_has_more_than_the_credit(
    relay: RunningRelay, ack_every: int
) -> None:
    """After a tenth of the window as librtmp, or after more than all of it as rtmp2src."""
    frames = long_stream()
    with AckingPlayer(relay.url()) as player, SocketPublisher(relay.url()) as publisher:
        relay.wait_event("played")
        player.ack()
        send_all(relay, publisher, frames)
        assert player.read_all(frames, ack_every) == frames
        assert WINDOW < player.most_unacked <= CREDIT


def test_player_that_acknowledges_what_it_was_not_sent_gets_the_credit_beyond_that(
    relay: RunningRelay,
) -> None:
    frames, claimed = long_stream(), 300_000
    with AckingPlayer(relay.url()) as player, SocketPublisher(relay.url()) as publisher:
        relay.wait_event("played")
        player.ack(claimed)
        send_all(relay, publisher, frames)
        player.read_until_quiet(claimed + CREDIT, QUIET_S)
        assert player.count == claimed + CREDIT

        assert player.read_all(frames, ack_every=WINDOW) == frames


def test_player_that_never_acknowledges_is_sent_everything(relay: RunningRelay) -> None:
    frames = long_stream()
    with AckingPlayer(relay.url()) as player, SocketPublisher(relay.url()) as publisher:
        relay.wait_event("played")
        send_all(relay, publisher, frames)
        assert player.read_all(frames, ack_every=None) == frames


def test_player_that_is_behind_when_the_stream_ends_receives_the_rest(relay: RunningRelay) -> None:
    """At once: a connection that closes does not read Acks any more."""
    frames = long_stream()
    with AckingPlayer(relay.url()) as player:
        with SocketPublisher(relay.url()) as publisher:
            relay.wait_event("played")
            player.ack()
            send_all(relay, publisher, frames)
        relay.wait_event("left")
        assert player.read_all(frames, ack_every=WINDOW) == frames


def test_player_beside_one_that_acknowledges_no_more_receives_all(relay: RunningRelay) -> None:
    frames = long_stream()
    with (
        AckingPlayer(relay.url()) as stalled,
        AckingPlayer(relay.url()) as player,
        SocketPublisher(relay.url()) as publisher,
    ):
        relay.wait_event("played", 2)
        stalled.ack()
        acked = stalled.count
        player.ack()
        send_all(relay, publisher, frames)
        assert player.read_all(frames, ack_every=WINDOW) == frames
        stalled.read_until_quiet(acked + CREDIT, QUIET_S)
        assert stalled.count == acked + CREDIT


# --- real programs ---


@pytest.fixture(scope="module")
def long_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 MB in eight seconds."""
    path = tmp_path_factory.mktemp("source") / "source.flv"
    make_source(path, 8.0, 2_000_000, "320x180", noise=60)
    assert path.stat().st_size > 15 * CREDIT
    return path


FIRST = 50
"""Frames, with more bytes than after which any program acknowledges."""


class WaitsForAcks:
    """Counts how often a server had more to send than the credit of a player."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._layers: dict[RtmpLayer, None] = {}
        real = RtmpLayer.cut_into_fd

        def cut_into_fd(layer: RtmpLayer, fd: int, pieces: Sequence[IOBuf], /) -> int:
            room = layer.room_bytes
            self._layers[layer] = None
            self.count += room is not None and sum(map(len, pieces)) > room
            return real(layer, fd, pieces)

        patch.setattr(RtmpLayer, "cut_into_fd", cut_into_fd)

    def has_acks(self) -> bool:
        return any(layer.room_bytes is not None for layer in list(self._layers))


@pytest.mark.parametrize("make_player", [ffmpeg_player, rtmpdump_player, gst_player])
def test_programs_acknowledge_so_that_the_server_waits_and_goes_on(
    make_player: Callable[[str, Path], RunningProgram],
    relay: RunningRelay,
    long_source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Published as fast as it goes. rtmp2src may leave out the last packet when the stream ends."""
    with long_source.open("rb") as file:
        frames = [Frame.of_message(message) for message in FlvReader(file)]
    waits, copy = WaitsForAcks(monkeypatch), tmp_path / "copy.flv"
    with make_player(relay.url(), copy) as player:
        relay.wait_event("played")
        with SocketPublisher(relay.url()) as publisher:
            # The rest comes when the credit counts, which it does from the first Ack on.
            publisher.send(frames[:FIRST])
            wait_until(waits.has_acks)
            # Else a fast player acknowledges all in time.
            os.killpg(player.pid, signal.SIGSTOP)
            publisher.send(frames[FIRST:])
            wait_until(lambda: waits.count > 0)
            os.killpg(player.pid, signal.SIGCONT)
            wait_until(lambda: relay.stream().frames_in == len(frames))
            wait_until(lambda: relay.stream().players[0].queued_bytes == 0)
        assert player.wait() in (0, 2), player.log()
    sent = packets_of(long_source)
    assert packets_of(copy) in ([sent, sent[:-1]] if make_player is gst_player else [sent])
