"""IdleSweep: it closes connections that nobody uses, by a fake clock."""

from __future__ import annotations

import types
from typing import Any

import pytest

from pybrpc.client.endpoints.idle_sweep import Traffic, idle_connections, look
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
def test_connection_made_after_a_sweep_is_swept_too(step: StepDispatcher, kind: str) -> None:
    harness = make_idle(step, kind)
    pass_time(step, LONGEST_S + 1)
    harness.start()
    harness.turn(harness.made[1].stand)
    harness.turn(harness.made[1].answer)
    pass_time(step, LONGEST_S + 1)
    assert [is_closed(line) for line in harness.made] == [True, True]


@every_kind
def test_sweep_has_no_timer_without_connections(step: StepDispatcher, kind: str) -> None:
    make_idle(step, kind)
    pass_time(step, 3 * TIMEOUT_S)
    before = step.steps
    pass_time(step, 100 * TIMEOUT_S)
    assert step.steps == before


@every_kind
def test_connection_with_a_call_in_flight_stays_open(step: StepDispatcher, kind: str) -> None:
    harness = make_idle(step, kind)
    call = harness.start()
    pass_time(step, 10 * TIMEOUT_S)
    assert not is_closed(harness.made[0])
    harness.turn(harness.made[0].answer)
    assert call.error is None
    pass_time(step, LONGEST_S + 1)
    assert is_closed(harness.made[0])


@every_kind
def test_connection_with_traffic_stays_open(step: StepDispatcher, kind: str) -> None:
    harness = make_idle(step, kind)
    line: Any = harness.made[0]

    def move() -> None:
        line.socket.bytes_moved += 1

    pass_time(step, 10 * TIMEOUT_S, move)
    assert not is_closed(line)


@every_kind
def test_connection_stays_open_without_an_idle_timeout(step: StepDispatcher, kind: str) -> None:
    harness = make_idle(step, kind, None)
    step.advance(1e6)
    assert not is_closed(harness.made[0])


@every_kind
def test_sweep_ends_when_the_last_user_leaves(step: StepDispatcher, kind: str) -> None:
    harness = make_idle(step, kind)
    harness.source.release()
    step.run_until_idle()
    before = step.steps
    step.advance(100 * TIMEOUT_S)
    assert step.steps == before


def test_retired_connection_waits_for_a_call_that_got_it_before(step: StepDispatcher) -> None:
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


def test_sweep_does_nothing_if_the_dispatcher_is_closed(
    step: StepDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call_at(deadline: float, function: Any) -> None:
        raise DispatcherClosedError("closed")

    monkeypatch.setattr(step, "call_at", call_at)
    harness = make_idle(step, "single")
    monkeypatch.undo()
    pass_time(step, 10 * TIMEOUT_S)
    assert not is_closed(harness.made[0])


def test_sweep_that_begins_while_the_last_user_leaves_ends(step: StepDispatcher) -> None:
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


def test_sweep_starts_again_after_a_fork(step: StepDispatcher) -> None:
    harness = make_idle(step, "single")
    harness.source.after_fork()
    pass_time(step, LONGEST_S + 2)
    harness.start()
    harness.turn(harness.made[-1].stand)
    harness.turn(harness.made[-1].answer)
    pass_time(step, LONGEST_S + 2)
    assert is_closed(harness.made[-1])


# --- the decision, without a timer ---


class Line:
    """A connection, as far as the decision needs it."""

    def __init__(self, moved_bytes: int = 0, is_held: bool = False) -> None:
        self.socket = types.SimpleNamespace(is_connected=True, error=None)
        self.moved_bytes = moved_bytes
        self._is_held = is_held
        self.is_retired = False

    def is_held(self) -> bool:
        return self._is_held

    def statistics(self) -> Any:
        moved = types.SimpleNamespace(bytes_read=self.moved_bytes, bytes_written=0)
        return types.SimpleNamespace(socket=moved)


def test_look_keeps_the_time_of_a_connection_without_traffic() -> None:
    quiet, moving, busy = Line(), Line(), Line(is_held=True)
    lines: Any = [quiet, moving, busy]
    before = look(lines, {}, 10.0)
    moving.moved_bytes += 1
    seen = look(lines, before, 20.0)
    assert [seen[line].idle_since for line in lines] == [10.0, 20.0, 20.0]


def test_look_leaves_out_connections_that_are_not_established() -> None:
    connecting, failed, gone = Line(), Line(), Line()
    connecting.socket.is_connected = False
    failed.socket.error = RuntimeError()
    lines: Any = [connecting, failed]
    before: Any = {gone: Traffic(0, 1.0)}
    assert look(lines, before, 10.0) == {}


def test_idle_connections_are_those_without_traffic_for_long_enough() -> None:
    old, young, retired = Line(), Line(), Line()
    retired.is_retired = True
    seen: Any = {old: Traffic(0, 10.0), young: Traffic(0, 10.1), retired: Traffic(0, 1.0)}
    assert idle_connections(seen, since=10.0) == [old]
