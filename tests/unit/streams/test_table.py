"""StreamTable: which stream a frame is for, and what is answered to frames for none."""

from __future__ import annotations

import os

import pytest

from pybrpc.errors import ErrorCode, LimitReachedError, RpcError, make_rpc_error
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcResponse, StreamSettings
from pybrpc.protocols.streaming.stream_frame import (
    CLOSE,
    DATA,
    FEEDBACK,
    NO_STREAM,
    RST,
    StreamFrame,
)
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.streams.opening import ids_of_answer
from pybrpc.streams.table import (
    ID_BITS,
    MAX_REMEMBERED,
    MAX_STREAMS,
    MAX_STREAMS_PER_REQUEST,
    making_lock,
    new_stream_id,
)
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.streams import REMOTE_ID, StreamSide

UNKNOWN = 77


def the_end() -> RpcError:
    return make_rpc_error(ErrorCode.EEOF, "the peer has ended its output")


def test_ids_can_not_be_guessed() -> None:
    ids = {new_stream_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(0 <= each < 1 << ID_BITS for each in ids)
    assert sum(each.bit_count() for each in ids) > 1000 * ID_BITS // 3


def test_stream_holds_the_connection_until_it_is_over(side: StreamSide) -> None:
    core = side.open()
    assert side.held == {core}
    assert side.table.streams == {core.id: core}
    assert side.budget._holders == {core: None}
    core.reset()
    assert side.released == [core]
    side.check_idle()


def test_no_more_streams_than_the_limit(side: StreamSide) -> None:
    side.table.max_streams = 2
    cores = [side.open(), side.open()]
    with pytest.raises(LimitReachedError, match="has 2 streams, and takes no more"):
        side.table.new_stream(StreamOptions())
    cores[0].reset()
    side.open()
    assert MAX_STREAMS == 1024


def test_no_stream_on_a_connection_that_has_failed(side: StreamSide) -> None:
    side.socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, "broken"))
    with pytest.raises(RpcError, match="broken"):
        side.table.new_stream(StreamOptions())
    side.check_idle()


def test_no_stream_when_the_peer_sends_nothing_more(side: StreamSide) -> None:
    """Its connection may still write, but the stream would never end."""
    side.table.fail_all(the_end())
    with pytest.raises(RpcError, match="has ended"):
        side.table.new_stream(StreamOptions())
    side.check_idle()


def test_stream_that_is_made_while_the_connection_fails(side: StreamSide) -> None:
    """The failure comes between the hold and the entry."""
    hold = side.hold

    def hold_and_fail(user: object) -> None:
        hold(user)
        side.socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, "broken"))
        side.step.run_until_idle()

    side.hold = hold_and_fail  # type: ignore[method-assign]
    with pytest.raises(RpcError, match="broken"):
        side.table.new_stream(StreamOptions())
    side.check_idle()


def test_stream_that_is_made_while_the_peer_ends(side: StreamSide) -> None:
    hold = side.hold

    def hold_and_end(user: object) -> None:
        hold(user)
        side.table.fail_all(the_end())

    side.hold = hold_and_end  # type: ignore[method-assign]
    with pytest.raises(RpcError, match="has ended"):
        side.table.new_stream(StreamOptions())
    side.check_idle()


def test_all_fail_when_the_peer_sends_nothing_more(side: StreamSide) -> None:
    cores = [side.open(), side.open()]
    side.data(cores[0], b"unread")
    side.table.fail_all(the_end())
    assert [core.failure.code for core in cores if core.failure] == [ErrorCode.EEOF] * 2
    assert side.held == set()
    assert side.budget.held_bytes > 0
    assert cores[0].take() == b"unread"
    side.check_idle()


# --- frames to streams that are not there ---


@pytest.mark.parametrize("kind", [DATA, CLOSE])
def test_unknown_stream_is_answered_by_one_rst(side: StreamSide, kind: int) -> None:
    for _ in range(100):
        side.feed(StreamFrame(UNKNOWN, REMOTE_ID, kind))
        side.feed(StreamFrame(UNKNOWN + 1, REMOTE_ID, kind))
    (frame,) = side.sent()
    assert (frame.frame_type, frame.stream_id) == (RST, REMOTE_ID)
    assert frame.source_stream_id == NO_STREAM


@pytest.mark.parametrize("kind", [RST, FEEDBACK, 0, 5, 1 << 40])
def test_other_frames_to_unknown_streams_are_ignored(side: StreamSide, kind: int) -> None:
    side.feed(StreamFrame(UNKNOWN, REMOTE_ID, kind))
    assert side.sent() == []


def test_frame_without_a_source_is_never_answered(side: StreamSide) -> None:
    side.feed(StreamFrame(UNKNOWN, NO_STREAM, DATA), StreamFrame(UNKNOWN, NO_STREAM, CLOSE))
    assert side.sent() == []


def test_memory_of_answered_ids_is_bounded(side: StreamSide) -> None:
    for number in range(3 * MAX_REMEMBERED):
        side.feed(StreamFrame(UNKNOWN, number, DATA))
    assert len(side.table._answered) == MAX_REMEMBERED
    assert len(side.sent()) == 3 * MAX_REMEMBERED


def test_a_storm_is_not_answered_to_a_peer_that_does_not_read() -> None:
    options = SocketOptions(high_water_bytes=2000, low_water_bytes=1000)
    with StreamSide(options=options, buffer_bytes=4096) as side:
        for number in range(20_000):
            side.feed(StreamFrame(UNKNOWN, number, CLOSE))
        assert side.socket.backlog.size_bytes < 4000
        assert len(side.table._answered) == MAX_REMEMBERED


def test_unknown_type_for_a_known_stream_is_ignored(side: StreamSide) -> None:
    core = side.open()
    side.feed(StreamFrame(core.id, REMOTE_ID, 9))
    assert core.state == "open"
    assert side.sent() == []


def test_data_behind_the_reset_of_this_side(side: StreamSide) -> None:
    core = side.open()
    core.reset()
    side.data(core, b"1", b"2")
    side.close_by_peer(core)
    assert side.sent_kinds() == [RST, RST]


# --- answers that come late ---


def answer_with(*ids: int) -> bytes:
    settings = StreamSettings(ids[0], True, True, ids[1:]) if ids else None
    return bytes(BAIDU_STD.pack_response(RpcResponse(1, stream_settings=settings)))


def abandoned(side: StreamSide) -> int:
    """The id of a stream that was asked for by a call that has ended."""
    core = side.table.new_stream(StreamOptions())
    side.table.abandon(core)
    core.fail(make_rpc_error(ErrorCode.ERPCTIMEDOUT, "late"))
    return core.id


def test_streams_of_a_late_answer_are_reset() -> None:
    with StreamSide(on_late_answer=ids_of_answer) as side:
        stream_id = abandoned(side)
        answer = StreamFrame(stream_id, 10, DATA, answer_with(10, 11, 12))
        side.feed(answer)
        frames = side.sent()
        assert [(frame.frame_type, frame.stream_id) for frame in frames] == [
            (RST, 10),
            (RST, 11),
            (RST, 12),
        ]
        side.feed(answer)
        assert [frame.stream_id for frame in side.sent()] == [10]
        side.check_idle()


@pytest.mark.parametrize(
    "data", [b"", b"garbage", b"PRPC", answer_with(), answer_with(5)[:-1], b"PRPC" + bytes(8)]
)
def test_late_answer_that_makes_no_sense_is_ignored(data: bytes) -> None:
    with StreamSide(on_late_answer=ids_of_answer) as side:
        side.feed(StreamFrame(abandoned(side), 10, DATA, data))
        assert side.sent() == []


def test_late_answer_resets_no_more_streams_than_a_request_may_ask_for() -> None:
    with StreamSide(on_late_answer=ids_of_answer) as side:
        answer = answer_with(*range(10 * MAX_STREAMS_PER_REQUEST))
        side.feed(StreamFrame(abandoned(side), 0, DATA, answer))
        assert len(side.sent()) == MAX_STREAMS_PER_REQUEST


def test_memory_of_abandoned_ids_is_bounded(side: StreamSide) -> None:
    for _ in range(3 * MAX_REMEMBERED):
        abandoned(side)
    assert len(side.table._abandoned) == MAX_REMEMBERED
    side.check_idle()


# --- windows while too much is not consumed ---


def test_first_window_is_the_least_if_windows_shrink() -> None:
    with StreamSide() as plain, StreamSide(max_unconsumed_bytes=1000) as limited:
        options = StreamOptions(max_buf_size=400, min_buf_size=100)
        assert plain.table.first_window(options) == 400
        assert limited.table.first_window(options) == 100
        for least in (0, -1, 400, 500):
            options = StreamOptions(max_buf_size=400, min_buf_size=least)
            assert limited.table.first_window(options) == 400
        assert limited.table.first_window(StreamOptions(max_buf_size=0)) == 0


def test_window_grows_while_it_is_used_up() -> None:
    with StreamSide(max_unconsumed_bytes=1000) as side:
        core = side.open(max_buf_size=350, min_buf_size=100)
        windows = []
        for _ in range(4):
            core.try_send(bytes(500))
            side.feedback(core, core.produced - 400)
            windows.append(core._window)
            side.feedback(core, core.produced)
        assert windows == [200, 350, 350, 350]
        core.reset()
        side.check_idle()


def test_window_shrinks_while_too_much_is_not_consumed_and_never_to_no_limit() -> None:
    with StreamSide(max_unconsumed_bytes=1000) as side:
        table = side.table
        table.queue.unconsumed = 1001
        options = StreamOptions(max_buf_size=400, min_buf_size=100)
        assert table.next_window(options, 400, True) == 100
        for least in (0, 401):  # one that is above the window counts as none, as in C++
            options = StreamOptions(max_buf_size=400, min_buf_size=least)
            window = 400
            for _ in range(20):
                window = table.next_window(options, window, True)
            assert window == 1
        table.queue.unconsumed = 1000
        assert table.next_window(options, 100, False) == 200
        assert table.next_window(options, 300, False) == 400
        assert table.next_window(options, 300, True) == 300
        table.queue.unconsumed = 0


def test_description(side: StreamSide) -> None:
    side.open()
    assert repr(side.table) == f"<StreamTable 1 streams with {side.table.peer}>"


def test_lock_that_a_thread_of_the_parent_holds_is_free_in_a_forked_child() -> None:
    with making_lock():
        child = os.fork()
        if not child:
            os._exit(0 if making_lock().acquire(blocking=False) else 1)
    assert os.waitpid(child, 0)[1] == 0
