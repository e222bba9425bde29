"""StreamBase: what both forms of streams have."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from google.protobuf.empty_pb2 import Empty

from pybrpc.errors import OvercrowdedError, StreamClosedError, StreamResetError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.streaming.stream_frame import RST
from pybrpc.streams.base import as_payload, as_payloads, check_count, timeout_error
from pybrpc.streams.receive_side import MESSAGE_BYTES
from pybrpc.streams.stream import Stream
from tests.fakes.streams import StreamSide


def test_payloads_do_not_change_while_they_wait() -> None:
    array, buffer = bytearray(b"12"), IOBuf(b"34")
    payloads = as_payloads([b"0", array, memoryview(array), buffer])
    array[:] = b"xx"
    buffer.append(b"more")
    assert [bytes(each) for each in payloads] == [b"0", b"12", b"12", b"34"]


@pytest.mark.parametrize("bad", ["text", 5, None, [b"x"]])
def test_what_is_no_message(bad: Any) -> None:
    with pytest.raises(TypeError, match=r"bytes or a pybrpc\.IOBuf"):
        as_payload(bad)


@pytest.mark.parametrize("bad", [b"one", "text", bytearray(b"x"), IOBuf(b"x"), memoryview(b"x")])
def test_one_message_is_no_list_of_messages(bad: Any) -> None:
    with pytest.raises(TypeError, match="send_many takes a list"):
        as_payloads(bad)


def test_counts_of_batches() -> None:
    check_count(1)
    for bad in (0, True, 1.0):
        with pytest.raises(ValueError, match="batches"):
            check_count(bad)  # type: ignore[arg-type]


def test_what_is_seen_of_a_stream(side: StreamSide) -> None:
    stream = Stream(side.open(max_buf_size=4))
    core = stream._core
    assert (stream.id, stream.state, stream.peer) == (core.id, "open", side.table.peer)
    assert (stream.is_closed, stream.failure, stream.is_writable()) == (False, None, True)
    stream.send_nowait(b"1234")
    assert (stream.unconsumed_bytes, stream.is_writable()) == (4, False)
    with pytest.raises(OvercrowdedError, match="takes no more now"):
        stream.send_nowait(b"5")
    side.data(core, b"unread")
    assert stream.unread_bytes == 6 + MESSAGE_BYTES
    assert repr(stream).endswith("open, 1 messages unread>")
    stream.reset()
    assert stream.is_closed
    first, second = stream.failure, stream.failure
    assert isinstance(first, StreamResetError)
    assert first is not second
    with pytest.raises(StreamResetError):
        stream.send_nowait(b"6")


def test_timeout_says_what_took_long(side: StreamSide) -> None:
    core = side.open()
    error = timeout_error(core, "sending on", 0.5)
    assert (
        error.text == f"sending on the stream {core.id} with {core.table.peer} took more than 0.5 s"
    )
    core.reset()


def test_stream_that_nobody_has_is_reset(side: StreamSide) -> None:
    kept = [Stream(side.open())]
    with pytest.warns(ResourceWarning, match="unclosed <Stream"):
        kept.clear()
    assert side.sent_kinds() == [RST]
    side.check_idle()


def test_stream_that_has_ended_is_dropped_in_silence(side: StreamSide) -> None:
    stream = Stream(side.open())
    side.data(stream._core, b"unread")
    side.close_by_peer(stream._core)
    del stream
    gc.collect()
    side.sent()
    side.check_idle()


def test_with_on_messages_nothing_is_received_by_hand(side: StreamSide) -> None:
    class Taking:
        takes_messages = True

        def on_readable(self) -> None:
            """Nothing is called here."""

        def on_over(self) -> None:
            """Nothing is called here."""

    stream = Stream(side.open())
    stream._core.consumer = Taking()  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="on_messages gets the messages"):
        stream.recv()
    stream.reset()
    with pytest.raises((StreamClosedError, StreamResetError)):
        stream.send(b"x")


def test_text_of_a_wrong_message_says_what_to_do() -> None:
    expected = "a message of a stream is bytes or a pybrpc.IOBuf, not "
    for message, said in (
        ("text", "'text'; encode it"),
        (None, "None"),
        (Empty(), "an empty Empty; stream.of(Empty) sends and receives messages of this class"),
        ([b"x" * 1000], "[b'" + "x" * 197 + "..."),
    ):
        with pytest.raises(TypeError) as raised:
            as_payload(message)
        assert str(raised.value) == expected + said


def test_repr_names_the_stream_once(side: StreamSide) -> None:
    stream = Stream(side.open())
    stream.reset()
    state = "failed: was reset by this side"
    assert repr(stream) == f"<Stream {stream.id} with {stream.peer}, {state}, 0 messages unread>"


def test_warning_shows_the_stream_as_its_user_left_it(side: StreamSide) -> None:
    kept = [Stream(side.open())]
    with pytest.warns(ResourceWarning, match=", open, 0 messages unread>$"):
        kept.clear()
    side.sent()
