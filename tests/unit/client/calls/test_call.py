"""Call against a connection that the test plays: who ends a call, and with what."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import NoReturn

import pytest

from pybrpc.base.backoff import Backoff
from pybrpc.client.calls.attempt import Attempt
from pybrpc.client.calls.backup_policy import BackupRequestPolicy
from pybrpc.client.calls.call import MAX_UNCOUNTED_SENDS
from pybrpc.client.calls.retry import RetryPause, RetryPolicy
from pybrpc.errors import (
    BadResponseError,
    ConnectionFailedError,
    ErrorCode,
    OvercrowdedError,
    Phase,
    RpcCanceledError,
    RpcError,
    RpcTimeoutError,
    make_rpc_error,
)
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.controller import Controller
from pybrpc.testing.step_dispatcher import FakeClock
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from pybrpc.transport.writing.write_request import Progress
from tests.fakes.clocks import use_clock
from tests.fakes.connections import (
    FakeCall,
    FakeConnection,
    OnSend,
    make_call,
    nothing,
    raise_error,
    start,
)
from tests.protos import conformance_pb2 as pb


def cancel(connection: FakeConnection, attempt: Attempt) -> None:
    assert not attempt.call.abort(attempt.call.canceled_error())


def expire(connection: FakeConnection, attempt: Attempt) -> None:
    attempt.call.expire()


def test_answer_ends_the_call() -> None:
    connection = FakeConnection()
    call = start(connection)
    response = RpcResponse(1, body=pb.EchoResponse(message="y").SerializeToString())
    connection.answer(response)
    assert call.ends == [response]
    assert call.message() == pb.EchoResponse(message="y")
    assert connection.timeouts.calls == []


@pytest.mark.parametrize(
    ("on_send", "kind"), [(cancel, RpcCanceledError), (expire, RpcTimeoutError)]
)
@pytest.mark.parametrize("earlier", [0, 1, 2])
def test_abort_between_two_attempts_ends_the_call(
    on_send: OnSend, kind: type[RpcError], earlier: int
) -> None:
    """It comes while the attempt is not pending yet: nobody can take it out."""
    connection = FakeConnection(*[nothing] * earlier, on_send)
    call = start(connection)
    for _ in range(earlier):
        connection.break_down()
    (end,) = call.ends
    assert type(end) is kind
    assert connection.pending == {}
    assert connection.timeouts.calls == []
    assert connection.sent == earlier + 1


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


def test_abort_after_the_end_changes_nothing() -> None:
    connection = FakeConnection()
    call = start(connection)
    connection.answer(RpcResponse(1))
    assert not call.abort(call.canceled_error())
    call.expire()
    assert len(call.ends) == 1
    assert call.error is None


@pytest.mark.parametrize(
    ("is_connected", "progress", "phase"),
    [
        (False, Progress.QUEUED, Phase.CONNECT),
        (True, Progress.QUEUED, Phase.QUEUED),
        (True, Progress.SENT, Phase.SENT),
        (True, Progress.WRITTEN, Phase.WAITING),
    ],
)
@pytest.mark.parametrize("end", ["expire", "break_down"])
def test_phase_says_how_far_the_call_had_come(
    is_connected: bool, progress: Progress, phase: Phase, end: str
) -> None:
    connection = FakeConnection()
    call = start(connection, max_retry=0)
    connection.socket.is_connected = is_connected
    call._place.write_request.progress = progress  # type: ignore[union-attr]
    if end == "expire":
        call.expire()
    else:
        connection.break_down()
    (error,) = call.ends
    assert (error.phase, error.peer) == (phase, "10.0.0.1:8000")


def test_phase_of_an_aborted_call_is_that_in_which_it_was_claimed() -> None:
    """It is written while its deadline ends it: a caller that reads "queued" may repeat it."""
    connection = FakeConnection()
    call = start(connection)
    connection.requests[0].progress = Progress.QUEUED
    take = connection.take

    def write_and_take(attempt: Attempt) -> bool:
        connection.requests[0].progress = Progress.SENT
        return take(attempt)

    connection.take = write_and_take  # type: ignore[method-assign]
    call.expire()
    (error,) = call.ends
    assert error.phase is Phase.SENT


def test_phase_of_a_send_on_a_connection_that_had_failed_already() -> None:
    """Not that in which the connection failed: of this call nothing had left."""

    def refuse(connection: FakeConnection, attempt: Attempt) -> None:
        attempt.write_request.progress = Progress.QUEUED  # type: ignore[union-attr]
        raise make_rpc_error(ErrorCode.EEOF, "refused", phase=Phase.WAITING)

    call = start(FakeConnection(*[refuse] * 99), max_retry=0)
    (error,) = call.ends
    assert error.phase is Phase.QUEUED


def test_repr() -> None:
    connection = FakeConnection()
    call = start(connection)
    assert repr(call) == "<FakeCall conformance.EchoService.Echo in flight>"
    call.expire()
    assert repr(call) == "<FakeCall conformance.EchoService.Echo failed>"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    use_clock(monkeypatch, clock)
    return clock


@pytest.fixture
def no_gc() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("end", ["answer", "break_down"])
@pytest.mark.parametrize("backup", [None, BackupRequestPolicy(0.01)])
def test_ended_call_is_freed_without_the_garbage_collector(
    end: str, backup: BackupRequestPolicy | None
) -> None:
    connection = FakeConnection()
    call = weakref.ref(start(connection, max_retry=0, backup=backup))
    getattr(connection, end)()
    assert call() is None


@pytest.mark.parametrize("code", [ErrorCode.EFAILEDSOCKET, ErrorCode.EOVERCROWDED])
def test_connection_that_refuses_an_attempt_is_released(code: int) -> None:
    connection = FakeConnection(raise_error(code), nothing)
    start(connection)
    assert connection.given_back == 1


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


@pytest.mark.parametrize("code", [ErrorCode.EEOF, ErrorCode.EINTERNAL])
def test_call_that_is_cancelled_while_its_attempt_fails_is_cancelled(code: int) -> None:
    """The failure has taken the attempt out already, so it must do what was asked for."""
    connection = FakeConnection()
    call = start(connection)
    attempt = connection.take_number(1)
    assert attempt is not None
    assert not call.abort(call.canceled_error())
    call.on_attempt_failed(attempt, make_rpc_error(code, "broken", phase=Phase.WAITING))
    (error,) = call.ends
    assert type(error) is RpcCanceledError
    assert connection.sent == 1


def paused_call(connection: FakeConnection) -> FakeCall:
    call = start(connection, retry=RetryPolicy(backoff=Backoff(first_s=1, jitter=0)))
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
    call = start(connection)
    pause = RetryPause(call.on_pause_over)
    assert pause.try_claim()
    pause.begin(connection.dispatcher, 1)
    assert [timer.function for timer in connection.dispatcher._timers] == [None]


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


# --- interrupted ---


class Interrupted(FakeConnection):
    """A signal handler raises while a request is sent; the write right may be lost with it."""

    def __init__(self, *, before: bool) -> None:
        def on_send(connection: FakeConnection, attempt: Attempt) -> None:
            if before:
                raise KeyboardInterrupt

        super().__init__(on_send)
        self.before = before
        self.taken_back: list[FakeCall] = []
        self.failures: list[RpcError] = []
        self.socket.fail = self.failures.append  # type: ignore[attr-defined]

    def send(self, attempt: Attempt) -> None:
        super().send(attempt)
        raise KeyboardInterrupt

    def reclaim(self, call: FakeCall) -> None:
        self.taken_back.append(call)


@pytest.mark.parametrize("before", [True, False])
def test_call_that_is_interrupted_while_it_is_sent_is_cancelled_and_its_connection_closed(
    before: bool,
) -> None:
    connection = Interrupted(before=before)
    call = make_call(connection)
    with pytest.raises(KeyboardInterrupt):
        call.start()
    assert connection.taken_back == [call]
    (failure,) = connection.failures
    assert failure.code == ErrorCode.EFAILEDSOCKET
    assert failure.text.startswith("Interrupted by a signal handler that raised, while calling 10.")
    assert connection.pending == {}
    if not before:
        assert isinstance(call.error, RpcCanceledError)


def test_call_with_a_timeout_of_zero_ends_at_once() -> None:
    connection = FakeConnection()
    call = start(connection, 0)
    assert isinstance(call.error, RpcTimeoutError)
    assert connection.sent == 0


def test_bad_response_fails_the_call_with_the_address_of_its_peer() -> None:
    connection = FakeConnection()
    call = start(connection, max_retry=0)
    attempt = connection.take_number(1)
    assert attempt is not None
    call.on_bad_response(attempt, "it is odd")
    assert isinstance(call.error, BadResponseError)
    assert (call.error.text, call.error.peer) == ("[E2002]it is odd", "10.0.0.1:8000")
