"""PooledConnections: who gets which connection, step by step and under many schedules."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from pybrpc.client.calls.call import Call
from pybrpc.client.endpoints.pooled_connections import PooledConnections
from pybrpc.client.endpoints.settings import SourceSettings
from pybrpc.errors import ErrorCode
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.testing.step_scheduler import (
    ScheduleFailure,
    StepScheduler,
    explore,
    explore_randomly,
)
from tests.fakes.sources import FakeClientConnection, SourceHarness
from tests.schedules.traced import TracedDict


def make_pool(step: StepDispatcher, size: int = 2) -> SourceHarness:
    settings = SourceSettings("pooled", max_pool_size=size, dial_backoff=None)
    return SourceHarness(PooledConnections, settings, step)


def idle_lines(pool: SourceHarness, count: int) -> list[FakeClientConnection]:
    """`count` established, idle connections."""
    calls = [pool.start() for _ in range(count)]
    lines = list(pool.made)
    for line in lines:
        line.stand()
        pool.turn(line.answer)
    assert all(call.ends for call in calls)
    return lines


def test_pool_reuses_the_most_recent_connection(step: StepDispatcher) -> None:
    pool = make_pool(step, 3)
    first, second, third = idle_lines(pool, 3)
    pool.start()
    assert [line.in_flight for line in (first, second, third)] == [0, 0, 1]


def test_calls_beyond_the_limit_get_released_connections_in_their_order(
    step: StepDispatcher,
) -> None:
    pool = make_pool(step, 1)
    calls = [pool.start() for _ in range(3)]
    (line,) = pool.made
    line.stand()
    assert pool.counts() == (1, 0, 1, 2)
    for number in range(3):
        assert [bool(call.ends) for call in calls].count(True) == number
        assert not calls[number].ends
        pool.turn(line.answer)
    assert all(call.ends for call in calls)
    assert pool.counts() == (1, 0, 0, 0)


def test_new_call_does_not_overtake_waiting_calls(step: StepDispatcher) -> None:
    pool = make_pool(step, 1)
    first, waiting = pool.start(), pool.start()
    (line,) = pool.made
    line.stand()
    line.answer()  # not in a turn: who waits is served in the next one
    newcomer = pool.start()
    step.run_until_idle()
    assert first.ends
    assert [attempt.call for attempt in line.attempts] == [waiting]
    pool.turn(line.answer)
    assert [attempt.call for attempt in line.attempts] == [newcomer]


def test_connection_with_an_outstanding_response_is_closed(step: StepDispatcher) -> None:
    pool = make_pool(step, 1)
    call, waiting = pool.start(), pool.start()
    pool.made[0].stand()
    call.abort(call.canceled_error())
    step.run_until_idle()
    assert pool.made[0].socket.error is not None
    assert [attempt.call for attempt in pool.made[1].attempts] == [waiting]
    assert pool.counts() == (2, 1, 1, 0)


def test_connection_that_is_still_connecting_is_reused(step: StepDispatcher) -> None:
    pool = make_pool(step, 1)
    call = pool.start()
    call.abort(call.canceled_error())
    pool.start()
    assert pool.counts() == (1, 0, 1, 0)


def test_retry_gets_a_new_connection(step: StepDispatcher) -> None:
    """A server that stops has met all of them: one retry must be enough."""
    pool = make_pool(step, 8)
    idle_lines(pool, 5)
    call = pool.start(max_retry=1)
    pool.turn(pool.made[4].log_off_caller)
    assert [attempt.call for attempt in pool.made[5].attempts] == [call]
    assert [line.socket.error is None for line in pool.made] == [True] * 4 + [False, True]


def test_retry_closes_an_idle_connection_if_the_pool_is_full(step: StepDispatcher) -> None:
    pool = make_pool(step, 3)
    idle_lines(pool, 3)
    call = pool.start(max_retry=1)
    pool.source.make_for(pool.source)  # somebody takes the room that the broken one leaves
    pool.turn(lambda: pool.made[2].fail(ErrorCode.EEOF))
    assert [attempt.call for attempt in pool.made[4].attempts] == [call]
    assert [line.socket.error is None for line in pool.made] == [False, True, False, True, True]


def test_close_fails_waiting_calls(step: StepDispatcher) -> None:
    pool = make_pool(step, 1)
    calls = [pool.start(max_retry=0) for _ in range(3)]
    pool.source.release()
    step.run_until_idle()
    assert [call.ends[0].code for call in calls] == [ErrorCode.ECLOSE] * 3
    assert pool.counts() == (1, 1, 0, 0)
    late = pool.start(max_retry=0)
    assert late.ends[0].code == ErrorCode.ECLOSE


def test_retired_connection_is_closed_and_not_used_again(step: StepDispatcher) -> None:
    pool = make_pool(step)
    old, young = idle_lines(pool, 2)
    pool.source.retire(young)
    assert young.socket.error is not None
    pool.start()
    assert old.in_flight == 1
    pool.source.retire(old)
    assert old.socket.error is None, "a call has it"


def test_forked_child_has_an_empty_pool(step: StepDispatcher) -> None:
    pool = make_pool(step, 1)
    pool.start()
    pool.start()
    pool.source.after_fork()
    call = pool.start()
    assert [attempt.call for attempt in pool.made[1].attempts] == [call]


# --- schedules ---


class ForgetsNested(PooledConnections):
    """A mutant: what is freed inside a serving, after its last look, wakes nobody."""

    def _serve(self) -> None:
        if not self._is_serving:
            super()._serve()


class ForgetsToLook(PooledConnections):
    """A mutant: who has queued does not look whether a connection was freed meanwhile."""

    def _can_serve(self) -> bool:
        return False


def instrument(pool: SourceHarness, scheduler: StepScheduler) -> None:
    source: Any = pool.source
    source._waiting.entries = TracedDict(scheduler, "waiting")
    source.pool.idle = TracedDict(scheduler, "idle")


def impatient_caller(kind: type[PooledConnections], scheduler: StepScheduler) -> None:
    """One gives up waiting and calls again, while the only connection is being freed."""
    pool = make_pool(StepDispatcher(), 1)
    pool.source = kind(pool.maker, pool_settings(1))  # type: ignore[arg-type]
    pool.source.acquire()
    pool.start()
    (line,) = pool.made
    line.stand()
    instrument(pool, scheduler)
    waiting = pool.start()
    again: list[Call] = []

    def call_again() -> None:
        waiting.abort(waiting.canceled_error())
        again.append(pool.start())

    scheduler.run(call_again, lambda: pool.turn(line.answer))
    finish(pool, [waiting, *again])


def finish(pool: SourceHarness, calls: list[Any]) -> None:
    """Answer all there is: each call must come to its end."""
    for _ in range(100):
        pool.step.run_until_idle()
        for line in list(pool.made):
            if line.in_flight:
                pool.turn(line.answer)
    assert [len(call.ends) for call in calls] == [1] * len(calls), "a wake-up was lost"
    assert pool.counts()[2:] == (0, 0)
    assert pool.step.raised == []


def pool_settings(size: int) -> SourceSettings:
    return SourceSettings("pooled", max_pool_size=size, dial_backoff=None)


@pytest.mark.python_only
def test_no_wake_up_is_lost_under_any_schedule_of_two() -> None:
    assert explore(lambda s: impatient_caller(PooledConnections, s), max_preemptions=3) > 100


@pytest.mark.python_only
@pytest.mark.parametrize("mutant", [ForgetsNested, ForgetsToLook])
def test_mutant_that_loses_wake_ups_is_found(mutant: type[PooledConnections]) -> None:
    with pytest.raises(ScheduleFailure, match="wake-up was lost"):
        explore(lambda s: impatient_caller(mutant, s), max_preemptions=3)


def many_callers(scheduler: StepScheduler) -> None:
    """Three callers, one of whom gives up, a pool of two, and a server that breaks one."""
    pool = make_pool(StepDispatcher(), 2)
    instrument(pool, scheduler)
    calls: list[Any] = []

    def call(count: int, is_impatient: bool) -> None:
        for _ in range(count):
            made = pool.start()
            calls.append(made)
            if is_impatient:
                made.abort(made.canceled_error())

    def serve() -> None:
        for turn in range(8):
            pool.step.run_until_idle()
            for line in [line for line in list(pool.made) if line.attempts][:1]:
                if not line.socket.is_connected:
                    line.stand()
                pool.turn(functools.partial(answer_or_break, line, turn % 3 > 0))

    scheduler.run(lambda: call(2, False), lambda: call(2, True), lambda: call(2, False), serve)
    for line in pool.made:
        line.socket.is_connected = True
    finish(pool, calls)
    assert len(calls) == 6


def answer_or_break(line: FakeClientConnection, answers: bool) -> None:
    if not answers:
        line.fail(ErrorCode.EEOF)
    elif line.attempts:
        line.answer()


@pytest.mark.python_only
def test_no_wake_up_is_lost_in_seeded_schedules_of_many() -> None:
    explore_randomly(many_callers, range(400))
