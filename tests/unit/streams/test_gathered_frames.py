"""GatheredFrames: short messages of several streams in one request, in order, counted."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.streaming.stream_frame import CLOSE, DATA
from pybrpc.streams.core import StreamCore
from pybrpc.streams.gathered_frames import MAX_BYTES, SHORT, GatheredFrames
from pybrpc.streams.send_queue import SendQueue
from tests.fakes.streams import REMOTE_ID, Ended, StreamSide


def two_that_wait(side: StreamSide) -> tuple[StreamCore, StreamCore]:
    """Two streams; what they send waits in the socket until its next turn."""
    first, second = (side.open(remote_id=REMOTE_ID + index, max_buf_size=0) for index in range(2))
    writer = side.socket._writer
    writer.hold()
    side.socket.backlog.try_add(0, ignore_limit=True)
    side.step.post(partial(writer.keep_write, side.socket))
    return first, second


def test_messages_that_wait_share_a_request(side: StreamSide) -> None:
    cores = two_that_wait(side)
    before = side.socket.backlog.requests
    for number in range(50):
        assert cores[number % 2].try_send(b"%d" % number)
    assert side.socket.backlog.requests == before + 1
    assert "<GatheredFrames 1 of" in repr(side.table.queue.gathered)
    assert side.sent_data() == [b"%d" % number for number in range(50)]
    assert side.socket.backlog.size_bytes == 0
    assert side.table.queue.unwritten == side.table.queue._unmarked


def test_message_of_an_idle_socket_is_a_request_of_its_own(side: StreamSide) -> None:
    core = side.open(max_buf_size=0)
    assert core.try_send(b"1")
    assert side.table.queue.begun == 0
    assert side.sent_data() == [b"1"]


def test_long_message_is_not_gathered_and_keeps_its_place(side: StreamSide) -> None:
    first, second = two_that_wait(side)
    for message in (b"1", b"2", bytes(SHORT + 1), b"3"):
        assert first.try_send(message)
    assert second.try_send(b"other")
    assert side.table.queue.begun == 1
    frames = [(frame.stream_id - REMOTE_ID, len(frame.data)) for frame in side.sent()]
    assert [size for index, size in frames if not index] == [1, 1, SHORT + 1, 1]
    assert frames[2] == (1, 5), "it joins what is before the long one, of another stream"


def test_close_comes_after_what_was_gathered(side: StreamSide) -> None:
    first, second = two_that_wait(side)
    for core in (first, second, first):
        assert core.try_send(b"x")
    first.close()
    kinds = [each.frame_type for each in side.sent() if each.stream_id == REMOTE_ID]
    assert kinds == [DATA, DATA, CLOSE]


def test_nothing_joins_one_that_is_full_or_taken(side: StreamSide) -> None:
    first, second = two_that_wait(side)
    sent = 0
    while sent == 0 or len(side.table.queue.gathered.frames) < MAX_BYTES:  # type: ignore[union-attr]
        assert first.try_send(bytes(SHORT))
        sent += 1
    before = side.socket.backlog.requests
    for _ in range(3):
        assert second.try_send(b"y")
    assert side.socket.backlog.requests == before + 3, "one that is not taken at a time"
    assert len(side.sent_data()) == sent + 3
    gathered = side.table.queue.gathered
    assert gathered is not None
    assert gathered.is_taken
    assert not gathered.may_join(0)
    two_that_wait(side)
    assert first.try_send(b"z")
    assert side.table.queue.begun == 2
    assert side.sent_data() == [b"z"]


@pytest.mark.python_only
def test_interrupted_send_is_not_overtaken(
    side: StreamSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler raises when the message is queued already."""
    first, second = two_that_wait(side)
    assert second.try_send(b"begun")

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SendQueue, "after_write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            first.try_send(bytes(SHORT + 1))
    assert first.try_send(b"next")
    sizes = [len(each.data) for each in side.sent() if each.stream_id == REMOTE_ID]
    assert sizes == [SHORT + 1, 4]


@pytest.mark.python_only
@pytest.mark.parametrize("where", ["count", "note", "write"])
def test_send_that_is_interrupted_half_way_fails_the_connection(
    side: StreamSide, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """It is not known what was sent, or counted: nobody may wait for it for ever."""
    first, second = two_that_wait(side)
    wait = Ended()
    assert first.begin_ended_wait(wait)
    assert second.try_send(b"begun")
    if where == "count":
        assert second.try_send(b"joined")

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SendQueue, where, interrupt)
        with pytest.raises(KeyboardInterrupt):
            first.try_send(b"x" if where == "count" else bytes(SHORT + 1))
    assert side.socket.error is not None
    assert "Interrupted by KeyboardInterrupt()" in side.socket.error.text
    side.step.run_until_idle()
    assert wait.ends == 1


def test_only_later_ones_may_be_joined() -> None:
    gathered = GatheredFrames(threading.Lock(), IOBuf(b"x"), 3)
    assert gathered.may_join(2)
    assert not gathered.may_join(3)
    taken = IOBuf()
    gathered.append_to(taken)
    assert taken == b"x"
    assert not gathered.may_join(2)
    assert repr(gathered) == "<GatheredFrames 3 of 0 bytes, taken>"
