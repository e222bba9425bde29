"""StreamCore without waiting: what is sent, what is kept, what the peer hears, and how it ends."""

from __future__ import annotations

import pytest

import pybrpc.streams.core as core_module
from pybrpc.base.guard import LIBRARY
from pybrpc.base.limited_log import LimitedLog
from pybrpc.errors import (
    ErrorCode,
    LimitReachedError,
    RpcError,
    StreamClosedError,
    StreamResetError,
    make_rpc_error,
)
from pybrpc.protocols.streaming.stream_frame import CLOSE, DATA, RST
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.streams.outgoing import Outgoing
from tests.fakes.stream_messages import (
    enqueue,
)
from tests.fakes.streams import REMOTE_ID, Ended, StreamSide


def test_close_is_sent_behind_what_waits(side: StreamSide) -> None:
    core = side.open(max_buf_size=1, min_buf_size=0)
    core.try_send(b"0")
    _, sent = enqueue(core, b"1")
    closed = Ended()
    assert core.close(closed)
    assert not core.close(Ended())
    with pytest.raises(StreamClosedError, match="by this side"):
        core.try_send(b"2")
    assert side.sent_data() == [b"0"]
    side.feedback(core, 1)
    assert side.sent_kinds() == [DATA, CLOSE]
    assert (sent.ends, closed.ends) == (1, 1)
    assert core.state == "closed"
    side.check_idle()


def test_what_was_not_taken_is_dropped_by_close(side: StreamSide) -> None:
    core = side.open()
    side.data(core, b"unread")
    core.close()
    side.data(core, b"too late")
    assert side.sent_kinds() == [CLOSE]
    assert core.take() is None
    side.check_idle()


@pytest.mark.parametrize("end", ["closed by the peer", "failed"])
def test_unread_messages_are_dropped_if_it_ends_before_its_close_is_sent(
    side: StreamSide, end: str
) -> None:
    core = side.open(max_buf_size=1, min_buf_size=0)
    core.try_send(b"0")
    enqueue(core, b"1")
    side.data(core, b"unread")
    closed = Ended()
    core.close(closed)
    if end == "failed":
        core.on_connection_failed(None, make_rpc_error(ErrorCode.ECONNRESET, "reset"))
    else:
        side.close_by_peer(core)
    assert core.is_over
    assert closed.ends == 1
    side.check_idle()


def test_close_by_the_peer_comes_behind_its_messages(side: StreamSide) -> None:
    core = side.open()
    ended, received = Ended(), Ended()
    assert core.begin_ended_wait(ended)
    core.begin_receive_wait(received)
    side.data(core, b"1", b"2")
    side.close_by_peer(core)
    side.data(core, b"behind the end")
    assert core.state == "closed by the peer"
    with pytest.raises(StreamClosedError, match="by the peer"):
        core.try_send(b"x")
    assert core.take() == b"1"
    assert side.sent() == []
    assert ended.ends == 0
    assert core.take() == b"2"
    assert side.sent_kinds() == [CLOSE]
    assert (ended.ends, received.ends) == (1, 1)
    assert not core.begin_ended_wait(Ended())
    side.check_idle()


def test_senders_hear_of_the_end(side: StreamSide) -> None:
    core = side.open(max_buf_size=1, min_buf_size=0)
    core.try_send(b"0")
    outgoing, wait = enqueue(core, b"1", b"2")
    closed = Ended()
    core.close(closed)
    side.reset_by_peer(core)
    assert isinstance(outgoing.error, StreamResetError)
    assert (wait.ends, closed.ends) == (1, 1)
    assert side.sent_data() == [b"0"]
    side.check_idle()


def test_reset_by_the_peer_leaves_what_has_come(side: StreamSide) -> None:
    core = side.open()
    side.data(core, b"1")
    side.reset_by_peer(core)
    assert core.take() == b"1"
    error = core.receive_error()
    assert isinstance(error, StreamResetError)
    assert error.code == ErrorCode.ECONNRESET
    assert error.is_remote
    assert side.sent() == []
    side.check_idle()


def test_reset_drops_everything(side: StreamSide) -> None:
    core = side.open(max_buf_size=1, min_buf_size=0)
    core.try_send(b"0")
    _, wait = enqueue(core, b"1")
    side.data(core, b"unread")
    core.reset()
    core.reset()
    core.close()
    assert core.take() is None
    assert wait.ends == 1
    assert side.sent_kinds() == [DATA, RST]
    assert "by this side" in core.state
    side.check_idle()


def test_reset_after_the_peer_has_closed(side: StreamSide) -> None:
    core = side.open()
    side.data(core, b"1")
    side.close_by_peer(core)
    core.reset()
    assert side.sent_kinds() == [CLOSE]
    assert core.failure is None
    side.check_idle()


def test_close_after_the_peer_has_closed(side: StreamSide) -> None:
    core = side.open()
    side.data(core, b"1")
    side.close_by_peer(core)
    assert not core.close(Ended())
    assert side.sent_kinds() == [CLOSE]
    side.check_idle()


def test_failure_of_the_connection(side: StreamSide) -> None:
    core = side.open(max_buf_size=1, min_buf_size=0)
    core.try_send(b"0")
    outgoing, wait = enqueue(core, b"1")
    ended, consumed, received = Ended(), Ended(), Ended()
    core.begin_ended_wait(ended)
    core.begin_consumed_wait(consumed)
    core.begin_receive_wait(received)
    side.socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, "broken"))
    side.step.run_until_idle()
    assert [each.ends for each in (wait, ended, consumed, received)] == [1] * 4
    assert outgoing.error is not None
    assert outgoing.error.code == ErrorCode.EFAILEDSOCKET
    with pytest.raises(RpcError, match="broken"):
        core.try_send(b"x")
    with pytest.raises(RpcError, match="broken"):
        core.enqueue(Outgoing((b"x",)))
    assert not core.close(Ended())
    side.check_idle()


def test_failure_of_the_connection_leaves_what_has_come(side: StreamSide) -> None:
    core = side.open()
    side.data(core, b"1")
    side.socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, "broken"))
    side.step.run_until_idle()
    assert core.take() == b"1"
    side.check_idle()


def test_stream_that_failed_before_it_was_open_tells_nobody(side: StreamSide) -> None:
    core = side.table.new_stream(StreamOptions())
    core.connect(REMOTE_ID, True, True)
    core.fail(make_rpc_error(ErrorCode.ECANCELED, "the call has failed"))
    assert side.sent() == []
    core.open()
    assert side.sent_kinds() == [RST]
    side.check_idle()


def test_stream_that_gives_up_says_why(side: StreamSide) -> None:
    side.budget.limit_bytes = 100
    core = side.open()
    side.data(core, bytes(100))
    assert core.failure is not None
    assert "all streams together" in core.failure.text
    assert side.sent_kinds() == [RST]
    side.check_idle()


def test_streams_that_hold_too_much_are_logged_once_a_second(
    side: StreamSide, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(core_module, "limits_log", LimitedLog(LIBRARY))
    one, two = side.open(max_unread_bytes=100), side.open(max_message_size=5)
    side.data(one, bytes(200), bytes(200))
    side.data(two, bytes(6))
    assert isinstance(two.failure, StreamResetError)
    side.open().reset()
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("pybrpc", "WARNING")
    text = f"the stream {one.id} with {one.table.peer} was reset by this side: "
    assert record.getMessage().startswith(text)
    assert record.getMessage().endswith("bytes are unread, more than max_unread_bytes")


def test_polling_is_required_until_it_is_over(side: StreamSide) -> None:
    core = side.open()
    core.require_polling()
    assert core._requires_polling
    core.reset()
    assert not core._requires_polling
    core.require_polling()
    assert not core._requires_polling


def test_state_is_said_in_words(side: StreamSide) -> None:
    core = side.table.new_stream(StreamOptions())
    assert core.state == "opening"
    core.connect(REMOTE_ID, True, True)
    core.open()
    assert core.state == "open"
    assert repr(core) == f"<StreamCore {core.id} open, 0 messages unread>"
    core.reset()
    assert core.state.startswith("failed: ")


def test_what_was_consumed_before_the_end_was_consumed(side: StreamSide) -> None:
    core = side.open()
    core.try_send(b"12")
    reached = core.begin_consumed_wait(Ended())
    core.try_send(b"34")
    lost = core.begin_consumed_wait(Ended())
    side.feedback(core, 2)
    side.close_by_peer(core)
    assert reached is not None
    assert lost is not None
    assert (reached.is_reached, lost.is_reached) == (True, False)


def test_limit_that_is_reached_after_the_peer_has_closed_is_no_clean_end(side: StreamSide) -> None:
    core = side.open()
    side.data(core, b"1", b"2")
    side.close_by_peer(core)
    assert core.take() == b"1"
    core.give_up()
    assert isinstance(core.failure, StreamResetError)
    assert isinstance(core.failure.__cause__, LimitReachedError)
    assert side.sent_kinds() == [RST]
    with pytest.raises(StreamResetError):
        raise core.receive_error()
    side.check_idle()
