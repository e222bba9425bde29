"""Timestamps of RTMP that pass 2**24 ms (4 h 39 min), where they are extended, and 2**32 ms (49
days), where they begin again: what a relay sends then, and what programs play."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.rtmp_frames import keyframe, picture, sound, video_header
from tests.fakes.rtmp_relay import RunningRelay
from tests.fakes.threads import wait_until
from tests.peers.flv_files import media_of
from tests.peers.rtmp_programs import (
    SPEED,
    ffmpeg_player,
    ffmpeg_pusher,
    gst_player,
    publish,
    rtmpdump_player,
)
from tests.peers.rtmp_sockets import SocketPlayers, SocketPublisher

pytestmark = [
    pytest.mark.same_everywhere,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the programs are those of Linux"),
]

EXTENDED = 1 << 24
END = 1 << 32
LATE_S = EXTENDED / 1000 - 1
"""Seconds; a file of two seconds that begins then passes the edge in its middle."""


def test_programs_play_a_relayed_stream_that_passes_four_hours_and_39_minutes(
    source: Path, tmp_path: Path
) -> None:
    """FFmpeg's player lets times begin with 0. rtmp2src may leave out the last packet."""
    makers = {"ffmpeg": ffmpeg_player, "rtmpdump": rtmpdump_player, "gst": gst_player}
    with RunningRelay() as relay, ExitStack() as stack:
        players = {
            name: stack.enter_context(make(relay.url(), tmp_path / f"{name}.flv"))
            for name, make in makers.items()
        }
        relay.wait_event("played", len(players))
        publish(ffmpeg_pusher(source, relay.url(), SPEED, begin_s=LATE_S))
        for name, player in players.items():
            assert player.wait() in (0, 2), (name, player.log())
    sent = media_of(source)
    copies = {name: media_of(tmp_path / f"{name}.flv") for name in players}
    for name, copy in copies.items():
        left_out = len(sent) - len(copy)
        assert left_out in ((0, 1) if name == "gst" else (0,)), name
        assert [tag.payload for tag in copy] == [tag.payload for tag in sent[: len(copy)]], name
    for name in "rtmpdump", "gst":
        times = [tag.timestamp_ms for tag in copies[name]]
        # FFmpeg sends its headers with the time 0, which a relay has begin with the stream.
        late = [round(LATE_S * 1000) + tag.timestamp_ms for tag in sent]
        assert times[2:] == late[2 : len(times)], name
        assert times[2] < EXTENDED < times[-1]


@pytest.mark.parametrize("edge", [EXTENDED, END])
def test_relay_passes_the_edge_of_timestamps_on(edge: int) -> None:
    sent = [video_header(), keyframe(edge - 80), picture(edge - 40), sound(edge - 1)]
    sent += [picture(edge % END), picture((edge + 40) % END), keyframe((edge + 80) % END)]
    with (
        RunningRelay() as relay,
        SocketPlayers(relay.url(), 1) as players,
        SocketPublisher(relay.url()) as publisher,
    ):
        relay.wait_event("played")
        publisher.send(sent)
        players.read_frames(len(sent))
        assert players.frames() == sent


@pytest.mark.parametrize("edge", [EXTENDED, END])
def test_late_player_begins_before_the_edge_or_behind_it(edge: int) -> None:
    """With the last keyframe, and the times of the publisher."""
    before = [video_header(), keyframe(edge - 80), picture(edge - 40), picture(edge % END)]
    behind = [keyframe((edge + 40) % END), picture((edge + 80) % END)]
    with RunningRelay() as relay, SocketPublisher(relay.url()) as publisher:
        publisher.send(before)
        wait_until(lambda: "published" in relay.kinds() and relay.stream().frames_in == 4)
        with SocketPlayers(relay.url(), 1) as players:
            players.read_frames(4)
            assert players.frames()[1:] == before[1:]
            publisher.send(behind)
            players.read_frames(6)
            assert players.frames()[4:] == behind
        with SocketPlayers(relay.url(), 1) as players:
            players.read_frames(3)
            assert players.frames()[1:] == behind
            assert players.frames()[0].timestamp == behind[0].timestamp
