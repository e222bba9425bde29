"""RelayStream among players that take nothing: what others, and new ones, still get."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.errors import OvercrowdedError
from pybrpc.rtmp.frame import Frame
from pybrpc.rtmp.relay.relay_player import BEGINNINGS_PART
from pybrpc.rtmp.relay.relay_stream import MIN_QUEUE_BYTES
from pybrpc.rtmp.relay.relay_values import RelayLimits
from pybrpc.rtmp.streams.stream_core import RtmpStreamCore
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.process_backlog import MAX_QUEUED_BYTES, ProcessBacklog
from pybrpc.transport.writing.write_request import WriteRequest
from tests.fakes.rtmp_frames import HEADERS, audio_header, keyframe, picture, sound
from tests.fakes.rtmp_stream import Owner, Peer, new_core, payloads

MIB = 1 << 20
PROCESS_BYTES = MAX_QUEUED_BYTES
NO_KEEPING = RelayLimits(True, 2 * MIB, None, 0.0)


class CountedPeer(Peer):
    """A peer with the backlog of a real socket, so that its writes can be refused."""

    def __init__(self, name: str, process: ProcessBacklog, high_water: int = 20 * MIB) -> None:
        super().__init__(name)
        self.backlog: Any = Backlog(high_water, None, process)

    def write_request(self, request: WriteRequest) -> None:
        if not self.backlog.try_add(request.size_bytes, False):
            raise OvercrowdedError("no room")
        self.requests_made.append(request)

    def drain(self) -> None:
        self.backlog.remove(self.backlog.size_bytes, self.backlog.requests)


@pytest.fixture
def process() -> ProcessBacklog:
    return ProcessBacklog(PROCESS_BYTES)


def play(owner: Owner, peer: CountedPeer) -> CountedPeer:
    connection: Any = peer
    core = new_core(peer.peer)
    core.connection = connection
    owner.stream.add_player(core)
    return peer


def publish(process: ProcessBacklog, gop_bytes: int) -> tuple[Owner, RtmpStreamCore]:
    """A stream with a publisher that has sent headers and a keyframe of that size."""
    owner = Owner(NO_KEEPING)
    core = owner.publish()
    connection: Any = core.connection
    connection.process = process
    owner.send(core, *HEADERS, keyframe(0, gop_bytes))
    return owner, core


def assert_decodable(frames: list[Frame], *expected: Frame) -> None:
    assert payloads(frames) == payloads([*HEADERS, *expected])


def test_player_without_room_for_its_beginning_begins_with_the_next_keyframe(
    process: ProcessBacklog,
) -> None:
    owner, core = publish(process, MIB)
    player = CountedPeer("player", process, high_water=MIB)
    player.backlog.try_add(2 * MIB, False)  # of another stream of its connection
    play(owner, player)
    assert owner.stream.statistics().players[0].is_skipping
    owner.send(core, picture(40))
    assert player.frames() == []
    player.drain()
    owner.send(core, picture(80))
    owner.send(core, picture(120), keyframe(160), picture(200))

    assert_decodable(player.frames(), keyframe(160), picture(200))
    assert [event for event in owner.events if event.endswith("player")] == [
        "played player",
        "skipping player",
        "resumed player",
    ]


def test_headers_without_room_are_sent_with_a_later_keyframe(process: ProcessBacklog) -> None:
    owner, core = publish(process, MIB)
    player = play(owner, CountedPeer("player", process))
    player.drain()
    owner.send(core, audio_header(b"new"))
    player.drain()
    core_of_player = next(iter(owner.stream.players))
    owner.stream.players[core_of_player].is_skipping = True
    owner.send(core, audio_header(b"newer"))
    player.error = None
    player.backlog.is_overcrowded = True
    owner.send(core, keyframe(40))
    player.backlog.is_overcrowded = False
    before = len(player.frames())
    owner.send(core, keyframe(80))

    expected = [*HEADERS[:2], audio_header(b"newer"), keyframe(80)]
    assert payloads(player.frames()[before:]) == payloads(expected)


def test_player_of_audio_without_room_for_headers_gets_them_later(process: ProcessBacklog) -> None:
    owner = Owner(NO_KEEPING)
    core = owner.publish()
    owner.send(core, audio_header(), sound(0))
    player = CountedPeer("player", process)
    player.backlog.is_overcrowded = True
    play(owner, player)
    player.backlog.is_overcrowded = False
    owner.send(core, sound(20))

    assert payloads(player.frames()) == payloads([audio_header(), sound(20)])


def test_players_that_take_nothing_leave_room_for_all_others(process: ProcessBacklog) -> None:
    owner, core = publish(process, 9 * MIB)
    stuck = [play(owner, CountedPeer(f"stuck {number}", process)) for number in range(300)]
    for number in range(50):
        owner.send(core, picture(40 + number, 200_000))
        owner.send(core, keyframe(60 + number, 200_000))
    assert process.size_bytes <= PROCESS_BYTES
    assert sum(len(peer.requests_made) for peer in stuck) > 300

    honest, other = publish(process, MIB)
    player = play(honest, CountedPeer("honest", process))
    assert payloads(player.frames()) == payloads(HEADERS)
    player.drain()
    for time in (40, 80, 120):
        honest.send(other, picture(time))
        player.drain()
    frames = [keyframe(160, MIB), picture(200, MIB)]
    for frame in frames:
        honest.send(other, frame)
        player.drain()

    assert_decodable(player.frames(), *frames)
    assert not [event for event in honest.events if event.startswith("skipping")]


def test_beginning_is_left_out_when_half_of_what_may_be_queued_is(process: ProcessBacklog) -> None:
    owner, core = publish(process, MIB)
    filler = Backlog(PROCESS_BYTES, None, process)
    filler.try_add(int(PROCESS_BYTES * BEGINNINGS_PART) - MIB // 2, False)
    late = play(owner, CountedPeer("late", process))
    assert_decodable(late.frames())
    owner.send(core, picture(40), keyframe(80), picture(120))
    assert_decodable(late.frames(), keyframe(80), picture(120))
    filler.remove(4 * MIB, 0)

    assert len(play(owner, CountedPeer("next", process)).frames()) == len(HEADERS) + 2


def test_queues_of_players_are_shorter_when_the_process_is_nearly_full(
    process: ProcessBacklog,
) -> None:
    filler = Backlog(PROCESS_BYTES, None, process)
    for filled, expected in ((MIB, 16), (PROCESS_BYTES * 4 // 5, 3)):
        owner, core = publish(process, 1)
        slow = play(owner, CountedPeer("slow", process))
        filler.try_add(filled, False)
        for number in range(16):
            owner.send(core, picture(40 + number, 100_000))

        assert len(slow.requests_made) == 1 + expected
        assert slow.backlog.size_bytes < 16 * 100_000 + MIN_QUEUE_BYTES
        filler.remove(filled, 1)
