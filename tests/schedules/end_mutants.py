"""Mutants of the ends of calls: each breaks one rule, and names the tests that must notice it.

A mutant changes the library in a process of its own, the children of its tests included: this
module is loaded there as a plugin of pytest, and applies the mutant that the environment names.
Of the plain Python only: classes that are compiled can't be changed.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any

from pybrpc.base import guard
from pybrpc.client.calls.attempt import Attempt, new_attempt
from pybrpc.client.calls.attempt_end import CanceledBy
from pybrpc.client.calls.call import Call
from pybrpc.client.calls.sync_calls import CallbackCall
from pybrpc.client.connections.connection import ClientConnection
from pybrpc.client.connections.rpc_connection import RpcConnection
from pybrpc.rpc.bounded_steps import BoundedSteps
from pybrpc.rpc.timeout_queue import TimeoutQueue
from pybrpc.server.calls.admission import Admission
from pybrpc.server.calls.call_end import CallEnd
from pybrpc.server.running.scheduler import Scheduler
from pybrpc.transport.dispatch.step_queue import StepQueue

VARIABLE = "PYBRPC_MUTANT"
"""The environment variable that names the mutant to apply."""


@dataclasses.dataclass(frozen=True, slots=True)
class Mutant:
    """`function` takes the place of the method `name` of `owner`; `tests` must fail then."""

    function: Callable[..., Any]
    owner: Any
    name: str
    tests: tuple[str, ...]

    def apply(self) -> None:
        if isinstance(self.owner, type):
            setattr(self.owner, self.name, self.function)
        else:
            # Other modules have imported the function itself.
            getattr(self.owner, self.name).__code__ = self.function.__code__


# Compiled classes have none of these of their own.
_plan_next_attempt: Any = getattr(Call, "_plan_next_attempt", None)
_run_callback: Any = getattr(CallbackCall, "run", None)
_note_end: Any = getattr(ClientConnection, "_note_end", None)
_expire: Any = getattr(TimeoutQueue, "_end", None)
_take: Any = getattr(Scheduler, "take", None)
_try_cancel: Any = getattr(Attempt, "try_cancel", None)
_report: Any = getattr(Attempt, "report", None)
_end: Any = getattr(CallEnd, "end", None)
_forget: Any = getattr(CallEnd, "_forget", None)


# --- an end is lost when user code raises ---


def loses_the_rest_of_a_step(queue: StepQueue) -> None:
    waiting = list(queue._waiting)
    queue._waiting.clear()
    for work in waiting:
        work.run()


def catches_exceptions_only(function: Callable[..., object], *arguments: Any, what: str) -> bool:
    try:
        function(*arguments)
    except Exception:
        return False
    return True


def logs_unguarded(
    log: Any, level: int, text: str, values: tuple[object, ...], error: BaseException | None
) -> None:
    log._logger.log(level, text, *values, exc_info=error)


def ends_no_call_whose_policy_raises(call: Any, error: Any, at_once: bool = True) -> bool:
    call.pause_s_after(error)
    planned: bool = _plan_next_attempt(call, error, at_once)
    return planned


def stops_at_the_first_that_raises(steps: Any) -> None:
    if steps._run_step():
        steps._is_posted()


def looks_for_an_abort_before_it_sends(call: Any, connection: Any) -> None:
    call.connection = connection
    attempt = call._place = new_attempt(call, connection)
    if call._abort_error is not None:
        call.check_abort()
    connection.send(attempt)


def moves_a_late_call_without_adding_it_first(queue: Any, call: Any) -> None:
    if call in queue._late:
        _expire(queue, call)
    elif call.deadline <= time.monotonic() and queue._calls.pop(call, call) is None:
        queue._late[call] = time.monotonic() + 1.0
        if call.expire():
            queue._late.pop(call, None)


# --- an end runs twice ---


def calls_back_twice(call: Any) -> None:
    done = call._done
    _run_callback(call)
    done(call.response, call.error)


def takes_an_attempt_twice(connection: Any, attempt: Attempt) -> bool:
    return attempt.correlation_id in connection._pending


def reports_an_attempt_twice(
    attempt: Any, code: int, canceled_by: CanceledBy | None = None
) -> None:
    listeners = attempt.listeners and list(attempt.listeners)
    _report(attempt, code, canceled_by)
    attempt.listeners = listeners


def takes_an_attempt_in_two_steps(connection: Any, attempt: Attempt) -> bool:
    is_mine = attempt.correlation_id in connection._pending
    connection._pending.pop(attempt.correlation_id, None)
    return is_mine


def reports_an_attempt_in_two_steps(
    attempt: Any, code: int, canceled_by: CanceledBy | None = None
) -> None:
    if attempt.listeners is not None:
        attempt.listeners = list(attempt.listeners)
        _report(attempt, code, canceled_by)


def fails_without_leaving_the_deadlines(call: Any, error: Any) -> None:
    if not call.is_over:
        call.error = error
        call._end()


def reports_no_cancelled_attempt(attempt: Any, canceled_by: CanceledBy) -> bool:
    attempt.listeners = None
    is_claimed: bool = _try_cancel(attempt, canceled_by)
    return is_claimed


# --- a hold is released twice ---


def releases_a_hold_twice(connection: Any, user: Any, is_clean: bool = True) -> None:
    connection._holds.pop(user, None)
    _note_end(connection, is_clean)


def releases_a_hold_in_two_steps(connection: Any, user: Any, is_clean: bool = True) -> None:
    is_held = user in connection._holds
    connection._holds.pop(user, None)
    if connection.socket.error is None:
        if not is_held:
            raise RuntimeError
        _note_end(connection, is_clean)


def holds_without_looking_for_a_failure(connection: Any, user: Any) -> None:
    connection._holds[user] = None


def closes_without_looking_again(connection: Any) -> None:
    if connection.is_retired:
        connection.socket.close()


def looks_before_it_retires(connection: Any) -> None:
    is_held = connection.is_held()
    connection.is_retired = True
    if not is_held:
        connection.socket.close()


def notes_each_end_twice(connection: Any, is_clean: bool) -> None:
    _note_end(connection, is_clean)
    _note_end(connection, is_clean)


def forgets_the_other_holds(connection: Any) -> bool:
    return len(connection._pending) > 0


# --- a call that waits on the server is lost, or runs twice ---


def unlists_a_queue_without_a_second_look(scheduler: Any, queue: Any) -> None:
    queue.is_listed.clear()


def lists_a_queue_before_its_calls_are_there(scheduler: Any, queue: Any, calls: Any) -> None:
    if queue.is_listed.try_set():
        scheduler._ready.append(queue)
    queue.calls.extend(calls)
    scheduler._waiting.increment_and_get(len(calls))


def unlists_a_queue_that_a_thread_has(scheduler: Any, queue: Any) -> None:
    scheduler._unlist(queue)


def takes_the_next_call_in_two_steps(scheduler: Any) -> Any:
    queue = scheduler._ready[0] if scheduler._ready else None
    call = queue.calls[0] if queue is not None and queue.calls else None
    _take(scheduler)
    return call


def never_ends_a_turn(scheduler: Any, queue: Any, call: Any) -> bool:
    return False


# --- a call leaves the accounts of the server twice, or never ---


def leaves_twice(admission: Admission, call: Any, now: float) -> bool:
    admission.running.discard(call)
    call.entry.running.discard(call)
    return True


def leaves_in_two_steps(admission: Admission, call: Any, now: float) -> bool:
    is_running = call in admission.running
    admission.running.discard(call)
    call.entry.running.discard(call)
    return is_running


def never_leaves_without_an_answer(end: Any, connection: Any, calls: Any, data: Any) -> None:
    if data is not None:
        _end(end, connection, calls, data)


def keeps_the_memory_of_failed_calls(end: Any, connection: Any, calls: Any) -> None:
    _forget(end, connection, [call for call in calls if not call.error_code])
    connection.calls.difference_update(calls)
    connection.on_calls_ended()


GUARD = "tests/unit/base/test_guard.py"
POLICIES = "tests/cases/test_calls_end_when_policies_raise.py"
WITH_CALLBACK = "tests/unit/client/calls/test_sync_calls_callback.py"
ATTEMPTS = "tests/integration/test_attempt_ends.py"
CONNECTION = "tests/unit/client/connections/test_rpc_connection.py"
HOLDS = "tests/unit/client/endpoints/test_holds.py"
CALL_END = "tests/unit/server/calls/test_call_end.py"
HOLD_SCHEDULES = "tests/unit/client/connections/test_hold_schedules.py"
CALL_SCHEDULES = "tests/unit/client/calls/test_call_end_schedules.py -k three"
SCHEDULER = "tests/unit/server/running/test_scheduler_schedules.py"
RESET = "tests/cases/test_server_memory_is_bounded.py -k reset"
STEPS = "tests/unit/transport/dispatch/test_step_queue.py"


def _mutant(function: Callable[..., Any], owner: Any, name: str, *tests: str) -> Mutant:
    return Mutant(function, owner, name, tests)


MUTANTS = {
    mutant.function.__name__: mutant
    for mutant in (
        _mutant(loses_the_rest_of_a_step, StepQueue, "run_step", STEPS),
        _mutant(catches_exceptions_only, guard, "run_guarded", GUARD),
        _mutant(logs_unguarded, guard.Log, "_log", GUARD),
        _mutant(ends_no_call_whose_policy_raises, Call, "_plan_next_attempt", POLICIES),
        _mutant(stops_at_the_first_that_raises, BoundedSteps, "run", HOLDS),
        _mutant(looks_for_an_abort_before_it_sends, Call, "_send", CALL_SCHEDULES),
        _mutant(moves_a_late_call_without_adding_it_first, TimeoutQueue, "_end", CALL_SCHEDULES),
        _mutant(takes_an_attempt_in_two_steps, RpcConnection, "_take", CALL_SCHEDULES),
        _mutant(reports_an_attempt_in_two_steps, Attempt, "report", CALL_SCHEDULES),
        _mutant(fails_without_leaving_the_deadlines, Call, "_fail", CALL_SCHEDULES),
        _mutant(calls_back_twice, CallbackCall, "run", WITH_CALLBACK),
        _mutant(takes_an_attempt_twice, RpcConnection, "_take", ATTEMPTS),
        _mutant(reports_an_attempt_twice, Attempt, "report", f"{ATTEMPTS} -k as_many"),
        _mutant(reports_no_cancelled_attempt, Attempt, "try_cancel", f"{ATTEMPTS} -k deadline"),
        _mutant(releases_a_hold_twice, ClientConnection, "release_hold", HOLDS),
        _mutant(releases_a_hold_in_two_steps, ClientConnection, "release_hold", HOLD_SCHEDULES),
        _mutant(holds_without_looking_for_a_failure, ClientConnection, "hold", HOLD_SCHEDULES),
        _mutant(closes_without_looking_again, ClientConnection, "_close_if_done", HOLD_SCHEDULES),
        _mutant(looks_before_it_retires, ClientConnection, "retire", HOLD_SCHEDULES),
        _mutant(notes_each_end_twice, ClientConnection, "_note_end", CONNECTION),
        _mutant(forgets_the_other_holds, RpcConnection, "is_held", CONNECTION),
        _mutant(unlists_a_queue_without_a_second_look, Scheduler, "_unlist", SCHEDULER),
        _mutant(lists_a_queue_before_its_calls_are_there, Scheduler, "put", SCHEDULER),
        _mutant(unlists_a_queue_that_a_thread_has, Scheduler, "_forget", f"{SCHEDULER} -k remove"),
        _mutant(takes_the_next_call_in_two_steps, Scheduler, "take", SCHEDULER),
        _mutant(never_ends_a_turn, Scheduler, "_ends_turn", SCHEDULER),
        _mutant(leaves_twice, Admission, "leave", CALL_END),
        _mutant(leaves_in_two_steps, Admission, "leave", CALL_END),
        _mutant(never_leaves_without_an_answer, CallEnd, "end", RESET),
        _mutant(keeps_the_memory_of_failed_calls, CallEnd, "_forget", CALL_END),
    )
}


def apply_mutant_of_environment() -> None:
    """Break this process as `VARIABLE` says, if it is set."""
    name = os.environ.get(VARIABLE)
    if name:
        MUTANTS[name].apply()


apply_mutant_of_environment()
