from __future__ import annotations

from typing import Any

import pytest

from pybrpc.server.connections.sweeps import LARGE_BYTES, SLOWEST_BYTES_PER_S, PartialMessageSweep
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch import periodic

TIMEOUT_S = 10.0
GRAIN_S = 1.0
LIMIT_BYTES = 10 * LARGE_BYTES


class FakeSocket:
    is_reading_paused = False


class FakeConnection:
    """`unfinished_bytes` have come of a message; `room` more are allocated for it."""

    def __init__(self, unfinished_bytes: int = 0, room: int = 0) -> None:
        self.unfinished_bytes = unfinished_bytes
        self.room = room
        self.messages_read = 0
        self.is_retired = False
        self.socket = FakeSocket()
        self.why = ""

    @property
    def unfinished_memory_bytes(self) -> int:
        return self.unfinished_bytes + self.room

    def discard_input(self, reason: str) -> None:
        assert not self.is_retired
        self.is_retired = True
        self.why = reason


class Watched:
    """A watch, its connections, and a clock."""

    def __init__(self, step: StepDispatcher) -> None:
        self.step = step
        self.connections: list[Any] = []
        self.watch = PartialMessageSweep(self.connections, step, TIMEOUT_S, LIMIT_BYTES)

    def connect(self, unfinished_bytes: int = 0, room: int = 0) -> FakeConnection:
        connection = FakeConnection(unfinished_bytes, room)
        self.connections.append(connection)
        self.watch.note_accepted()
        return connection

    def pass_s(self, seconds: float) -> None:
        for _ in range(round(seconds / GRAIN_S)):
            self.step.advance(GRAIN_S)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    step = StepDispatcher()
    monkeypatch.setattr(periodic, "time", step.clock)
    return Watched(step)


def test_partial_message_is_given_up_after_its_time(watched: Watched) -> None:
    connection = watched.connect(1)
    watched.pass_s(TIMEOUT_S)
    assert not connection.is_retired
    watched.pass_s(2 * GRAIN_S)
    assert connection.is_retired
    assert "message_timeout=10" in connection.why


def test_partial_message_has_more_time_the_more_bytes_have_come(watched: Watched) -> None:
    connection = watched.connect(5 * SLOWEST_BYTES_PER_S)
    watched.pass_s(TIMEOUT_S + 4)
    assert not connection.is_retired
    watched.pass_s(3)
    assert connection.is_retired


def test_time_begins_anew_with_each_message(watched: Watched) -> None:
    connection = watched.connect(1)
    for _ in range(10):
        watched.pass_s(TIMEOUT_S - 2)
        connection.messages_read += 1
    assert not connection.is_retired


def test_connection_without_a_partial_message_is_kept(watched: Watched) -> None:
    connection = watched.connect(0)
    watched.pass_s(10 * TIMEOUT_S)
    assert not connection.is_retired


def test_partial_message_is_not_late_while_reading_is_paused(watched: Watched) -> None:
    connection = watched.connect(1)
    connection.socket.is_reading_paused = True
    watched.pass_s(10 * TIMEOUT_S)
    assert not connection.is_retired
    connection.socket.is_reading_paused = False
    watched.pass_s(TIMEOUT_S)
    assert not connection.is_retired
    watched.pass_s(2)
    assert connection.is_retired


def test_slowest_messages_are_given_up_when_all_hold_too_much(watched: Watched) -> None:
    old = watched.connect(3 * LARGE_BYTES)
    watched.pass_s(3)
    fast = watched.connect(4 * LARGE_BYTES)
    small = watched.connect(LARGE_BYTES - 1)
    late = watched.connect(3 * LARGE_BYTES + 1)
    watched.pass_s(1)
    assert old.is_retired
    assert "max_unanswered_bytes" in old.why
    assert not any(each.is_retired for each in (fast, small, late))


def test_allocated_room_counts_as_memory(watched: Watched) -> None:
    """A peer gets 16 times what it sends."""
    parts = [watched.connect(LARGE_BYTES // 16, room=3 * LARGE_BYTES) for _ in range(5)]
    watched.pass_s(1)
    assert sum(each.is_retired for each in parts) == 2


def test_small_partial_messages_are_kept(watched: Watched) -> None:
    parts = [watched.connect(LARGE_BYTES - 1) for _ in range(20)]
    watched.pass_s(TIMEOUT_S / 2)
    assert not any(each.is_retired for each in parts)


def test_sweep_has_no_timer_while_there_are_no_connections(watched: Watched) -> None:
    assert not watched.step._timers
    watched.connect()
    assert len(watched.step._timers) == 1
    watched.connections.clear()
    watched.pass_s(1)
    assert not watched.step._timers
    watched.connect()
    watched.connect()
    assert len(watched.step._timers) == 1
    watched.watch.end()
    watched.pass_s(1)
    assert not watched.step._timers
