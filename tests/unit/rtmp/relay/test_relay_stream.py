"""RelayStream and RelayPlayer: frames of players, the writes they are sent in, and skipped ones."""

from __future__ import annotations

from typing import Any

from pybrpc.errors import ErrorCode, OvercrowdedError, make_rpc_error
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.rtmp.relay.gop_cache import GopCache
from pybrpc.rtmp.relay.relay_player import REQUEST_BYTES
from pybrpc.rtmp.relay.relay_stream import MIN_QUEUE_BYTES
from pybrpc.rtmp.relay.relay_values import RelayLimits
from pybrpc.rtmp.relay.shared_frames import SharedFrame
from tests.fakes.rtmp_frames import (
    HEADERS,
    audio_header,
    keyframe,
    metadata,
    picture,
    sound,
    video_header,
)
from tests.fakes.rtmp_stream import LIMIT, Owner, new_core, payloads


def test_frames_of_one_read_are_one_write_of_each_player() -> None:
    owner = Owner()
    players = [owner.play(f"player {number}") for number in range(3)]
    core = owner.publish()
    frames = [*HEADERS, keyframe(0), picture(40)]
    owner.send(core, *frames)

    for player in players:
        assert len(player.requests_made) == 1
        assert player.frames() == frames


def test_players_share_the_block_of_a_batch() -> None:
    owner = Owner()
    players = [owner.play(f"player {number}") for number in range(2)]
    core = owner.publish()
    owner.send(core, keyframe(0, 5000))
    blocks = []
    for player in players:
        buffer = IOBuf()
        message = player.requests_made[0].message
        assert message is not None
        message.append_to(buffer)
        (block,) = buffer
        blocks.append(block.obj)

    assert blocks[0] is blocks[1]


def test_block_is_queued_as_it_is_once_the_size_of_chunks_is_known() -> None:
    owner = Owner()
    players = [owner.play(f"player {number}") for number in range(2)]
    core = owner.publish()
    owner.send(core, keyframe(0))
    for player in players:
        player.chunk_writer.chunk_size = 4096
    owner.send(core, picture(40, 5000))
    blocks = [block for player in players for block in player.requests_made[1].data]

    assert len(blocks) == 2
    assert blocks[0].obj is blocks[1].obj
    assert players[0].frames() == [keyframe(0), picture(40, 5000)]


def test_slow_player_skips_until_a_keyframe_and_a_short_queue() -> None:
    owner = Owner()
    slow, fast = owner.play("slow"), owner.play("fast")
    core = owner.publish()
    sent = [*HEADERS, keyframe(0, 6000)]
    owner.send(core, *sent)
    fast.drain()
    more = [picture(40, 6000), picture(80), keyframe(1000), picture(1040)]
    for frame in more:
        owner.send(core, frame)
        fast.drain()
    assert slow.frames() == [*sent, more[0]], "the queue may be over the limit by one write"
    assert fast.frames() == sent + more
    assert owner.events.count("skipping slow") == 1

    slow.drain()
    owner.send(core, picture(1080))
    assert len(slow.frames()) == 5, "it goes on with nothing but a keyframe"
    last = [sound(1990), keyframe(2000), picture(2040)]
    owner.send(core, *last)

    assert slow.frames()[5:] == last[1:]
    assert owner.events[-1] == "resumed slow"
    player = owner.stream.statistics().players[0]
    assert (player.frames_sent, player.frames_skipped, player.is_skipping) == (7, 5, False)


def test_player_resumes_only_with_half_of_its_queue_free() -> None:
    owner = Owner()
    player = owner.play("player")
    core = owner.publish()
    owner.send(core, keyframe(0, LIMIT + 1))
    owner.send(core, picture(40))
    player.size_bytes, player.requests = LIMIT // 2 - REQUEST_BYTES + 1, 1
    owner.send(core, keyframe(80))
    assert len(player.frames()) == 1
    player.size_bytes -= 1
    owner.send(core, keyframe(120))

    assert player.frames()[1:] == [keyframe(120)]


def test_headers_are_sent_again_only_if_they_have_changed() -> None:
    for changed in (False, True):
        owner = Owner()
        player = owner.play("player")
        core = owner.publish()
        owner.send(core, *HEADERS, keyframe(0, LIMIT))
        owner.send(core, picture(40))
        if changed:
            owner.send(core, video_header(b"new"))
        player.drain()
        before = len(player.frames())
        owner.send(core, keyframe(80))

        new = [metadata(), video_header(b"new"), audio_header()] if changed else []
        assert payloads(player.frames()[before:]) == payloads([*new, keyframe(80)])
        assert {frame.timestamp for frame in player.frames()[before:]} == {80}


def test_short_frames_fill_the_queue_too() -> None:
    owner = Owner()
    player = owner.play("player")
    core = owner.publish()
    for number in range(1000):
        owner.send(core, sound(number))

    assert len(player.requests_made) <= LIMIT // REQUEST_BYTES + 1


def test_connection_without_room_makes_its_player_skip() -> None:
    owner = Owner()
    player = owner.play("player")
    core = owner.publish()
    player.error = OvercrowdedError("no room")
    owner.send(core, keyframe(0))
    player.error = None
    owner.send(core, picture(40))
    owner.send(core, keyframe(80))

    assert player.frames() == [keyframe(80)]


def test_connection_that_has_failed_disturbs_nobody() -> None:
    owner = Owner()
    player, other = owner.play("player"), owner.play("other")
    core = owner.publish()
    player.error = make_rpc_error(ErrorCode.EFAILEDSOCKET, "it has failed")
    owner.send(core, keyframe(0))

    assert other.frames() == [keyframe(0)]
    assert "skipping player" not in owner.events


def test_player_of_audio_alone_resumes_without_a_keyframe() -> None:
    owner = Owner()
    player = owner.play("player")
    core = owner.publish()
    owner.send(core, audio_header(), sound(0, LIMIT))
    owner.send(core, sound(20))
    player.drain()
    owner.send(core, sound(40))

    assert player.frames()[2:] == [sound(40)]


def test_pictures_before_the_first_keyframe_reach_nobody() -> None:
    owner = Owner()
    player = owner.play("player")
    core = owner.publish()
    owner.send(core, video_header(), picture(0), sound(10), keyframe(40), picture(80))

    assert player.frames() == [video_header(), sound(10), keyframe(40), picture(80)]
    assert owner.stream.statistics().frames_dropped == 1


def test_beginning_of_a_late_player_does_not_count_as_slow() -> None:
    owner = Owner()
    core = owner.publish()
    owner.send(core, *HEADERS, keyframe(0, 3 * LIMIT))
    late = owner.play("late")
    owner.send(core, picture(40))
    assert len(late.frames()) == 5
    for number in range(20):
        owner.send(core, picture(80 + number, 1000))
    assert owner.events.count("skipping late") == 1, "but what comes then does"
    late.drain()
    owner.send(core, keyframe(2000, 2 * LIMIT))
    owner.send(core, picture(2040))

    assert owner.events.count("skipping late") == 2, "the allowance is used up"


def test_caches_of_all_streams_are_bounded_together() -> None:
    owner = Owner(RelayLimits(True, LIMIT, None, 0.0, max_cached_bytes=5000))
    core = owner.publish()
    owner.send(core, *HEADERS, keyframe(0, 1000), picture(40, 1000))
    assert owner.caches.size_bytes == owner.stream.statistics().cached_bytes > 2000
    other = GopCache()
    for frame in (keyframe(0, 700), picture(40, 700)):
        other.add(SharedFrame(frame, 0))
    owner.caches.count(other)
    owner.send(core, picture(80, 1000))
    assert owner.caches.size_bytes == other.size_bytes > 1400, "the largest is dropped"
    owner.send(core, picture(120))
    assert owner.caches.size_bytes == other.size_bytes, "without a keyframe nothing is kept"
    assert payloads(owner.play("late").frames()) == payloads(HEADERS)
    owner.send(core, keyframe(160))
    assert owner.caches.size_bytes > other.size_bytes

    core.end(None)
    assert owner.caches.size_bytes == other.size_bytes


def test_limit_is_that_of_seconds_if_that_is_lower() -> None:
    owner = Owner(RelayLimits(True, 10_000_000, 2.0, 0.0))
    core = owner.publish()
    assert owner.stream.limit_bytes == 10_000_000
    for _ in range(3):
        owner.send(core, keyframe(0, 1_000_000))
        owner.now += 1.0
    assert 2_000_000 <= owner.stream.limit_bytes <= 5_000_000
    for _ in range(60):
        owner.now += 1.0
        owner.send(core, sound(0))

    assert owner.stream.limit_bytes == MIN_QUEUE_BYTES


def test_end_of_the_publisher_ends_its_players() -> None:
    owner = Owner()
    player = owner.play("player")
    core = owner.publish()
    core.end(None)

    assert owner.events == ["played player", "unpublished publisher", "left player"]
    assert owner.unused
    assert player.timers == []
    assert not owner.stream.is_used


def test_players_wait_for_the_next_publisher_as_long_as_the_grace() -> None:
    owner = Owner(RelayLimits(True, LIMIT, None, 5.0))
    player = owner.play("player")
    first = owner.publish("first")
    owner.send(first, *HEADERS, keyframe(1000))
    first.end(None)
    publisher: Any = first.connection
    (timer,) = publisher.timers
    assert owner.stream.may_be_played
    owner.now += 2.0
    second = owner.publish("second")
    assert timer.is_canceled
    owner.send(second, *HEADERS, keyframe(7), picture(47))
    assert [frame.timestamp for frame in player.frames()[4:]] == [1000, 1000, 1000, 3000, 3040]

    second.end(None)
    later: Any = second.connection
    later.timers[0].function()
    assert owner.events[-2:] == ["unpublished", "left player"]
    assert not owner.stream.is_used


def test_timer_that_comes_late_ends_nobody() -> None:
    owner = Owner(RelayLimits(True, LIMIT, None, 5.0))
    owner.play("player")
    first = owner.publish("first")
    first.end(None)
    publisher: Any = first.connection
    owner.publish("second")
    publisher.timers[0].function()

    assert len(owner.stream.players) == 1


def test_frames_of_a_replaced_publisher_are_ignored() -> None:
    owner = Owner()
    player = owner.play("player")
    first = owner.publish("first")
    owner.stream.end_publishing(first, keeps_players=True)
    second = owner.publish("second")
    owner.send(first, keyframe(0))
    owner.send(second, keyframe(5))
    first.end(None)

    assert player.frames() == [keyframe(5)]
    assert owner.stream.publisher is second


def test_last_player_that_leaves_ends_the_wait_for_a_publisher() -> None:
    owner = Owner(RelayLimits(True, LIMIT, None, 5.0))
    player = owner.play("player")
    owner.publish().end(None)
    (core,) = owner.stream.players
    core.end(None)

    assert player.requests_made == []
    assert not owner.stream.is_used


class Tap:
    def __init__(self) -> None:
        self.frames: list[SharedFrame] = []
        self.is_closed = False

    def put(self, frames: list[SharedFrame]) -> None:
        self.frames += frames

    def close(self) -> None:
        self.is_closed = True


def test_recording_gets_every_frame_and_the_end() -> None:
    owner = Owner()
    tap = Tap()
    owner.taps = [tap]
    core = owner.publish()
    owner.send(core, *HEADERS, keyframe(0))
    core.end(None)

    assert [frame.payload for frame in tap.frames] == payloads([*HEADERS, keyframe(0)])
    assert tap.is_closed


def test_frames_that_came_before_the_publisher_was_admitted_are_relayed() -> None:
    owner = Owner()
    player = owner.play("player")
    core = new_core("publisher")
    core.is_publisher = True
    core.on_messages([SharedFrame(frame, 0).message(1) for frame in (*HEADERS, keyframe(0))])
    owner.stream.begin_publishing(core)

    assert player.frames() == [*HEADERS, keyframe(0)]
    assert core.unread_bytes == 0
