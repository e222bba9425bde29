"""IdleSweep: what is closed when nobody uses it, by a fake clock."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.client.endpoints.pooled_connections import PooledConnections
from pybrpc.client.endpoints.settings import SourceSettings
from pybrpc.client.endpoints.single_connections import SingleConnections
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from tests.fakes.sources import FakeClientConnection, SourceHarness

KINDS = {"single": SingleConnections, "pooled": PooledConnections}
TIMEOUT_S = 8.0
LONGEST_S = TIMEOUT_S * 1.5

every_kind = pytest.mark.parametrize("kind", KINDS)


def make_idle(
    step: StepDispatcher, kind: str, idle_timeout_s: float | None = TIMEOUT_S
) -> SourceHarness:
    """A source with one connection, which has just answered its call."""
    settings = SourceSettings(kind, idle_timeout_s=idle_timeout_s)
    harness = SourceHarness(KINDS[kind], settings, step)
    call = harness.start()
    harness.turn(harness.made[0].stand)
    harness.turn(harness.made[0].answer)
    assert call.ends
    return harness


def pass_time(step: StepDispatcher, seconds: float, each_second: Any = None) -> None:
    for _ in range(int(seconds)):
        step.advance(1)
        if each_second is not None:
            each_second()


def is_closed(line: FakeClientConnection) -> bool:
    return line.socket.error is not None


@every_kind
def test_idle_connection_is_closed_in_time(step: StepDispatcher, kind: str) -> None:
    harness = make_idle(step, kind)
    pass_time(step, TIMEOUT_S - 1)
    assert not is_closed(harness.made[0])
    pass_time(step, LONGEST_S - TIMEOUT_S + 2)
    assert is_closed(harness.made[0])
    assert harness.counts() == (1, 1, 0, 0)


@every_kind
def test_next_call_makes_a_new_one_which_is_watched_too(step: StepDispatcher, kind: str) -> None:
    harness = make_idle(step, kind)
    pass_time(step, LONGEST_S + 1)
    harness.start()
    harness.turn(harness.made[1].stand)
    harness.turn(harness.made[1].answer)
    pass_time(step, LONGEST_S + 1)
    assert [is_closed(line) for line in harness.made] == [True, True]


@every_kind
def test_watch_rests_when_nothing_stands(step: StepDispatcher, kind: str) -> None:
    make_idle(step, kind)
    pass_time(step, 3 * TIMEOUT_S)
    before = step.steps
    pass_time(step, 100 * TIMEOUT_S)
    assert step.steps == before


@every_kind
def test_call_in_flight_keeps_it(step: StepDispatcher, kind: str) -> None:
    harness = make_idle(step, kind)
    call = harness.start()
    pass_time(step, 10 * TIMEOUT_S)
    assert not is_closed(harness.made[0])
    harness.turn(harness.made[0].answer)
    assert call.error is None
    pass_time(step, LONGEST_S + 1)
    assert is_closed(harness.made[0])


@every_kind
def test_traffic_keeps_it(step: StepDispatcher, kind: str) -> None:
    harness = make_idle(step, kind)
    line: Any = harness.made[0]

    def move() -> None:
        line.socket.bytes_moved += 1

    pass_time(step, 10 * TIMEOUT_S, move)
    assert not is_closed(line)


@every_kind
def test_never_is_never(step: StepDispatcher, kind: str) -> None:
    harness = make_idle(step, kind, None)
    step.advance(1e6)
    assert not is_closed(harness.made[0])


@every_kind
def test_last_user_ends_the_watch(step: StepDispatcher, kind: str) -> None:
    harness = make_idle(step, kind)
    harness.source.release()
    step.run_until_idle()
    before = step.steps
    step.advance(100 * TIMEOUT_S)
    assert step.steps == before


def test_call_that_had_it_just_before_is_waited_for(step: StepDispatcher) -> None:
    """Between `get` and `send` of one thread the watch of another one may look."""
    harness = make_idle(step, "single")
    line = harness.made[0]
    had: Any = harness.source.get(None)  # type: ignore[arg-type]
    assert had is line
    harness.source.retire(line)
    assert not is_closed(line), "it may still be sent"
    late = harness.start()
    assert harness.made[1].in_flight == 1, "nobody else gets it"
    assert not late.ends


def test_without_a_dispatcher_nothing_is_watched(
    step: StepDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call_at(deadline: float, function: Any) -> None:
        raise DispatcherClosedError("closed")

    monkeypatch.setattr(step, "call_at", call_at)
    harness = make_idle(step, "single")
    monkeypatch.undo()
    pass_time(step, 10 * TIMEOUT_S)
    assert not is_closed(harness.made[0])


def test_last_user_who_leaves_while_the_watch_begins_ends_it(step: StepDispatcher) -> None:
    harness = make_idle(step, "single")
    harness.source._users.decrement_and_get(1)
    before = step.steps
    pass_time(step, TIMEOUT_S)
    harness.source._users.increment_and_get(1)
    assert step.steps > before, "it looks once more"
    before = step.steps
    pass_time(step, 10 * TIMEOUT_S)
    assert step.steps == before
    assert not is_closed(harness.made[0])


def test_after_a_fork_the_watch_begins_anew(step: StepDispatcher) -> None:
    harness = make_idle(step, "single")
    harness.source.after_fork()
    pass_time(step, LONGEST_S + 2)
    harness.start()
    harness.turn(harness.made[-1].stand)
    harness.turn(harness.made[-1].answer)
    pass_time(step, LONGEST_S + 2)
    assert is_closed(harness.made[-1])
