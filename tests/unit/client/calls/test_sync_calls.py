"""The forms of calling for threads: how each learns of the end of its call, which is played."""

from __future__ import annotations

import concurrent.futures
from typing import Any

import pytest

from pybrpc.client.calls.call_options import CallOptions
from pybrpc.client.calls.sync_calls import BlockingCall, CallbackCall, CallFuture, FutureCall
from pybrpc.errors import (
    ErrorCode,
    RpcCanceledError,
    RpcError,
    RpcTimeoutError,
)
from tests.fakes.connections import ANSWER, ECHO, FakeSource
from tests.protos import conformance_pb2 as pb


def make(kind: Any, source: FakeSource, **options: Any) -> Any:
    options = {"max_retry": 0, **options}
    return kind(source, ECHO, pb.EchoRequest(message="x"), 5.0, CallOptions(**options), None)


# --- blocking ---


def waits(source: FakeSource, *turns: Any) -> None:
    """What happens in each wait for the dispatcher; None: the deadline comes."""
    left = list(turns)

    def wait(waiter: Any, deadline: float) -> bool:
        turn = left.pop(0)
        if turn is None:
            return False
        turn()
        return True

    source.dispatcher.wait = wait  # type: ignore[method-assign]


def test_blocking_call_gives_the_answer() -> None:
    source = FakeSource()
    waits(source, source.answer_well)
    assert make(BlockingCall, source).wait() == ANSWER


def test_blocking_call_raises_the_error() -> None:
    source = FakeSource()
    waits(source, lambda: source.answer_error(ErrorCode.EINTERNAL))
    with pytest.raises(RpcError, match="no"):
        make(BlockingCall, source).wait()


def test_blocking_call_ends_at_its_deadline() -> None:
    source = FakeSource()
    waits(source, None, lambda: None)
    with pytest.raises(RpcTimeoutError):
        make(BlockingCall, source).wait()
    assert source.pending == {}


def test_blocking_call_that_is_interrupted_is_cancelled_and_gives_everything_back() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    source = FakeSource()
    waits(source, interrupt)
    call = make(BlockingCall, source)
    with pytest.raises(KeyboardInterrupt):
        call.wait()
    assert isinstance(call.error, RpcCanceledError)
    assert (source.pending, source.taken_back) == ({}, 1)


# --- future ---


def test_future_gives_the_answer() -> None:
    source = FakeSource()
    future: CallFuture = make(FutureCall, source).begin(None)
    assert (future.done(), source.attended) == (False, 1)
    source.answer_well()
    assert (future.result(0), source.attended) == (ANSWER, 0)
    assert not future.cancel()


def test_future_raises_the_error() -> None:
    source = FakeSource()
    future = make(FutureCall, source).begin(None)
    source.answer_error(ErrorCode.EINTERNAL)
    assert isinstance(future.exception(0), RpcError)


def test_cancelled_future_ends_its_call() -> None:
    source = FakeSource()
    future = make(FutureCall, source).begin(None)
    assert future.cancel()
    assert (future.cancelled(), source.pending, source.attended) == (True, {}, 0)
    assert concurrent.futures.wait([future], 0).done == {future}


def test_call_that_its_server_says_was_cancelled_has_failed() -> None:
    source = FakeSource()
    future = make(FutureCall, source).begin(None)
    attempt = source.take_number(1)
    assert attempt is not None
    error = RpcCanceledError("no", code=ErrorCode.ECANCELED, is_remote=True)
    attempt.call.on_error_response(attempt, error)
    assert not future.cancelled()
    assert future.exception(0) is error


def test_done_callback_that_exits_ends_nothing_but_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def leave(future: object) -> None:
        raise SystemExit

    source = FakeSource()
    future = make(FutureCall, source).begin(None)
    future.add_done_callback(leave)
    source.answer_well()
    assert future.result(0) == ANSWER
    assert "a done callback of a call of conformance.EchoService.Echo raised" in caplog.text


# --- callback ---


def test_callback_is_told_the_answer_or_the_error() -> None:
    told: list[Any] = []
    source = FakeSource()
    make(CallbackCall, source).begin(lambda *end: told.append(end), None)
    assert source.attended == 1
    source.answer_well()
    make(CallbackCall, source).begin(lambda *end: told.append(end), None)
    source.answer_error(ErrorCode.EINTERNAL)
    assert told[0] == (ANSWER, None)
    assert told[1][0] is None
    assert told[1][1].code == ErrorCode.EINTERNAL
    assert (len(told), source.attended) == (2, 0)


@pytest.mark.parametrize("raised", [ValueError, SystemExit])
def test_callback_that_raises_is_logged(
    caplog: pytest.LogCaptureFixture, raised: type[BaseException]
) -> None:
    def done(message: object, error: object) -> None:
        raise raised

    source = FakeSource()
    make(CallbackCall, source).begin(done, None)
    source.answer_well()
    assert "the callback of a call of conformance.EchoService.Echo raised" in caplog.text
