"""Stream: the forms of waiting for threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from pybrpc.errors import (
    RpcError,
    StreamClosedError,
    StreamResetError,
    StreamTimeoutError,
    WouldDeadlockError,
)
from pybrpc.protocols.streaming.stream_frame import CLOSE, DATA, RST
from pybrpc.streams import TypedStream
from pybrpc.streams.stream import Stream
from tests.fakes.streams import StreamSide
from tests.fakes.threads import WAIT_S, wait_until
from tests.protos import conformance_pb2 as pb


def opened(side: StreamSide, **options: Any) -> Stream:
    return Stream(side.open(**{"min_buf_size": 0, **options}))


def started(function: Callable[[], Any]) -> Future[Any]:
    """Run it in a thread."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run).start()
    return future


def test_send_waits_for_the_window(side: StreamSide) -> None:
    stream = opened(side, max_buf_size=1)
    stream.send(b"1")
    sending = started(lambda: stream.send(b"2", WAIT_S))
    wait_until(lambda: bool(stream._core.outgoing))
    side.feedback(stream._core, 1)
    assert sending.result(WAIT_S) is None
    assert side.sent_data() == [b"1", b"2"]
    stream.reset()


def test_send_that_times_out_was_not_sent(side: StreamSide) -> None:
    stream = opened(side, max_buf_size=1)
    stream.send(b"1")
    for timeout in (0, 0.001):
        with pytest.raises(StreamTimeoutError) as caught:
            stream.send(b"2", timeout)
        assert caught.value.sent == 0
        assert caught.value.peer == stream.peer
    side.feedback(stream._core, 1)
    assert side.sent_data() == [b"1"]
    stream.reset()


def test_send_many_says_how_many_were_sent(side: StreamSide) -> None:
    stream = opened(side, max_buf_size=2)
    stream.send_many([])
    with pytest.raises(StreamTimeoutError) as caught:
        stream.send_many([b"1", b"2", b"3"], 0.001)
    assert caught.value.sent == 2
    assert side.sent_data() == [b"1", b"2"]
    stream.reset()


def test_drain(side: StreamSide) -> None:
    stream = opened(side, max_buf_size=1)
    stream.drain(0)
    stream.send(b"1")
    with pytest.raises(StreamTimeoutError):
        stream.drain(0.001)
    draining = started(lambda: stream.drain(WAIT_S))
    wait_until(lambda: bool(stream._core.outgoing))
    side.feedback(stream._core, 1)
    draining.result(WAIT_S)
    stream.reset()


@pytest.mark.parametrize("ends", ["close", "reset"])
def test_senders_hear_of_the_end(side: StreamSide, ends: str) -> None:
    stream = opened(side, max_buf_size=1)
    stream.send(b"1")
    sending = started(lambda: stream.send(b"2", WAIT_S))
    waiting = started(lambda: stream.wait_consumed(WAIT_S))
    wait_until(lambda: bool(stream._core.outgoing and stream._core.consumed_waits))
    kind = StreamClosedError if ends == "close" else StreamResetError
    getattr(side, f"{ends}_by_peer")(stream._core)
    for future in (sending, waiting):
        with pytest.raises(kind):
            future.result(WAIT_S)
    with pytest.raises(kind):
        stream.send(b"3")


def test_wait_consumed(side: StreamSide) -> None:
    stream = opened(side)
    stream.wait_consumed(0)
    stream.send(b"12")
    with pytest.raises(StreamTimeoutError):
        stream.wait_consumed(0.001)
    assert stream._core.consumed_waits == []
    waiting = started(lambda: stream.wait_consumed(WAIT_S))
    wait_until(lambda: bool(stream._core.consumed_waits))
    side.feedback(stream._core, 2)
    waiting.result(WAIT_S)
    stream.reset()


def test_consumed_before_the_end_is_consumed(side: StreamSide) -> None:
    """Both come in one read."""
    stream = opened(side)
    stream.send(b"12")
    waiting = started(lambda: stream.wait_consumed(WAIT_S))
    wait_until(lambda: bool(stream._core.consumed_waits))
    core = stream._core
    core.on_feedback(2)
    core.on_close()
    waiting.result(WAIT_S)


def test_recv(side: StreamSide) -> None:
    stream = opened(side)
    with pytest.raises(StreamTimeoutError):
        stream.recv(0.001)
    assert stream._core._received_waits == []
    receiving = started(lambda: stream.recv(WAIT_S))
    wait_until(lambda: bool(stream._core._received_waits))
    side.data(stream._core, b"1", b"2")
    assert receiving.result(WAIT_S) == b"1"
    side.close_by_peer(stream._core)
    assert stream.recv() == b"2"
    with pytest.raises(StreamClosedError):
        stream.recv()


def test_iteration_ends_with_the_stream_and_raises_its_failure(side: StreamSide) -> None:
    closed, failed = opened(side), opened(side)
    for stream in (closed, failed):
        side.data(stream._core, b"1", b"2")
    side.close_by_peer(closed._core)
    side.reset_by_peer(failed._core)
    assert list(closed) == [b"1", b"2"]
    assert next(failed) == b"1"
    assert next(failed) == b"2"
    with pytest.raises(StreamResetError):
        next(failed)
    side.check_idle()


def test_batches(side: StreamSide) -> None:
    stream = opened(side)
    side.data(stream._core, b"1", b"2", b"3")
    batches = stream.batches(2, timeout=0.001)
    assert [next(batches), next(batches)] == [[b"1", b"2"], [b"3"]]
    with pytest.raises(StreamTimeoutError):
        next(batches)
    side.data(stream._core, b"4")
    side.close_by_peer(stream._core)
    assert list(stream.batches()) == [[b"4"]]
    for bad in (0, -1, True, 1.5, None):
        with pytest.raises(ValueError, match="batches"):
            stream.batches(bad)  # type: ignore[arg-type]


def test_close(side: StreamSide) -> None:
    stream = opened(side)
    closing = started(stream.close)
    kinds: list[int] = []

    def has_closed() -> bool:
        kinds.extend(side.sent_kinds())
        return closing.done()

    wait_until(has_closed)
    assert (kinds, closing.result()) == ([CLOSE], None)
    assert stream.is_closed
    assert stream.wait_closed(0) is None
    with stream:
        assert side.sent_kinds() == []
    side.check_idle()


def test_close_that_times_out_resets(side: StreamSide) -> None:
    stream = opened(side, max_buf_size=1)
    stream.send(b"1")
    sending = started(lambda: stream.send(b"2", WAIT_S))
    wait_until(lambda: bool(stream._core.outgoing))
    with pytest.raises(StreamTimeoutError):
        stream.close(0.001)
    with pytest.raises(StreamResetError):
        sending.result(WAIT_S)
    assert isinstance(stream.wait_closed(0), StreamResetError)
    assert side.sent_kinds() == [DATA, RST]
    side.check_idle()


def test_block_that_raises_resets(side: StreamSide) -> None:
    stream = opened(side)
    with pytest.raises(ZeroDivisionError), stream:
        raise ZeroDivisionError
    assert side.sent_kinds() == [RST]


def test_wait_closed(side: StreamSide) -> None:
    stream = opened(side)
    with pytest.raises(StreamTimeoutError):
        stream.wait_closed(0.001)
    waiting = started(lambda: stream.wait_closed(WAIT_S))
    wait_until(lambda: bool(stream._core._ended_waits))
    side.reset_by_peer(stream._core)
    assert isinstance(waiting.result(WAIT_S), StreamResetError)


def test_no_wait_in_a_turn(side: StreamSide) -> None:
    stream = opened(side, max_buf_size=1)
    stream.send(b"1")
    raised: list[BaseException] = []

    def in_turn() -> None:
        for wait in (
            stream.recv,
            stream.drain,
            stream.wait_consumed,
            stream.wait_closed,
            lambda: stream.send(b"2"),
        ):
            try:
                wait()
            except RuntimeError as error:
                raised.append(error)

    side.step.post(in_turn)
    side.step.run_until_idle()
    assert [type(error) for error in raised] == [WouldDeadlockError] * 5
    core = stream._core
    assert not any((core._received_waits, core._ended_waits, core.consumed_waits, core.outgoing))
    stream.reset()


@pytest.mark.parametrize("timeout", [-1, "1", float("nan"), True])
def test_timeouts_that_are_none(side: StreamSide, timeout: Any) -> None:
    stream = opened(side)
    with pytest.raises((ValueError, TypeError)):
        stream.recv(timeout)
    assert stream._core._received_waits == []
    stream.reset()


def test_typed_view(side: StreamSide) -> None:
    stream = opened(side)
    typed = stream.of(pb.EchoRequest)
    assert isinstance(typed, TypedStream)
    assert typed.stream is stream
    stream.reset()
    with pytest.raises(RpcError):
        typed.send(pb.EchoRequest())
