"""FutureCall: how it ends, is cancelled and calls back, over a fake connection."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
from functools import partial
from typing import Any

import pytest

from pybrpc.client.calls.sync_calls import (
    CallFuture,
    FutureCall,
    new_callback_call,
    new_future_call,
)
from pybrpc.errors import (
    BadResponseError,
    ErrorCode,
    RpcCanceledError,
    RpcError,
    WouldDeadlockError,
    make_rpc_error,
)
from pybrpc.rpc.controller import Controller
from tests.fakes.connections import ANSWER, ECHO, FakeSource, OddMethod
from tests.fakes.sync_calls import EVERYTHING, ODD, Held, is_freed_after, make
from tests.fakes.threads import in_threads


def test_future_has_the_response_as_result() -> None:
    source = FakeSource()
    future: CallFuture = make(new_future_call, source).begin(None)
    assert (future.done(), source.attended) == (False, 1)
    source.answer_well()
    source.run_completions()
    assert (future.result(0), source.attended) == (ANSWER, 0)
    assert not future.cancel()


def test_future_raises_the_error() -> None:
    source = FakeSource()
    future = make(new_future_call, source).begin(None)
    source.answer_error(ErrorCode.EINTERNAL)
    source.run_completions()
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
    source.run_completions()
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
    source.run_completions()
    assert future.result(0) == ANSWER
    assert "a done callback of a call of conformance.EchoService.Echo raised" in caplog.text


@pytest.mark.parametrize("raised", EVERYTHING)
def test_callbacks_of_a_future_run_whatever_one_of_them_raises(raised: type[BaseException]) -> None:
    source = FakeSource()
    future = make(new_future_call, source).begin(None)
    called: list[int] = []

    def callback(number: int) -> None:
        called.append(number)
        raise raised

    for number in range(3):
        future.add_done_callback(lambda _, number=number: callback(number))
    source.answer_well()
    in_threads(1, lambda _: source.run_completions())
    assert called == [0, 1, 2]
    assert (source.attended, source.dispatcher.raised) == (0, [])


@pytest.mark.parametrize("raised", EVERYTHING)
def test_callbacks_of_a_cancelled_future_run_before_cancel_returns(
    raised: type[BaseException],
) -> None:
    source = FakeSource()
    future = make(new_future_call, source).begin(None)
    called: list[object] = []

    def callback(ended: Any) -> None:
        called.append(ended.cancelled())
        raise raised

    future.add_done_callback(callback)
    future.add_done_callback(callback)
    in_threads(1, lambda _: future.cancel())
    assert called == [True, True]
    source.run_completions()
    assert (called, source.attended) == ([True, True], 0)


def test_callbacks_of_a_future_that_another_thread_ends_for_its_canceller_run_later() -> None:
    """The attempt was claimed already when `cancel` was called; its owner finds the wish."""
    source = FakeSource()
    future = make(new_future_call, source).begin(None)
    called: list[bool] = []
    future.add_done_callback(lambda ended: called.append(ended.cancelled()))
    attempt = source.take_number(1)
    assert attempt is not None
    assert not future.cancel()
    error = make_rpc_error(ErrorCode.EEOF, "broken")
    in_threads(1, lambda _: attempt.call.on_attempt_failed(attempt, error))
    assert (future.cancelled(), called) == (True, [])
    source.run_completions()
    assert (called, source.attended) == ([True], 0)


def test_callbacks_that_cancel_the_next_future_end_a_chain_of_any_length() -> None:
    """The first ones run inside each other, the dispatcher runs the others."""
    source = FakeSource()
    futures = [make(new_future_call, source).begin(None) for _ in range(1500)]
    for future, following in itertools.pairwise(futures):
        future.add_done_callback(lambda _, following=following: following.cancel())
    assert futures[0].cancel()
    assert 32 <= sum(future.done() for future in futures) <= 34
    source.run_completions()
    assert all(future.cancelled() for future in futures)
    assert (source.pending, source.attended) == ({}, 0)
    assert not source.dispatcher.raised


@pytest.mark.python_only
def test_cancel_without_stack_raises_and_leaves_the_call_as_it_was() -> None:
    source = FakeSource()
    future = make(new_future_call, source).begin(None)

    def cancel_deep() -> None:
        try:
            cancel_deep()
        except RecursionError:
            future.cancel()
            raise

    with pytest.raises(RecursionError):
        cancel_deep()
    # One of the frames that are left had room enough.
    assert future.cancelled()
    assert (source.pending, source.attended) == ({}, 0)


@pytest.mark.python_only
def test_future_that_two_threads_cancel_at_once_ends_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = FakeSource()
    future = make(new_future_call, source).begin(None)
    called: list[object] = []
    future.add_done_callback(called.append)
    abort = FutureCall.abort
    is_first = True

    def abort_later(call: FutureCall, error: RpcError) -> bool:
        """The first thread stops here, and another one cancels meanwhile."""
        nonlocal is_first
        if is_first:
            is_first = False
            in_threads(1, lambda _: future.cancel())
            assert called == [future]
        return abort(call, error)

    monkeypatch.setattr(FutureCall, "abort", abort_later)
    assert future.cancel()
    source.run_completions()
    assert (called, source.attended) == ([future], 0)
    assert not caplog.records


def test_future_whose_canceller_ends_its_call_later_runs_its_callbacks() -> None:
    """The attempt was claimed when `cancel` was called; the same thread then finds the wish."""
    source = FakeSource()
    future = make(new_future_call, source).begin(None)
    called: list[bool] = []
    future.add_done_callback(lambda ended: called.append(ended.cancelled()))
    attempt = source.take_number(1)
    assert attempt is not None
    assert not future.cancel()
    attempt.call.on_attempt_failed(attempt, make_rpc_error(ErrorCode.EEOF, "broken"))
    source.run_completions()
    assert (called, source.attended) == ([True], 0)


@pytest.mark.parametrize("raised", EVERYTHING)
def test_future_fails_with_eresponse_whatever_the_parser_raises(
    raised: type[BaseException],
) -> None:
    source = FakeSource()
    controller = Controller()
    call = make(new_future_call, source, method=OddMethod(raised), controller=controller)
    future = call.begin(None)
    source.answer_well()
    in_threads(1, lambda _: source.run_completions())
    error = future.exception(0)
    assert isinstance(error, BadResponseError)
    assert isinstance(error.__cause__, raised)
    assert (controller.error_code, source.attended) == (ErrorCode.ERESPONSE, 0)


@pytest.mark.parametrize("name", ["result", "exception"])
def test_waiting_for_a_future_in_a_turn_of_its_dispatcher_is_refused(name: str) -> None:
    source = FakeSource()
    future = make(new_future_call, source).begin(None)
    found: list[Any] = []

    def wait(timeout: float | None) -> None:
        try:
            found.append(getattr(future, name)(timeout))
        except (WouldDeadlockError, TimeoutError) as error:
            found.append(type(error))

    for timeout in (None, 5.0, 0.0):
        source.dispatcher.post(partial(wait, timeout))
    source.run_completions()
    assert found == [WouldDeadlockError, WouldDeadlockError, TimeoutError]
    source.answer_well()
    source.run_completions()
    source.dispatcher.post(partial(wait, None))
    source.run_completions()
    assert found[3] == (ANSWER if name == "result" else None)


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("end", ["error", "odd"])
def test_error_of_a_future_leaves_no_reference_cycle(end: str) -> None:
    def call(held: Held) -> None:
        source = FakeSource()
        call = make(new_future_call, source, method=ODD if end == "odd" else ECHO)
        futures = [call.begin(held)]
        if end == "odd":
            source.answer_well()
        else:
            source.answer_error(ErrorCode.EINTERNAL)
        source.run_completions()
        with contextlib.suppress(RpcError):
            futures.pop().result(0)

    assert is_freed_after(call)


@pytest.mark.parametrize(
    ("new_call", "arguments"),
    [(new_future_call, (None,)), (new_callback_call, (lambda *_: None, None))],
)
def test_call_that_finds_no_thread_leaves_its_controller_to_others(
    new_call: Any, arguments: Any
) -> None:
    source, controller = FakeSource(), Controller()
    count = source.dispatcher.require_polling

    def find_no_thread() -> None:
        count()
        raise RuntimeError("can't start new thread")

    source.dispatcher.require_polling = find_no_thread  # type: ignore[method-assign]
    call = make(new_call, source, controller=controller)
    with pytest.raises(RuntimeError, match="can't start"):
        call.begin(*arguments)
    assert (source.sent, source.attended) == (0, 0)
    source.dispatcher.require_polling = count  # type: ignore[method-assign]
    future = make(new_future_call, source, controller=controller).begin(None)
    source.answer_well()
    source.run_completions()
    assert future.result(0) == ANSWER
