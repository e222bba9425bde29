"""ReceiveSide: FEEDBACK, batches, segments, limits."""

from __future__ import annotations

import pytest

from pybrpc.errors import (
    StreamResetError,
)
from pybrpc.protocols.streaming.stream_frame import DATA, FEEDBACK, RST
from pybrpc.streams.receive_side import FEEDBACK_BYTES, MESSAGE_BYTES
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.stream_messages import (
    take_all,
)
from tests.fakes.streams import REMOTE_ID, Ended, StreamSide


def test_feedback_is_sent_when_nothing_is_left(side: StreamSide) -> None:
    core = side.open()
    side.data(core, b"1", b"22", b"333")
    assert core.take() == b"1"
    assert core.take() == b"22"
    assert core.take() == b"333"
    assert side.sent() == []
    assert core.take() is None
    assert side.sent() == []
    assert core.begin_receive_wait(Ended())
    (frame,) = side.sent()
    assert (frame.frame_type, frame.consumed_size) == (FEEDBACK, 6)
    assert (frame.stream_id, frame.source_stream_id) == (REMOTE_ID, core.id)
    assert core.begin_receive_wait(Ended())
    assert side.sent() == []


def test_feedback_is_sent_before_too_much_is_consumed(side: StreamSide) -> None:
    core = side.open()
    side.data(core, *[bytes(FEEDBACK_BYTES // 2)] * 7)
    for _ in range(7):
        core.take()
    assert [frame.consumed_size for frame in side.sent()] == [
        FEEDBACK_BYTES,
        2 * FEEDBACK_BYTES,
        3 * FEEDBACK_BYTES,
    ]


def test_no_feedback_for_a_peer_that_needs_none(side: StreamSide) -> None:
    core = side.open(needs_feedback=False)
    side.data(core, *[bytes(FEEDBACK_BYTES)] * 3)
    take_all(core)
    core.begin_receive_wait(Ended())
    core.note_consumed()
    assert side.sent() == []


def test_batches_are_consumed_when_the_next_one_is_taken(side: StreamSide) -> None:
    core = side.open()
    side.data(core, b"1", b"2", b"3")
    assert core.take_batch(2) == [b"1", b"2"]
    assert core.take_batch(2) == [b"3"]
    assert core.consumed == 2
    assert core.take_batch(2) == []
    assert [frame.consumed_size for frame in side.sent()] == [3]
    side.data(core, b"4444")
    core.take_batch(2)
    core.note_consumed()
    assert [frame.consumed_size for frame in side.sent()] == [7]


def test_receivers_are_woken_once(side: StreamSide) -> None:
    core = side.open()
    waits = [Ended(), Ended()]
    for wait in waits:
        assert core.begin_receive_wait(wait)
    core.forget_wait(waits[1])
    side.data(core, b"x", b"y")
    side.data(core, b"z")
    assert [wait.ends for wait in waits] == [1, 0]
    assert not core.begin_receive_wait(waits[0])


def test_segments_are_joined(side: StreamSide) -> None:
    core = side.open()
    side.data(core, b"a", b"", b"b", goes_on=True)
    assert core.take() is None
    assert core.held_bytes == side.budget.held_bytes == 2 + 3 * MESSAGE_BYTES
    side.data(core, b"c")
    assert core.held_bytes == side.budget.held_bytes == 3 + MESSAGE_BYTES
    assert core.take() == b"abc"
    assert core.held_bytes == side.budget.held_bytes == 0


def test_a_message_in_segments_that_is_cut_off_is_dropped(side: StreamSide) -> None:
    core = side.open()
    side.data(core, b"whole")
    side.data(core, b"half", goes_on=True)
    side.close_by_peer(core)
    assert take_all(core) == [b"whole"]
    side.check_idle()


@pytest.mark.parametrize("sizes", [[101], [50, 51], [50, 50, 1], [1, 100]])
def test_message_over_the_limit_resets_the_stream(side: StreamSide, sizes: list[int]) -> None:
    core = side.open(max_message_size=100)
    *first, last = sizes
    side.data(core, *map(bytes, first), goes_on=True)
    side.data(core, bytes(last))
    assert isinstance(core.failure, StreamResetError)
    assert "max_message_size" in core.failure.text
    assert side.sent_kinds() == [RST]
    side.check_idle()


@pytest.mark.parametrize("sizes", [[100], [50, 50], [50, 50, 0], [0, 0, 100]])
def test_message_of_just_the_limit(side: StreamSide, sizes: list[int]) -> None:
    core = side.open(max_message_size=100)
    *first, last = sizes
    side.data(core, *map(bytes, first), goes_on=True)
    side.data(core, bytes(last))
    assert core.take() == bytes(100)


@pytest.mark.parametrize("goes_on", [False, True])
def test_too_much_unread_resets_the_stream(side: StreamSide, goes_on: bool) -> None:
    core = side.open(max_unread_bytes=1000)
    count = 1000 // MESSAGE_BYTES
    side.data(core, *[b""] * count, goes_on=goes_on)
    assert core.failure is None
    side.data(core, b"", goes_on=goes_on)
    assert core.failure is not None
    assert "max_unread_bytes" in core.failure.text
    assert side.sent_kinds() == [RST]
    assert core.take() is None
    side.check_idle()


def test_peer_that_sends_and_does_not_read_gets_the_last_feedback_in_the_end() -> None:
    options = SocketOptions(high_water_bytes=2000, low_water_bytes=1000)
    with StreamSide(options=options, buffer_bytes=4096) as side:
        cores = [side.open(remote_id=REMOTE_ID + index) for index in range(2)]
        for _ in range(3000):
            for core in cores:
                side.data(core, b"x")
                assert core.take() == b"x"
                assert core.take() is None
                core.begin_receive_wait(Ended())
        assert side.socket.backlog.size_bytes < 4000
        frames = side.sent()
        assert len(frames) < 2000
        last = {frame.stream_id: frame.consumed_size for frame in frames}
        assert last == {core.remote_id: 3000 for core in cores}
        for core in cores:
            core.reset()
        side.check_idle()


def test_no_feedback_is_owed_by_a_stream_that_has_ended() -> None:
    options = SocketOptions(high_water_bytes=2000, low_water_bytes=1000)
    with StreamSide(options=options, buffer_bytes=4096) as side:
        core = side.open(max_buf_size=0)
        while core.try_send(bytes(1000)):
            pass
        side.data(core, b"x")
        core.take()
        core.take()
        core.begin_receive_wait(Ended())
        core.reset()
        assert {*side.sent_kinds()} == {DATA, RST}
        side.check_idle()
