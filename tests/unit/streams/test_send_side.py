"""SendSide: window, order, segments, and the wait for the consumer."""

from __future__ import annotations

import pytest

from pybrpc.errors import (
    ErrorCode,
    StreamClosedError,
    StreamResetError,
    make_rpc_error,
)
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.streaming.stream_frame import DATA
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.streams.core import StreamCore
from pybrpc.streams.outgoing import Outgoing
from pybrpc.streams.send_queue import ROOM_BYTES
from pybrpc.streams.send_side import MOST_IN_TURN
from tests.fakes.stream_messages import (
    enqueue,
)
from tests.fakes.streams import REMOTE_ID, Ended, StreamSide


def test_message_is_sent_with_both_ids(side: StreamSide) -> None:
    core = side.open()
    assert core.try_send(b"hello")
    assert core.try_send(IOBuf(b"shared"))
    first, second = side.sent()
    assert (first.stream_id, first.source_stream_id) == (REMOTE_ID, core.id)
    assert (first.frame_type, first.data, second.data) == (DATA, b"hello", b"shared")
    assert core.produced == side.table.unconsumed == 11


def test_message_that_reaches_the_window_is_sent_and_the_next_one_waits(side: StreamSide) -> None:
    """Until a quarter of the window is free."""
    core = side.open(max_buf_size=16, min_buf_size=0)
    assert core.try_send(bytes(64))
    assert not core.try_send(b"x")
    assert not core.is_writable()
    outgoing, wait = enqueue(core, b"x")
    side.feedback(core, 52)
    assert side.sent_data() == [bytes(64)]
    side.feedback(core, 53)
    assert side.sent_data() == [b"x"]
    assert outgoing.is_over
    assert wait.ends == 1


def test_message_that_need_not_wait_needs_one_free_byte(side: StreamSide) -> None:
    core = side.open(max_buf_size=16, min_buf_size=0)
    core.try_send(bytes(16))
    side.feedback(core, 1)
    assert core.try_send(b"x")


def test_list_goes_on_until_the_window_is_full(side: StreamSide) -> None:
    core = side.open(max_buf_size=16, min_buf_size=0)
    outgoing = Outgoing([b"four"] * 20)
    core.enqueue(outgoing)
    sent = [outgoing.sent]
    for consumed in range(4, 33, 4):
        side.feedback(core, consumed)
        sent.append(outgoing.sent)
    assert sent == [4, 4, 6, 6, 8, 8, 10, 10, 12]


def test_window_of_no_limit(side: StreamSide) -> None:
    core = side.open(max_buf_size=0)
    for _ in range(100):
        assert core.try_send(bytes(1000))
    assert side.table.unconsumed == 0
    assert len(side.sent_data()) == 100


def test_feedback_moves_the_window_only_as_far_as_was_sent(side: StreamSide) -> None:
    core = side.open(max_buf_size=10)
    core.try_send(bytes(10))
    side.feedback(core, 1 << 60)
    assert core.remote_consumed == 10
    assert side.table.unconsumed == 0
    core.try_send(bytes(10))
    assert not core.is_writable()


@pytest.mark.parametrize("consumed", [-1, -(1 << 63), 0, 4, 5])
def test_feedback_that_says_nothing_new_is_ignored(side: StreamSide, consumed: int) -> None:
    core = side.open(max_buf_size=10)
    core.try_send(bytes(10))
    side.feedback(core, 5)
    side.feedback(core, consumed)
    assert core.remote_consumed == 5
    assert side.table.unconsumed == 5


def test_feedback_for_a_stream_without_window_is_ignored(side: StreamSide) -> None:
    core = side.open(max_buf_size=-1)
    core.try_send(bytes(10))
    side.feedback(core, 5)
    assert (core.remote_consumed, side.table.unconsumed) == (0, 0)
    core.reset()
    side.check_idle()


def test_feedback_that_comes_when_it_is_over_counts_nothing_twice(side: StreamSide) -> None:
    core = side.open(max_buf_size=100)
    core.try_send(bytes(10))
    core.reset()
    core.on_feedback(5)
    side.check_idle()


def test_messages_keep_their_order_behind_one_that_waits(side: StreamSide) -> None:
    core = side.open(max_buf_size=1, min_buf_size=0)
    assert core.try_send(b"0")
    waits = [enqueue(core, b"%d" % number)[1] for number in range(1, 5)]
    for consumed in range(1, 5):
        side.feedback(core, consumed)
    assert side.sent_data() == [b"0", b"1", b"2", b"3", b"4"]
    assert [wait.ends for wait in waits] == [1] * 4


@pytest.mark.parametrize("max_buf_size", [16, 0])
def test_message_behind_one_that_is_just_written_goes_in_its_turn(
    side: StreamSide, max_buf_size: int
) -> None:
    core = side.open(max_buf_size=max_buf_size, min_buf_size=0)
    core.is_served = True  # a thread has taken what was before, and has not written all of it
    assert core.is_writable()
    assert core.try_send(b"first")
    assert core.try_send(IOBuf(b"second"))
    assert side.sent_data() == []
    finish_serving(core)
    assert side.sent_data() == [b"first", b"second"]
    assert core.try_send(b"third")
    assert side.sent_data() == [b"third"]


def test_messages_behind_one_that_is_just_written_are_bounded(side: StreamSide) -> None:
    core = side.open(max_buf_size=16, min_buf_size=0)
    core.try_send(bytes(6))
    core.is_served = True
    assert core.try_send(bytes(6))
    assert core.try_send(bytes(6))
    assert not core.try_send(b"over the window")
    finish_serving(core)
    assert len(side.sent_data()) == 3
    side.feedback(core, 18)
    core.is_served = True
    for _ in range(MOST_IN_TURN):
        assert core.try_send(b"")
    assert not core.try_send(b"")
    finish_serving(core)
    assert len(side.sent_data()) == MOST_IN_TURN


def finish_serving(core: StreamCore) -> None:
    """As the thread does that has written what it had taken."""
    with core.queue.lock:
        core.is_served = False
        if core.has_sendable():
            core.queue.make_ready(core)
    core.queue.serve()


def test_many_messages_go_as_far_as_the_window(side: StreamSide) -> None:
    core = side.open(max_buf_size=20, min_buf_size=0)
    outgoing, wait = enqueue(core, *[bytes(8)] * 5)
    assert len(side.sent_data()) == 3
    assert (outgoing.sent, wait.ends) == (3, 0)
    assert core.withdraw(outgoing)
    side.feedback(core, 24)
    assert side.sent_data() == []
    assert wait.ends == 0
    assert not core.withdraw(outgoing)


def test_what_is_withdrawn_lets_the_next_one_go(side: StreamSide) -> None:
    core = side.open(max_buf_size=10, min_buf_size=0)
    core.try_send(bytes(10))
    stuck, _ = enqueue(core, b"stuck")
    _, drained = enqueue(core)
    assert core.withdraw(stuck)
    assert drained.ends == 0
    side.feedback(core, 3)
    assert drained.ends == 1
    assert core.is_writable()


@pytest.mark.parametrize("size", [0, 1, 5, 6, 7, 12, 13])
def test_long_message_is_sent_in_segments(side: StreamSide, size: int) -> None:
    core = side.open(max_segment_size=6)
    message = bytes(range(size))
    core.try_send(message)
    frames = side.sent()
    assert b"".join(frame.data for frame in frames) == message
    assert [frame.has_continuation for frame in frames] == [True] * (len(frames) - 1) + [False]
    assert all(len(frame.data) <= 6 for frame in frames)
    assert core.produced == size


def test_segments_of_an_iobuf_leave_it_as_it_is(side: StreamSide) -> None:
    core = side.open(max_segment_size=4)
    message = IOBuf(b"0123456789")
    core.try_send(message)
    assert side.sent_data() == [b"0123", b"4567", b"89"]
    assert bytes(message) == b"0123456789"


def test_peer_that_takes_no_messages(side: StreamSide) -> None:
    core = side.open(writable=False)
    with pytest.raises(StreamClosedError, match="takes no messages") as caught:
        core.try_send(b"x")
    assert caught.value.peer == core.table.peer
    with pytest.raises(StreamClosedError, match="takes no messages"):
        core.enqueue(Outgoing((b"x",)))
    side.data(core, b"but it sends")
    assert core.take() == b"but it sends"


def test_messages_wait_until_it_is_open_within_the_window(side: StreamSide) -> None:
    core = side.table.new_stream(StreamOptions(max_buf_size=10, min_buf_size=0))
    core.connect(REMOTE_ID, True, True)
    assert core.try_send(b"123456")
    assert core.try_send(b"789012")
    assert not core.try_send(b"x")
    _, wait = enqueue(core, b"later")
    assert side.sent() == []
    core.open()
    assert side.sent_data() == [b"123456", b"789012"]
    assert wait.ends == 0
    side.feedback(core, 12)
    assert side.sent_data() == [b"later"]


def test_without_window_what_waits_for_the_opening_has_a_limit_too(side: StreamSide) -> None:
    core = side.table.new_stream(StreamOptions(max_buf_size=0))
    assert core.try_send(bytes(ROOM_BYTES))
    assert not core.try_send(b"x")
    core.fail(make_rpc_error(ErrorCode.ECANCELED, "not answered"))
    side.check_idle()


def test_wait_for_the_consumer(side: StreamSide) -> None:
    core = side.open(max_buf_size=10, min_buf_size=0)
    wait, queued = Ended(), Ended()
    assert not core.begin_consumed_wait(wait)
    core.try_send(bytes(10))
    assert core.begin_consumed_wait(wait)
    enqueue(core, b"more")
    assert core.begin_consumed_wait(queued)
    side.feedback(core, 9)
    assert (wait.ends, queued.ends) == (0, 0)
    side.feedback(core, 10)
    assert (wait.ends, queued.ends) == (1, 0)
    side.feedback(core, 14)
    assert (wait.ends, queued.ends) == (1, 1)
    assert not core.begin_consumed_wait(wait)


def test_what_is_withdrawn_need_not_be_consumed(side: StreamSide) -> None:
    core = side.open(max_buf_size=10, min_buf_size=0)
    core.try_send(bytes(10))
    earlier, later = Ended(), Ended()
    assert core.begin_consumed_wait(earlier)
    outgoing, _ = enqueue(core, b"withdrawn")
    behind, _ = enqueue(core, b"sent")
    assert core.begin_consumed_wait(later)
    core.withdraw(outgoing)
    side.feedback(core, 10)
    assert (earlier.ends, later.ends) == (1, 0)
    assert behind.is_over
    side.feedback(core, 14)
    assert later.ends == 1


def test_wait_for_what_is_withdrawn_alone_ends_with_it(side: StreamSide) -> None:
    core = side.open()
    core.try_send(b"consumed")
    side.feedback(core, 8)
    side.table.queue.unwritten += ROOM_BYTES  # no room
    outgoing, _ = enqueue(core, b"withdrawn", b"too")
    wait = Ended()
    assert core.begin_consumed_wait(wait)
    assert core.withdraw(outgoing)
    assert wait.ends == 1


def test_wait_for_the_consumer_needs_a_window(side: StreamSide) -> None:
    core = side.open(max_buf_size=0)
    with pytest.raises(ValueError, match="max_buf_size > 0"):
        core.begin_consumed_wait(Ended())


def test_wait_for_the_consumer_ends_with_the_stream(side: StreamSide) -> None:
    core = side.open()
    core.try_send(b"x")
    wait = Ended()
    core.begin_consumed_wait(wait)
    side.reset_by_peer(core)
    assert wait.ends == 1
    with pytest.raises(StreamResetError):
        core.begin_consumed_wait(wait)
