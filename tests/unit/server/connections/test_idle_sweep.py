from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from pybrpc.rpc.bounded_steps import MAX_PER_STEP
from pybrpc.server.connections.sweeps import IdleSweep
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch import periodic

TIMEOUT_S = 10.0
GRAIN_S = 1.0


class FakeConnection:
    def __init__(self, active_at: float) -> None:
        self.active_at = active_at
        self.is_busy = False
        self.is_closing = False
        self.socket = self
        self.has_unread_request = False

    def read_now(self) -> None:
        if self.has_unread_request:
            self.is_busy = True

    def close_gracefully(self, linger_s: float) -> None:
        assert not self.is_closing
        self.is_closing = True


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> StepDispatcher:
    step = StepDispatcher()
    monkeypatch.setattr(periodic, "time", step.clock)
    return step


@pytest.fixture
def connect(step: StepDispatcher) -> Iterator[Callable[[], FakeConnection]]:
    """Makes connections that are watched."""
    connections: list[Any] = []
    watch = IdleSweep(connections, step, TIMEOUT_S)
    watch.start()

    def connect() -> FakeConnection:
        connections.append(FakeConnection(step.clock.monotonic()))
        return cast(FakeConnection, connections[-1])

    yield connect
    watch.end()
    step.advance(TIMEOUT_S)
    assert not step._timers, "the timer outlives the watch"


def test_idle_connection_is_closed_after_the_time(
    step: StepDispatcher, connect: Callable[[], FakeConnection]
) -> None:
    connection = connect()
    step.advance(TIMEOUT_S - 0.1)
    assert not connection.is_closing
    step.advance(0.1)
    assert not connection.is_closing, "a request may wait to be read"
    step.advance(GRAIN_S)
    assert connection.is_closing


def test_request_that_waits_to_be_read_keeps_a_connection(
    step: StepDispatcher, connect: Callable[[], FakeConnection]
) -> None:
    connection = connect()
    connection.has_unread_request = True
    step.advance(TIMEOUT_S)
    step.advance(GRAIN_S)
    assert connection.is_busy
    assert not connection.is_closing


def test_request_between_two_checks_keeps_a_connection(
    step: StepDispatcher, connect: Callable[[], FakeConnection]
) -> None:
    connection = connect()
    for _ in range(100):
        step.advance(TIMEOUT_S)
        connection.active_at = step.clock.monotonic()
        step.advance(GRAIN_S)
        assert not connection.is_closing


def test_connections_are_closed_at_most_a_fifth_of_the_timeout_late(
    step: StepDispatcher, connect: Callable[[], FakeConnection]
) -> None:
    connections = []
    for _ in range(100):
        connections.append(connect())
        step.advance(0.25)
        for connection in connections:
            idle_s = step.clock.monotonic() - connection.active_at
            if idle_s < TIMEOUT_S:
                assert not connection.is_closing
            elif idle_s >= TIMEOUT_S + 2 * GRAIN_S:
                assert connection.is_closing
        assert len(step._timers) == 1


def test_busy_connection_is_kept_and_its_time_begins_when_it_is_done(
    step: StepDispatcher, connect: Callable[[], FakeConnection]
) -> None:
    connection = connect()
    connection.is_busy = True
    for _ in range(100):
        step.advance(TIMEOUT_S)
    connection.is_busy = False
    connection.active_at = step.clock.monotonic()
    step.advance(TIMEOUT_S - 0.1)
    assert not connection.is_closing
    step.advance(0.1)
    step.advance(GRAIN_S)
    assert connection.is_closing


def test_many_idle_connections_are_closed_in_the_steps_of_many_turns(
    step: StepDispatcher, connect: Callable[[], FakeConnection]
) -> None:
    connections = [connect() for _ in range(3 * MAX_PER_STEP)]
    step.advance(TIMEOUT_S)
    step.clock.advance(GRAIN_S)
    counts = []
    before = 0
    while step.step():
        if len(counts) == 1:
            connections[-1].active_at = step.clock.monotonic()
            connections[0].active_at = 0.0
        closed = sum(connection.is_closing for connection in connections)
        counts.append(closed - before)
        before = closed
    assert len(counts) >= 3
    assert max(counts) <= MAX_PER_STEP
    assert not connections[-1].is_closing, "it was used before its step came"
    assert before == len(connections) - 1


def test_connection_is_closed_only_once(
    step: StepDispatcher, connect: Callable[[], FakeConnection]
) -> None:
    connection = connect()
    for _ in range(10):
        step.advance(TIMEOUT_S)
    assert connection.is_closing
