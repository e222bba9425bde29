"""Retries of a Call: how often, under which policy, after which pause."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from pybrpc.base.backoff import Backoff
from pybrpc.client.calls.backup_policy import BackupRequestPolicy
from pybrpc.client.calls.call import MAX_UNCOUNTED_SENDS
from pybrpc.client.calls.retry import RetryPolicy
from pybrpc.errors import (
    ConnectionFailedError,
    ErrorCode,
    OvercrowdedError,
    RpcError,
)
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.method import Method
from pybrpc.testing.step_dispatcher import FakeClock, StepTimer
from pybrpc.transport.dispatch.event_dispatcher import Continuation, DispatcherClosedError
from pybrpc.transport.writing.write_request import Progress
from tests.fakes.connections import (
    ECHO,
    IDEMPOTENT_ECHO,
    FakeCall,
    FakeConnection,
    nothing,
    raise_error,
    start,
)


@pytest.mark.parametrize("max_retry", [0, 1, 3])
def test_broken_connections_use_up_the_budget(max_retry: int) -> None:
    connection = FakeConnection()
    controller = Controller()
    call = start(connection, max_retry=max_retry, controller=controller)
    for _ in range(max_retry + 1):
        assert call.ends == []
        connection.break_down()
    (end,) = call.ends
    assert isinstance(end, ConnectionFailedError)
    assert connection.sent == max_retry + 1
    marks = ["[E1014]broken", *[f"[R{i + 1}][E1014]broken" for i in range(max_retry)]]
    assert end.text == controller.error_text == " ".join(marks)
    assert str(end).startswith("EEOF: [E1014]broken")
    assert controller.retried_count == max_retry


def test_call_fails_with_the_error_of_its_last_attempt() -> None:
    connection = FakeConnection()
    call = start(connection, max_retry=1)
    connection.break_down(ErrorCode.ECONNRESET)
    connection.break_down(ErrorCode.EPIPE)
    (end,) = call.ends
    assert end.code == ErrorCode.EPIPE
    assert end.text == "[E104]broken [R1][E32]broken"


def test_send_on_a_connection_that_broke_unnoticed_is_repeated_without_counting() -> None:
    connection = FakeConnection(raise_error(ErrorCode.EFAILEDSOCKET), nothing)
    call = start(connection)
    assert call.ends == []
    assert list(connection.pending) == [2]
    assert call.retried_count == 0


def test_overcrowded_send_is_not_retried() -> None:
    connection = FakeConnection(raise_error(ErrorCode.EOVERCROWDED))
    call = start(connection)
    (end,) = call.ends
    assert isinstance(end, OvercrowdedError)
    assert (connection.sent, connection.pending, connection.timeouts.calls) == (1, {}, [])


def test_refused_sends_use_up_the_budget() -> None:
    connection = FakeConnection(*[raise_error(ErrorCode.EFAILEDSOCKET)] * 99)
    call = start(connection)
    assert len(call.ends) == 1
    assert connection.sent == MAX_UNCOUNTED_SENDS + 4


def test_call_is_not_retried_after_the_deadline(clock: FakeClock) -> None:
    clock.now_s = 1000.0
    connection = FakeConnection()
    call = start(connection, timeout_s=5)
    clock.now_s = 1005.0
    connection.break_down()
    assert len(call.ends) == 1
    assert connection.sent == 1


def test_wire_timeout_of_a_retry_is_what_is_left(clock: FakeClock) -> None:
    clock.now_s = 1000.0
    connection = FakeConnection()
    call = start(connection, timeout_s=5)
    assert call.wire_timeout_ms() == 5000
    clock.now_s = 1003.0
    connection.break_down()
    assert call.wire_timeout_ms() == 2000
    clock.now_s = 1004.9999
    assert call.wire_timeout_ms() == 1


@pytest.mark.parametrize("name", ["may_retry", "delay_s"])
def test_policy_that_raises_fails_the_call(name: str) -> None:
    """And does not reach who told the call of the failure: the thread that reads for everybody."""
    reason = KeyError("table")

    def raise_it(self: RetryPolicy, *arguments: object) -> float:
        raise reason

    policy = type("Broken", (RetryPolicy,), {name: raise_it, "__slots__": ()})()
    connection = FakeConnection()
    call = start(connection, retry=policy)
    connection.break_down()
    (error,) = call.ends
    assert error.text == "[E1014]broken [and then the retry policy raised KeyError('table')]"
    assert error.code == ErrorCode.EEOF
    assert error.__cause__ is reason


@pytest.mark.parametrize("part", ["judge", "delay_s of a backoff"])
def test_function_of_a_policy_that_takes_other_arguments_fails_the_call_alone(part: str) -> None:
    """No frame of the function is in the traceback then."""
    odd: Any = type("OddJudge", (), {"__call__": lambda self: True})
    policy = RetryPolicy(judge=odd())
    if part != "judge":
        backoff = type("Odd", (Backoff,), {"delay_s": lambda self: 1.0, "__slots__": ()})()
        policy = RetryPolicy(backoff=backoff)
    connection = FakeConnection()
    call = start(connection, retry=policy)
    connection.break_down()
    (error,) = call.ends
    assert error.code == ErrorCode.EEOF
    assert type(error.__cause__) is TypeError


def test_what_strikes_a_policy_of_the_library_ends_the_call_and_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def struck(self: RetryPolicy, error: RpcError) -> bool:
        raise TimeoutError("set from outside")

    monkeypatch.setattr(RetryPolicy, "may_retry", struck)
    connection = FakeConnection()
    call = start(connection)
    with pytest.raises(TimeoutError, match="set from outside"):
        connection.break_down()
    assert len(call.ends) == 1


RUN_ONCE = RetryPolicy(may_have_run=False)
ALWAYS_ONCE = RetryPolicy(judge=lambda error: True, may_have_run=False)


@pytest.mark.parametrize("policy", [RUN_ONCE, ALWAYS_ONCE])
@pytest.mark.parametrize(
    ("progress", "sends"), [(Progress.QUEUED, 2), (Progress.SENT, 1), (Progress.WRITTEN, 1)]
)
def test_request_that_may_have_run_is_not_repeated_under_a_policy_that_forbids_it(
    policy: RetryPolicy, progress: Progress, sends: int
) -> None:
    connection = FakeConnection()
    call = start(connection, retry=policy)
    connection.requests[0].progress = progress
    connection.break_down()
    assert connection.sent == sends
    assert len(call.ends) == 2 - sends


def test_request_that_fails_in_the_queue_is_cancelled_before_it_counts_as_unsent() -> None:
    """So a writer that is just taking it up drops it, or makes its phase SENT."""
    connection = FakeConnection()
    start(connection, retry=RUN_ONCE)
    (request,) = connection.requests
    request.progress = Progress.QUEUED
    connection.break_down()
    assert request.is_canceled


@pytest.mark.parametrize("break_down", ["break_down", "answer_error"])
def test_idempotent_method_is_repeated_under_a_policy_that_forbids_to_run_twice(
    break_down: str,
) -> None:
    policy = RetryPolicy(may_have_run=False, codes=frozenset({ErrorCode.EEOF, ErrorCode.ELIMIT}))
    connection = FakeConnection()
    start(connection, retry=policy, method=IDEMPOTENT_ECHO)
    getattr(connection, break_down)(
        ErrorCode.ELIMIT if break_down == "answer_error" else ErrorCode.EEOF
    )
    assert connection.sent == 2


def test_answer_elogoff_is_repeated_under_a_policy_that_forbids_to_run_twice() -> None:
    connection = FakeConnection()
    start(connection, retry=RUN_ONCE)
    connection.retire = lambda: None  # type: ignore[attr-defined]
    connection.answer_error(ErrorCode.ELOGOFF)
    assert connection.sent == 2


@pytest.mark.parametrize("code", [ErrorCode.EEOF, ErrorCode.EHOSTDOWN])
def test_answer_with_the_code_of_a_connection_is_not_repeated(code: int) -> None:
    connection = FakeConnection()
    call = start(connection)
    connection.answer_error(code)
    assert (connection.sent, call.error and call.error.code) == (1, code)


@pytest.mark.parametrize(("method", "hedges"), [(ECHO, 0), (IDEMPOTENT_ECHO, 1)])
def test_request_that_must_not_run_twice_has_no_backup(method: Method, hedges: int) -> None:
    connection = FakeConnection()
    policy = BackupRequestPolicy(0.01)
    call = start(connection, retry=RUN_ONCE, backup=policy, method=method)
    assert (call.hedge is not None) == bool(hedges)
    assert len(connection.timeouts.entries) == 1 + hedges


@pytest.mark.parametrize(
    ("first", "second", "may_have_run"),
    [
        (Progress.QUEUED, Progress.QUEUED, False),
        (Progress.QUEUED, Progress.SENT, True),
        (Progress.WRITTEN, Progress.QUEUED, True),
    ],
)
@pytest.mark.parametrize("end", ["broken", "cancelled"])
def test_call_may_have_run_if_one_of_its_attempts_may(
    first: Progress, second: Progress, may_have_run: bool, end: str
) -> None:
    connection = FakeConnection()
    call = start(connection, max_retry=1)
    connection.requests[0].progress = first
    connection.break_down()
    connection.requests[1].progress = second
    if end == "broken":
        connection.break_down()
    else:
        assert call.abort(call.canceled_error())
    (error,) = call.ends
    assert error.may_have_run is may_have_run


FIELDS = RpcResponse(1, user_fields={"key": "value"})


def test_controller_gets_the_user_fields_of_the_response_that_failed_the_call() -> None:
    connection = FakeConnection()
    controller = Controller()
    call = start(connection, controller=controller)
    connection.answer_error(ErrorCode.EINTERNAL, response=FIELDS)
    assert isinstance(call.ends[0], RpcError)
    assert controller.response_user_fields == {"key": "value"}


@pytest.mark.parametrize("end", ["broken", "answered", "cancelled"])
def test_controller_gets_nothing_of_a_failed_response_after_which_the_call_was_retried(
    end: str,
) -> None:
    connection = FakeConnection()
    controller = Controller()
    policy = RetryPolicy(codes=frozenset({ErrorCode.EINTERNAL}))
    call = start(connection, controller=controller, retry=policy)
    connection.answer_error(ErrorCode.EINTERNAL, response=FIELDS)
    assert (connection.sent, call.ends) == (2, [])
    if end == "broken":
        connection.break_down()
    elif end == "answered":
        connection.answer()
    else:
        call.abort(call.canceled_error())
    assert len(call.ends) == 1
    assert controller.response_user_fields == {}


IN_A_PAUSE = RetryPolicy(backoff=Backoff(first_s=1, jitter=0))


def paused_call(connection: FakeConnection) -> FakeCall:
    call = start(connection, retry=IN_A_PAUSE)
    connection.break_down()
    return call


def test_retry_waits_as_long_as_the_policy_says(clock: FakeClock) -> None:
    connection = FakeConnection(clock=clock)
    call = paused_call(connection)
    connection.dispatcher.advance(0.99)
    assert (connection.sent, call.retried_count) == (1, 1)
    connection.dispatcher.advance(0.02)
    assert connection.sent == 2
    assert connection.answer() in call.ends


def test_call_does_not_pause_beyond_its_deadline(clock: FakeClock) -> None:
    connection = FakeConnection(clock=clock)
    clock.advance(0)
    call = paused_call(connection)
    connection.dispatcher.advance(1.01)
    clock.advance(3)
    connection.break_down()
    assert connection.sent == 3
    assert call.ends == []


def test_cancel_ends_a_pause_and_its_timer(clock: FakeClock) -> None:
    connection = FakeConnection(clock=clock)
    call = paused_call(connection)
    assert call.abort(call.canceled_error())
    (error,) = call.ends
    assert error.text.startswith("[E1014]broken [R1][E125]Canceled by the caller @10.0.0.1:8000")
    assert repr(connection.dispatcher).startswith("<StepDispatcher 0 posted")
    assert [timer.function for timer in connection.dispatcher._timers] == [None]
    connection.dispatcher.advance(2)
    assert (connection.sent, len(call.ends)) == (1, 1)


def test_pause_that_is_claimed_before_its_timer_is_set_leaves_no_timer(clock: FakeClock) -> None:
    connection = FakeConnection(clock=clock)
    call_at = connection.dispatcher.call_at

    def cancel_and_call_at(deadline: float, function: Continuation) -> StepTimer:
        assert call.abort(call.canceled_error())
        return call_at(deadline, function)

    connection.dispatcher.call_at = cancel_and_call_at  # type: ignore[method-assign]
    call = start(connection, retry=IN_A_PAUSE)
    connection.break_down()
    assert [timer.function for timer in connection.dispatcher._timers] == [None]
    assert len(call.ends) == 1


def test_timer_of_a_claimed_pause_does_nothing(clock: FakeClock) -> None:
    """It was just about to fire."""
    connection = FakeConnection(clock=clock)
    call = paused_call(connection)
    (timer,) = connection.dispatcher._timers
    fire = timer.function
    assert call.abort(call.canceled_error())
    assert fire is not None
    fire()
    assert (connection.sent, len(call.ends)) == (1, 1)


def test_call_that_would_pause_on_a_stopped_dispatcher_fails(clock: FakeClock) -> None:
    connection = FakeConnection(clock=clock)
    call = start(connection, retry=RetryPolicy(backoff=Backoff(first_s=1)))
    connection.dispatcher.close()
    connection.dispatcher.call_at = raise_closed  # type: ignore[method-assign]
    connection.break_down()
    (error,) = call.ends
    assert error.code == ErrorCode.EEOF


def raise_closed(*arguments: object) -> NoReturn:
    raise DispatcherClosedError("closed")
