"""The forms of a call for threads: how each ends, over a fake connection."""

from __future__ import annotations

import concurrent.futures
from typing import Any

import pytest

from pybrpc.client.calls.call_options import CallOptions
from pybrpc.client.calls.sync_calls import (
    CallFuture,
    new_blocking_call,
    new_callback_call,
    new_future_call,
)
from pybrpc.errors import (
    ErrorCode,
    RpcCanceledError,
    RpcError,
    RpcTimeoutError,
    WouldDeadlockError,
)
from tests.fakes.connections import ANSWER, ECHO, FakeSource
from tests.protos import conformance_pb2 as pb


def make(new_call: Any, source: FakeSource, **options: Any) -> Any:
    options = {"max_retry": 0, **options}
    return new_call(source, ECHO, pb.EchoRequest(message="x"), 5.0, CallOptions(**options), None)


# --- blocking ---


def waits(source: FakeSource, *turns: Any) -> None:
    """Each wait for the dispatcher runs one of `turns`; None: the deadline comes."""
    left = list(turns)

    def wait(waiter: Any, deadline: float) -> bool:
        turn = left.pop(0)
        if turn is None:
            return False
        turn()
        return True

    source.dispatcher.wait = wait  # type: ignore[method-assign]


def test_blocking_call_returns_the_response() -> None:
    source = FakeSource()
    waits(source, source.answer_well)
    assert make(new_blocking_call, source).wait() == ANSWER


def test_blocking_call_raises_the_error() -> None:
    source = FakeSource()
    waits(source, lambda: source.answer_error(ErrorCode.EINTERNAL))
    with pytest.raises(RpcError, match="no"):
        make(new_blocking_call, source).wait()


def test_blocking_call_ends_at_its_deadline() -> None:
    source = FakeSource()
    waits(source, None, lambda: None)
    with pytest.raises(RpcTimeoutError):
        make(new_blocking_call, source).wait()
    assert source.pending == {}


def test_blocking_call_that_is_interrupted_is_cancelled_and_its_connection_reclaimed() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    source = FakeSource()
    waits(source, interrupt)
    call = make(new_blocking_call, source)
    with pytest.raises(KeyboardInterrupt):
        call.wait()
    assert isinstance(call.error, RpcCanceledError)
    assert (source.pending, source.taken_back) == ({}, 1)


def test_blocking_call_in_a_turn_of_its_dispatcher_raises_instead_of_waiting_for_itself() -> None:
    source = FakeSource()
    raised: list[Exception] = []

    def call_in_turn() -> None:
        try:
            make(new_blocking_call, source).wait()
        except WouldDeadlockError as error:
            raised.append(error)

    source.dispatcher.post(call_in_turn)
    source.dispatcher.run_until_idle()
    (error,) = raised
    assert "a blocking call of conformance.EchoService.Echo inside a callback" in str(error)
    assert source.sent == 0


# --- future ---


def test_future_has_the_response_as_result() -> None:
    source = FakeSource()
    future: CallFuture = make(new_future_call, source).begin(None)
    assert (future.done(), source.attended) == (False, 1)
    source.answer_well()
    assert (future.result(0), source.attended) == (ANSWER, 0)
    assert not future.cancel()


def test_future_raises_the_error() -> None:
    source = FakeSource()
    future = make(new_future_call, source).begin(None)
    source.answer_error(ErrorCode.EINTERNAL)
    assert isinstance(future.exception(0), RpcError)


def test_cancelled_future_ends_its_call() -> None:
    source = FakeSource()
    future = make(new_future_call, source).begin(None)
    assert future.cancel()
    assert (future.cancelled(), source.pending, source.attended) == (True, {}, 0)
    assert concurrent.futures.wait([future], 0).done == {future}


def test_future_fails_if_the_server_reports_a_cancellation() -> None:
    source = FakeSource()
    future = make(new_future_call, source).begin(None)
    attempt = source.take_number(1)
    assert attempt is not None
    error = RpcCanceledError("no", code=ErrorCode.ECANCELED, is_remote=True)
    attempt.call.on_error_response(attempt, error)
    assert not future.cancelled()
    assert future.exception(0) is error


def test_done_callback_that_raises_SystemExit_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def leave(future: object) -> None:
        raise SystemExit

    source = FakeSource()
    future = make(new_future_call, source).begin(None)
    future.add_done_callback(leave)
    source.answer_well()
    assert future.result(0) == ANSWER
    assert "a done callback of a call of conformance.EchoService.Echo raised" in caplog.text


# --- callback ---


def test_callback_gets_the_response_or_the_error() -> None:
    told: list[Any] = []
    source = FakeSource()
    make(new_callback_call, source).begin(lambda *end: told.append(end), None)
    assert source.attended == 1
    source.answer_well()
    make(new_callback_call, source).begin(lambda *end: told.append(end), None)
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
    make(new_callback_call, source).begin(done, None)
    source.answer_well()
    assert "the callback of a call of conformance.EchoService.Echo raised" in caplog.text
