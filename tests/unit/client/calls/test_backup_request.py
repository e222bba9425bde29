"""Calls with a backup request: exactly one end, and nothing left, in whatever order things happen.

The schedules run the real Call and Hedge in threads that are stopped before every access to what
they share: every schedule that stops one of them in favour of another once.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.base.backoff import Backoff
from pybrpc.client.calls import backup_request as hedge_module
from pybrpc.client.calls import call as call_module
from pybrpc.client.calls.attempt import Attempt
from pybrpc.client.calls.backup_policy import BackupRequestPolicy
from pybrpc.client.calls.backup_request import Hedge
from pybrpc.client.calls.call import Call
from pybrpc.client.calls.retry import RetryPolicy
from pybrpc.errors import ErrorCode, RpcCanceledError, RpcError, RpcTimeoutError
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.controller import Controller
from pybrpc.testing.step_scheduler import StepScheduler, explore
from pybrpc.transport.writing.write_request import Progress
from tests.fakes.connections import (
    FakeCall,
    FakeConnection,
    make_call,
    nothing,
    raise_error,
    start,
)
from tests.fakes.threads import in_threads
from tests.schedules.traced import TracedCounter, TracedSlot

AT_ONCE = {"backup": BackupRequestPolicy(0.01, max_ratio=1)}


def hedged(connection: FakeConnection, **options: Any) -> FakeCall:
    return start(connection, **(AT_ONCE | options))


def send_backup(call: FakeCall) -> None:
    """The timer."""
    assert call.hedge is not None
    call.hedge.expire()


def assert_over(call: FakeCall, connection: FakeConnection) -> None:
    assert len(call.ends) == 1
    assert connection.pending == {}
    assert connection.timeouts.entries == []


# --- one thing after another ---


@pytest.mark.parametrize("number", [1, 2])
def test_first_response_wins_and_the_other_request_is_cancelled(number: int) -> None:
    connection, controller = FakeConnection(), Controller()
    call = hedged(connection, controller=controller)
    send_backup(call)
    assert sorted(connection.pending) == [1, 2]
    response = connection.answer(number=number)
    assert call.ends == [response]
    assert_over(call, connection)
    assert [request.is_canceled for request in connection.requests] == [number == 2, number == 1]
    assert (controller.has_backup_request, controller.retried_count) == (True, 1)


def test_fast_answer_needs_no_backup() -> None:
    connection, controller = FakeConnection(), Controller()
    call = hedged(connection, controller=controller)
    hedge = call.hedge
    assert connection.timeouts.entries == [call, hedge]
    connection.answer()
    assert_over(call, connection)
    assert hedge is not None
    hedge.expire()
    assert connection.sent == 1
    assert (controller.has_backup_request, controller.retried_count) == (False, 0)


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("end", ["break_down", "answer_error"])
def test_failure_of_one_request_does_not_fail_the_call(first: int, end: str) -> None:
    """A connection that broke, or an error that the server said."""
    connection = FakeConnection()
    call = hedged(connection)
    send_backup(call)
    getattr(connection, end)(ErrorCode.EINTERNAL, number=first)
    assert call.ends == []
    response = connection.answer(number=3 - first)
    assert call.ends == [response]
    assert_over(call, connection)


def test_failure_of_both_requests_fails_the_call() -> None:
    connection, controller = FakeConnection(), Controller()
    call = hedged(connection, controller=controller)
    send_backup(call)
    connection.answer_error(ErrorCode.EINTERNAL, number=2)
    connection.break_down(ErrorCode.ERESPONSE, number=1)
    (error,) = call.ends
    assert error.code == ErrorCode.ERESPONSE
    assert error.text == controller.error_text == "[E2001]no [E2002]broken"
    assert (controller.has_backup_request, controller.retried_count) == (True, 1)
    assert_over(call, connection)


def test_backup_that_is_refused_does_not_fail_the_call() -> None:
    connection = FakeConnection(nothing, raise_error(ErrorCode.EOVERCROWDED))
    call = hedged(connection)
    send_backup(call)
    assert (call.ends, connection.given_back) == ([], 1)
    assert connection.answer(number=1) in call.ends
    assert_over(call, connection)


@pytest.mark.parametrize("max_retry", [0, 1, 2, 3])
def test_backup_uses_up_one_retry(max_retry: int) -> None:
    """With max_retry=0 nothing is ever sent twice."""
    connection = FakeConnection()
    call = hedged(connection, max_retry=max_retry)
    send_backup(call)
    assert connection.sent == min(2, max_retry + 1)
    while not call.ends:
        connection.break_down()
    assert connection.sent == max_retry + 1
    assert_over(call, connection)


def test_only_one_backup_is_sent() -> None:
    connection = FakeConnection()
    call = hedged(connection)
    send_backup(call)
    send_backup(call)
    connection.break_down(number=1)
    send_backup(call)
    assert connection.sent == 2
    connection.break_down(number=2)
    send_backup(call)
    assert connection.sent == 3
    connection.answer()
    assert_over(call, connection)


def test_retry_is_hedged_if_the_first_request_was_not() -> None:
    connection = FakeConnection()
    call = hedged(connection)
    connection.break_down()
    assert connection.timeouts.entries == [call, call.hedge]
    send_backup(call)
    assert sorted(connection.pending) == [2, 3]
    connection.answer(number=2)
    assert_over(call, connection)


def test_no_backup_while_the_call_pauses() -> None:
    connection = FakeConnection()
    call = hedged(connection, retry=RetryPolicy(backoff=Backoff(first_s=1.0)))
    connection.break_down()
    send_backup(call)
    assert (connection.sent, connection.pending) == (1, {})
    connection.dispatcher.clock.now_s = float("inf")
    connection.dispatcher.run_until_idle()
    assert sorted(connection.pending) == [2]
    connection.answer()
    assert_over(call, connection)


@pytest.mark.parametrize("has_backup", [False, True])
@pytest.mark.parametrize(
    ("how", "kind"), [("cancel", RpcCanceledError), ("expire", RpcTimeoutError)]
)
def test_abort_drops_both_requests(has_backup: bool, how: str, kind: type[RpcError]) -> None:
    connection = FakeConnection()
    call = hedged(connection)
    if has_backup:
        send_backup(call)
    if how == "cancel":
        assert call.abort(call.canceled_error())
    else:
        call.expire()
    (error,) = call.ends
    assert type(error) is kind
    assert_over(call, connection)
    assert all(request.is_canceled for request in connection.requests)
    assert not call.abort(call.canceled_error())
    assert len(call.ends) == 1


@pytest.mark.parametrize("end", ["abort", "first fails last", "backup fails last"])
@pytest.mark.parametrize("sent", [(), (1,), (2,), (1, 2)])
def test_call_may_have_run_if_one_of_its_requests_may(end: str, sent: tuple[int, ...]) -> None:
    connection = FakeConnection()
    call = hedged(connection, max_retry=1)
    send_backup(call)
    for number, request in enumerate(connection.requests, 1):
        request.progress = Progress.WRITTEN if number in sent else Progress.QUEUED
    if end == "abort":
        assert call.abort(call.canceled_error())
    else:
        for number in (2, 1) if end == "first fails last" else (1, 2):
            connection.break_down(number=number)
    (error,) = call.ends
    assert error.may_have_run is bool(sent)


def test_call_that_was_lost_with_its_backup_may_have_run() -> None:
    connection = FakeConnection()
    call = hedged(connection)
    send_backup(call)
    connection.requests[0].progress = Progress.QUEUED
    connection.pending.clear()
    call.give_up()
    (error,) = call.ends
    assert isinstance(error, RpcTimeoutError)
    assert error.may_have_run


def test_backup_is_not_sent_if_the_policy_forbids_it() -> None:
    """bRPC: backup_request_policy."""

    class Never(BackupRequestPolicy):
        def may_send(self) -> bool:
            return False

    connection = FakeConnection()
    call = hedged(connection, backup=Never(0.01))
    send_backup(call)
    assert connection.sent == 1
    connection.answer()
    assert_over(call, connection)


def test_backup_is_not_sent_if_the_policy_raises(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(BackupRequestPolicy):
        def may_send(self) -> bool:
            raise KeyError("table")

    connection = FakeConnection()
    call = hedged(connection, backup=Broken(0.01))
    send_backup(call)
    assert connection.sent == 1
    assert "KeyError: 'table'" in caplog.text
    connection.answer()
    assert_over(call, connection)


@pytest.mark.parametrize("name", ["may_send", "note_call", "note_backup"])
@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, KeyboardInterrupt, MemoryError])
def test_call_is_answered_whatever_its_backup_policy_raises(
    name: str, kind: type[BaseException]
) -> None:
    def raise_it(self: BackupRequestPolicy) -> bool:
        raise kind

    policy = type("Broken", (BackupRequestPolicy,), {name: raise_it})(0.01)

    def run(index: int) -> None:
        connection = FakeConnection()
        call = hedged(connection, backup=policy)
        send_backup(call)
        connection.answer(number=1)
        assert_over(call, connection)
        assert call.error is None

    # Not in the main thread, which would get the KeyboardInterrupt.
    in_threads(1, run)


def test_connection_for_a_backup_that_comes_too_late_is_released() -> None:
    """The answer comes while the timer looks for one."""

    def connection_for_backup(call: FakeCall, used: FakeConnection) -> FakeConnection:
        connection.answer()
        return connection

    connection = FakeConnection()
    connection.connection_for_backup = connection_for_backup  # type: ignore[method-assign]
    call = hedged(connection)
    send_backup(call)
    assert (connection.sent, connection.given_back) == (1, 1)
    assert_over(call, connection)


def test_backup_is_not_sent_without_a_connection_for_it() -> None:
    connection = FakeConnection()
    connection.connection_for_backup = lambda call, used: None  # type: ignore[method-assign]
    call = hedged(connection)
    send_backup(call)
    assert connection.sent == 1
    connection.answer()
    assert_over(call, connection)


@pytest.mark.parametrize("max_retry", [0, 1])
def test_backup_carries_the_rest_of_the_timeout(max_retry: int) -> None:
    connection = FakeConnection()
    call = hedged(connection, max_retry=max_retry)
    call.deadline -= 3
    assert (call.wire_timeout_ms() or 0) <= 2000


# --- all at once ---


class TracedConnection(FakeConnection):
    def __init__(self, scheduler: StepScheduler, refused: int, queued: tuple[int, ...]) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._refused = refused
        self._queued = queued
        self.accepted = self.left = 0

    def send(self, attempt: Attempt) -> None:
        self._scheduler.point("before it is pending")
        if self.sent + 1 == self._refused:
            self._on_send = (*[nothing] * self.sent, raise_error(ErrorCode.EFAILEDSOCKET))
        super().send(attempt)
        self.accepted += 1
        if self.sent in self._queued:
            self.requests[-1].progress = Progress.QUEUED
        else:
            self.left += 1
        self._scheduler.point("pending")

    def take_number(self, number: int) -> Attempt | None:
        self._scheduler.point(f"take {number}")
        return super().take_number(number)


Event = Callable[[FakeCall, TracedConnection], object]

EVENTS: dict[str, Event] = {
    "timer": lambda call, connection: send_backup(call),
    "answer 1": lambda call, connection: connection.answer(RpcResponse(1), 1),
    "answer 2": lambda call, connection: connection.answer(RpcResponse(2), 2),
    "break 1": lambda call, connection: connection.break_down(number=1),
    "break 2": lambda call, connection: connection.break_down(number=2),
    "error 2": lambda call, connection: connection.answer_error(ErrorCode.EINTERNAL, 2),
    "cancel": lambda call, connection: call.abort(call.canceled_error()),
    "deadline": lambda call, connection: call.expire(),
    "pause over": lambda call, connection: end_pauses(connection),
}


def end_pauses(connection: FakeConnection) -> None:
    connection.dispatcher.clock.now_s = float("inf")
    for timer in list(connection.dispatcher._timers):
        function, timer.function = timer.function, None
        if function is not None:
            function()


@dataclasses.dataclass(frozen=True)
class Course:
    """Events that happened before, and events that happen at once."""

    events: tuple[str, ...]
    begun: tuple[str, ...] = ()
    max_retry: int = 3
    pauses: bool = False
    refused: int = 0
    queued: tuple[int, ...] = ()
    """The numbers of the requests that never leave."""

    def run(self, scheduler: StepScheduler) -> None:
        retry = RetryPolicy(backoff=Backoff(first_s=1.0) if self.pauses else None)
        connection = TracedConnection(scheduler, self.refused, self.queued)
        traced_call = type(
            "TracedCall",
            (FakeCall,),
            {
                name: TracedSlot(scheduler, Call.__dict__[name], name)
                for name in ("_place", "_abort_error")
            },
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                hedge_module, "atomic_counter", lambda: TracedCounter(scheduler, is_signed=True)
            )
            names = ("_is_armed", "_call", "backup", "has_backup", "may_have_run")
            patched = {name: TracedSlot(scheduler, Hedge.__dict__[name], name) for name in names}
            patch.setattr(call_module, "Hedge", type("TracedHedge", (Hedge,), patched))
            call = make_call(
                connection,
                1e6,
                kind=traced_call,
                max_retry=self.max_retry,
                retry=retry,
                **AT_ONCE,
            )
            call.start()
            for name in self.begun:
                EVENTS[name](call, connection)
            scheduler.run(
                *[
                    lambda event=EVENTS[name]: event(call, connection)  # type: ignore[misc]
                    for name in self.events
                ]
            )
            assert len(call.ends) <= 1, call.ends
            self._finish(call, connection)

    def _finish(self, call: FakeCall, connection: TracedConnection) -> None:
        """The server answers what is left; then all must be over."""
        if {"cancel", "deadline"} & {*self.events} and not call.ends:
            raise AssertionError("aborted, and not over")
        end_pauses(connection)
        while connection.pending and not call.ends:
            connection.answer()
        assert_over(call, connection)
        (end,) = call.ends
        assert not isinstance(end, RpcError) or end.may_have_run is (connection.left > 0)
        assert connection.accepted <= self.max_retry + 1
        end_pauses(connection)
        assert connection.pending == {}


SETTINGS = {
    "fresh": Course(()),
    "fresh, pauses": Course((), pauses=True),
    "with a backup": Course((), ("timer",)),
    "with a backup, pauses": Course((), ("timer",), pauses=True),
    "with a backup, no budget": Course((), ("timer",), max_retry=1),
    "retried": Course((), ("break 1",)),
    "pausing": Course((), ("break 1",), pauses=True),
    "backup alone": Course((), ("timer", "break 1"), pauses=True),
    "backup lost": Course((), ("timer", "break 2")),
    "second request refused": Course((), refused=2),
    "second request refused, small budget": Course((), refused=2, max_retry=1),
    "third request refused": Course((), ("break 1",), refused=3),
}
TRIPLES = [
    ("timer", "break 1", "answer 2"),
    ("timer", "break 1", "break 2"),
    ("timer", "break 1", "cancel"),
    ("timer", "answer 1", "cancel"),
    ("timer", "answer 1", "answer 2"),
    ("break 1", "error 2", "deadline"),
    ("break 1", "pause over", "cancel"),
    ("cancel", "deadline", "answer 1"),
]


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_two_events_at_once_end_a_call_once_and_leave_nothing(setting: Course) -> None:
    for pair in itertools.combinations(EVENTS, 2):
        explore(dataclasses.replace(setting, events=pair).run, max_preemptions=1)


@pytest.mark.parametrize("triple", TRIPLES, ids=", ".join)
def test_three_events_at_once_end_a_call_once_and_leave_nothing(triple: tuple[str, ...]) -> None:
    for begun in ((), ("timer",)):
        course = Course(triple, begun, pauses="pause over" in triple)
        assert explore(course.run, max_preemptions=1) > 10


@pytest.mark.parametrize("queued", [(1,), (2,), (1, 2)])
@pytest.mark.parametrize("other", ["break 2", "cancel", "deadline"])
def test_two_ends_at_once_know_whether_one_of_the_requests_has_left(
    queued: tuple[int, ...], other: str
) -> None:
    """Whichever of the two threads ends the call."""
    course = Course(("break 1", other), ("timer",), max_retry=1, queued=queued)
    assert explore(course.run, max_preemptions=2) > 10
