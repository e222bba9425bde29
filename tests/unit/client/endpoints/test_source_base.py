"""SourceBase: a closed dispatcher, the last user, two threads at once."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from pybrpc.base.backoff import Backoff
from pybrpc.client.calls.retry import RetryPolicy
from pybrpc.client.endpoints.pooled_connections import PooledConnections
from pybrpc.client.endpoints.settings import SourceSettings
from pybrpc.client.endpoints.short_connections import ShortConnections
from pybrpc.errors import ErrorCode
from pybrpc.rpc.bounded_steps import MAX_PER_STEP
from pybrpc.testing.step_dispatcher import StepDispatcher
from tests.fakes.connections import FakeCall, make_call
from tests.fakes.sources import SourceHarness

SLOWLY = Backoff(first_s=100, factor=1, max_s=100, jitter=0)


def make_pool(step: StepDispatcher, size: int = 1, backoff: Backoff | None = None) -> SourceHarness:
    settings = SourceSettings("pooled", max_pool_size=size, dial_backoff=backoff)
    return SourceHarness(PooledConnections, settings, step)


def test_waiting_call_fails_when_the_dispatcher_is_closed(step: StepDispatcher) -> None:
    pool = make_pool(step)
    pool.start(max_retry=0)
    waiting = pool.start(max_retry=0)
    step.close()
    pool.made[0].stand()
    pool.made[0].answer()
    (error,) = waiting.ends
    assert error.code == ErrorCode.EFAILEDSOCKET
    assert "The dispatcher of the connections to 10.0.0.1:8000 is closed" in error.text


def test_call_that_waits_after_the_last_user_has_left_fails(step: StepDispatcher) -> None:
    pool = make_pool(step)
    pool.source.release()
    late = make_call(pool.source, None, max_retry=0)
    pool.source.wait(late)
    assert late.ends[0].code == ErrorCode.ECLOSE


def test_call_that_waits_while_the_endpoint_goes_down_gets_the_cause(step: StepDispatcher) -> None:
    """As between a look that found it up and the queue."""
    pool = make_pool(step, backoff=SLOWLY)
    pool.go_down()
    late, patient = (
        make_call(pool.source, None, max_retry=0, wait_for_ready=waits) for waits in (False, True)
    )
    pool.source.wait(late)
    pool.source.wait(patient)
    step.run_until_idle()
    assert "(down for" in late.ends[0].text
    assert patient.ends == []
    assert pool.source.why_down is not None


def test_backup_does_not_overtake_waiting_calls(step: StepDispatcher) -> None:
    pool = make_pool(step, size=2)
    pool.start()
    (used,) = pool.made
    connection_for_backup = pool.source.connection_for_backup(make_call(pool.source), used)
    assert connection_for_backup is not None
    assert connection_for_backup is not used
    pool.start()
    assert pool.source.connection_for_backup(make_call(pool.source), used) is None


def test_repr_names_the_state(step: StepDispatcher) -> None:
    pool = make_pool(step, backoff=SLOWLY)
    assert repr(pool.source) == "<PooledConnections to 10.0.0.1:8000, 0 connections>"
    pool.start()
    pool.start()
    assert repr(pool.source) == (
        "<PooledConnections to 10.0.0.1:8000, 1 connections, 1 calls wait>"
    )
    pool.turn(pool.made[0].refuse)
    assert repr(pool.source).startswith(
        "<PooledConnections to 10.0.0.1:8000, 0 connections, <EndpointHealth down"
    )


# --- many calls at once ---

MANY = 3 * MAX_PER_STEP


def ended(calls: list[FakeCall]) -> int:
    assert all(len(call.ends) <= 1 for call in calls)
    return sum(bool(call.ends) for call in calls)


def test_waiting_calls_of_a_closed_channel_end_in_bounded_steps(step: StepDispatcher) -> None:
    """Meanwhile a deadline may still end one of them."""
    pool = make_pool(step)
    pool.start(max_retry=0)
    calls = [pool.start(max_retry=0) for _ in range(MANY)]
    pool.source.release()
    assert ended(calls) == MAX_PER_STEP
    assert calls[-1].expire()
    step.run_until_idle()
    assert ended(calls) == MANY
    codes = [call.ends[0].code for call in calls]
    assert codes == [ErrorCode.ECLOSE] * (MANY - 1) + [ErrorCode.ERPCTIMEDOUT]


def test_calls_in_a_pause_end_when_the_channel_is_closed(step: StepDispatcher) -> None:
    pool = make_pool(step, size=MANY)
    policy = RetryPolicy(backoff=SLOWLY)
    calls = [pool.start(retry=policy) for _ in range(MANY)]
    for line in list(pool.made):
        line.fail(ErrorCode.EEOF)
    assert ended(calls) == 0
    assert len(pool.source._pauses) == MANY
    pool.source.release()
    assert ended(calls) == MAX_PER_STEP
    step.run_until_idle()
    assert [call.ends[0].code for call in calls] == [ErrorCode.ECLOSE] * MANY
    assert calls[0].ends[0].text.endswith("was closed while a call waited for a connection")


def test_call_that_pauses_after_the_last_user_has_left_ends_at_once(step: StepDispatcher) -> None:
    pool = make_pool(step)
    late = make_call(pool.source, None)
    pool.source.release()
    pool.source.pause(late, 100.0)
    assert late.ends[0].code == ErrorCode.ECLOSE
    assert len(pool.source._pauses) == 0


def test_pause_that_is_over_leaves_nothing(step: StepDispatcher) -> None:
    pool = make_pool(step)
    call = pool.start(retry=RetryPolicy(backoff=SLOWLY))
    pool.made[0].fail(ErrorCode.EEOF)
    assert len(pool.source._pauses) == 1
    step.advance(100)
    assert len(pool.source._pauses) == 0
    assert pool.made[1].in_flight == 1
    assert not call.ends


def test_impatient_calls_of_an_endpoint_that_is_down_end_in_bounded_steps(
    step: StepDispatcher,
) -> None:
    pool = make_pool(step, backoff=SLOWLY)
    first = pool.start(max_retry=0)
    calls = [pool.start(max_retry=0) for _ in range(MANY)]
    patient = pool.start(max_retry=0, wait_for_ready=True)
    pool.made[0].refuse()
    counts = [ended(calls)]
    while step.step():
        counts.append(ended(calls))
    assert first.ends
    assert max(after - before for before, after in itertools.pairwise(counts)) == MAX_PER_STEP
    assert {call.ends[0].code for call in calls} == {ErrorCode.ECONNREFUSED}
    assert not patient.ends


def test_calls_that_still_wait_when_the_endpoint_is_up_again_are_served(
    step: StepDispatcher,
) -> None:
    pool = make_pool(step, backoff=SLOWLY)
    pool.start(max_retry=0)
    calls = [pool.start(max_retry=0) for _ in range(MANY)]
    pool.made[0].refuse()
    while not ended(calls):
        step.step()
    step.post(pool.source._reconnector.note_success)
    step.step()
    refused = ended(calls)
    assert refused < MANY
    step.run_until_idle()
    pool.turn(pool.source._serve)
    assert ended(calls) == refused
    assert pool.counts()[2:] == (1, MANY - refused - 1)


def test_waiting_calls_get_connections_in_bounded_steps(step: StepDispatcher) -> None:
    short = SourceHarness(ShortConnections, SourceSettings("short", dial_backoff=None), step)
    for _ in range(MANY):
        short.source._waiting.add(make_call(short.source))
    short.source._serve_soon()
    made = []
    while step.step():
        made.append(len(short.made))
    assert made[:3] == [MAX_PER_STEP, 2 * MAX_PER_STEP, MANY]


def test_call_that_raises_when_it_gets_a_connection_keeps_no_other_waiting() -> None:
    class Struck(FakeCall):
        __slots__ = ()

        def on_connection(self, connection: Any) -> None:
            raise MemoryError

    step = StepDispatcher()
    short = SourceHarness(ShortConnections, SourceSettings("short", dial_backoff=None), step)
    calls = [
        make_call(short.source, kind=Struck if number % 2 else FakeCall) for number in range(6)
    ]
    for call in calls:
        short.source._waiting.add(call)
    short.source._serve_soon()
    step.run_until_idle()
    served = [attempt.call for line in short.made for attempt in line.attempts]
    assert served == calls[::2]
    assert [type(error) for error in step.raised] == [MemoryError] * 3


# --- pools ---


def test_interrupted_caller_leaves_no_connection_behind(step: StepDispatcher) -> None:
    """One was given to it and one to somebody who could not say so any more; others are kept."""
    pool = make_pool(step, size=5)
    busy, idle = pool.start(), pool.start()
    for line in pool.made:
        line.stand()
    pool.turn(pool.made[1].answer)
    interrupted = make_call(pool.source)
    pool.source.make_for(pool.source, interrupted)
    nobodys = pool.source.make_for(pool.source)
    pool.source.pool.used.pop(nobodys)  # type: ignore[attr-defined]
    nobodys.socket.is_connected = True
    pool.source.make_for(pool.source, make_call(pool.source))
    pool.source.reclaim(interrupted)
    assert [line.socket.error is None for line in pool.made] == [True, True, False, False, True]
    assert not busy.ends
    assert idle.ends


def test_call_that_makes_one_connection_too_many_closes_it_and_waits(step: StepDispatcher) -> None:
    """Two threads that both found room for one more."""
    pool = make_pool(step, size=1)
    make = pool.maker.make

    def make_while_another_does(timeouts: Any, owner: Any, is_for_one_call: bool) -> Any:
        line = make(timeouts, owner)
        pool.source._connections[make(timeouts, owner)] = None
        return line

    pool.maker.make = make_while_another_does  # type: ignore[method-assign]
    call = pool.start()
    assert [line.socket.error is None for line in pool.made] == [False, True]
    assert pool.counts()[3] == 1
    assert not call.ends


def test_dialled_connection_is_closed_if_the_pool_is_full(step: StepDispatcher) -> None:
    pool = make_pool(step, size=1)
    first = pool.maker.make(pool.source.timeouts, pool.source)
    dialled = pool.maker.make(pool.source.timeouts, pool.source)
    pool.source._connections.update({first: None, dialled: None})
    pool.turn(lambda: pool.source.adopt(dialled))
    assert dialled.socket.error is not None
    assert first.socket.error is None


class BrokenMeanwhile(dict[Any, Any]):
    """A connection breaks while it is put in here."""

    def __setitem__(self, connection: Any, value: None) -> None:
        super().__setitem__(connection, value)
        connection.is_retired = True


@pytest.mark.python_only
def test_connection_that_breaks_while_it_is_released_is_not_idle(step: StepDispatcher) -> None:
    pool = make_pool(step)
    pool.start()
    pool.made[0].stand()
    pool.source.pool.idle = BrokenMeanwhile()  # type: ignore[attr-defined]
    pool.turn(pool.made[0].answer)
    assert pool.source.pool.idle == {}  # type: ignore[attr-defined]


class EmptiedMeanwhile(dict[Any, Any]):
    """As another thread leaves it that takes the last one between a look and a step."""

    def popitem(self) -> Any:
        self.clear()
        return super().popitem()


@pytest.mark.python_only
def test_idle_connection_that_another_thread_takes_first_is_not_used(step: StepDispatcher) -> None:
    pool = make_pool(step, size=2)
    pool.start()
    pool.made[0].stand()
    pool.turn(pool.made[0].answer)
    pool.source.pool.idle = EmptiedMeanwhile(pool.source.pool.idle)  # type: ignore[attr-defined]
    pool.start()
    assert [line.in_flight for line in pool.made] == [0, 1]


# --- short ones ---


def test_short_connections_are_not_shared_and_close_when_they_are_retired(
    step: StepDispatcher,
) -> None:
    short = SourceHarness(ShortConnections, SourceSettings("short", dial_backoff=None), step)
    call = short.start()
    (line,) = short.made
    line.stand()
    short.source.retire(line)
    assert line.socket.error is None
    short.turn(line.answer)
    assert call.error is None
    assert line.socket.error is not None


def test_dialled_connection_is_closed_and_each_waiting_call_gets_a_short_one(
    step: StepDispatcher,
) -> None:
    settings = SourceSettings("short", dial_backoff=Backoff(first_s=1, max_s=1, jitter=0))
    short = SourceHarness(ShortConnections, settings, step)
    short.go_down()
    waiting = [short.start(wait_for_ready=True) for _ in range(2)]
    step.advance(1)
    short.turn(short.made[1].stand)
    assert short.made[1].socket.error is not None
    assert [line.in_flight for line in short.made[2:]] == [1, 1]
    assert not any(call.ends for call in waiting)


def test_call_that_waits_gets_a_short_connection(step: StepDispatcher) -> None:
    short = SourceHarness(ShortConnections, SourceSettings("short", dial_backoff=None), step)
    late = make_call(short.source)
    short.source.wait(late)
    step.run_until_idle()
    assert [attempt.call for attempt in short.made[0].attempts] == [late]
