"""RequestedStreams: what a handler accepts, and when it is opened."""

from __future__ import annotations

import asyncio
import queue
from typing import Any

import pytest

from pybrpc.errors import BadRequestError, LimitReachedError, RpcError, StreamResetError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import StreamSettings
from pybrpc.protocols.streaming.stream_frame import CLOSE, DATA, NO_STREAM, RST
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.streams.accepting import RequestedStreams
from pybrpc.streams.aio_stream import AioStream
from pybrpc.streams.stream import Stream
from tests.fakes.streams import StreamSide, frames_in
from tests.fakes.threads import WAIT_S, wait_until


def asked(side: StreamSide, *ids: int, is_async: bool = False) -> RequestedStreams:
    settings = StreamSettings(ids[0], True, True, ids[1:])
    return RequestedStreams(settings, lambda: side.table, is_async)


def test_accepted_streams_are_open_when_it_is_answered(side: StreamSide) -> None:
    requested = asked(side, 10, 11)
    streams = requested.accept_all(None, None)
    assert [type(stream) for stream in streams] == [Stream, Stream]
    assert repr(requested) == "<RequestedStreams 2 accepted>"
    streams[1].send(b"early")
    assert side.sent() == []
    first, second = streams
    assert requested.settings_of_answer() == StreamSettings(first.id, True, True, (second.id,))
    frames, rest = frames_in(requested.wrapped(IOBuf(b"the answer"), True))
    assert rest == b""
    (frame,) = frames
    assert (frame.stream_id, frame.source_stream_id, frame.data) == (10, first.id, b"the answer")
    assert side.sent() == []
    requested.on_answered(True)
    (frame,) = side.sent()
    assert (frame.stream_id, frame.data) == (11, b"early")
    assert repr(requested) == "<RequestedStreams 2 answered>"
    for stream in streams:
        stream.reset()
    side.check_idle()


def test_window_of_no_limit_needs_no_feedback(side: StreamSide) -> None:
    requested = asked(side, 10)
    stream = requested.accept(StreamOptions(max_buf_size=0), None)
    settings = requested.settings_of_answer()
    assert settings is not None
    assert settings.need_feedback is False
    requested.on_answered(False)
    assert stream.is_closed


def test_nothing_is_accepted(side: StreamSide) -> None:
    requested = asked(side, 10)
    assert requested.settings_of_answer() is None
    ((frame,), _) = frames_in(requested.wrapped(IOBuf(b"x"), True))
    assert (frame.stream_id, frame.source_stream_id) == (10, NO_STREAM)
    requested.on_answered(True)
    with pytest.raises(RuntimeError, match="answered"):
        requested.accept(None, None)
    side.check_idle()


def test_accepted_twice(side: StreamSide) -> None:
    requested = asked(side, 10)
    stream = requested.accept(None, None)
    with pytest.raises(RuntimeError, match="accepted already"):
        requested.accept_all(None, None)
    requested.on_answered(False)
    assert isinstance(stream.failure, RpcError)


def test_wrong_counts(side: StreamSide) -> None:
    with pytest.raises(BadRequestError, match="asks for 2 streams"):
        asked(side, 1, 2).accept(None, None)
    with pytest.raises(BadRequestError, match="more than 64"):
        asked(side, *range(65)).accept_all(None, None)
    with pytest.raises(BadRequestError, match="one id"):
        asked(side, 1, 2, 1).accept_all(None, None)
    side.table.max_streams = 1
    with pytest.raises(LimitReachedError):
        asked(side, 1, 2).accept_all(None, None)
    side.check_idle()


def test_call_that_fails_after_acceptance(side: StreamSide) -> None:
    closed: queue.SimpleQueue[Any] = queue.SimpleQueue()
    requested = asked(side, 10)
    options = StreamOptions(on_closed=lambda stream, error: closed.put(error))
    stream = requested.accept(options, None)
    stream.send(b"never sent")
    ((frame,), _) = frames_in(requested.wrapped(IOBuf(b"the error"), False))
    assert frame.source_stream_id == NO_STREAM
    requested.on_answered(False)
    assert isinstance(closed.get(timeout=WAIT_S), RpcError)
    assert side.sent() == []
    side.check_idle()


def plain(stream: Any) -> None:
    """A body."""


async def coroutine(stream: Any) -> None:
    """A body."""


@pytest.mark.parametrize("body", [5, "text", coroutine])
def test_what_is_no_body(side: StreamSide, body: Any) -> None:
    with pytest.raises(TypeError, match="body"):
        asked(side, 1).accept(None, body)
    with pytest.raises(TypeError, match="body"):
        asked(side, 1, is_async=True).accept(None, plain)
    with pytest.raises(TypeError, match="on_messages or a body"):
        asked(side, 1).accept(StreamOptions(on_messages=lambda stream, messages: None), plain)
    with pytest.raises(TypeError, match="options"):
        asked(side, 1).accept("options", None)  # type: ignore[arg-type]
    side.check_idle()


def test_body_runs_in_a_thread_once_it_is_answered(side: StreamSide) -> None:
    began: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def body(stream: Any) -> None:
        began.put(stream)
        for message in stream:
            stream.send(b"echo:" + message)

    requested = asked(side, 10)
    stream = requested.accept(None, body)
    assert began.empty()
    requested.on_answered(True)
    assert began.get(timeout=WAIT_S) is stream
    side.data(stream._core, b"1")
    side.close_by_peer(stream._core)
    wait_until(lambda: stream._core.is_over)
    kinds = side.sent_kinds()
    assert kinds in ([DATA, CLOSE], [CLOSE])  # it may hear of the close first
    side.check_idle()


def test_body_that_raises_resets_its_stream(
    side: StreamSide, caplog: pytest.LogCaptureFixture
) -> None:
    def body(stream: Any) -> None:
        raise ZeroDivisionError

    requested = asked(side, 10)
    stream = requested.accept(None, body)
    requested.on_answered(True)
    wait_until(lambda: stream._core.is_over and bool(caplog.records))
    assert isinstance(stream.failure, StreamResetError)
    assert side.sent_kinds() == [RST]
    assert "body" in caplog.text


def test_async_body_runs_in_a_task(side: StreamSide) -> None:
    async def main() -> None:
        began = asyncio.Event()
        over = asyncio.Event()

        async def body(stream: AioStream) -> None:
            began.set()
            async for message in stream:
                assert message == b"1"
            over.set()

        requested = asked(side, 10, is_async=True)
        stream = requested.accept(None, body)
        assert isinstance(stream, AioStream)
        requested.on_answered(True)
        await asyncio.wait_for(began.wait(), WAIT_S)
        side.data(stream._core, b"1")
        side.close_by_peer(stream._core)
        await asyncio.wait_for(over.wait(), WAIT_S)
        await stream.wait_closed()

    asyncio.run(main())
    assert side.sent_kinds() == [CLOSE]
    side.check_idle()
