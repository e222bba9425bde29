from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pybrpc.server.connections.sweeps import (
    HEAD_TIMEOUT_S,
    LARGE_BYTES,
    SLOWEST_BYTES_PER_S,
    PartialMessageSweep,
)
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch import periodic

TIMEOUT_S = 10.0
GRAIN_S = 1.0
LIMIT_BYTES = 10 * LARGE_BYTES


class FakeSocket:
    is_reading_paused = False
    bytes_written = 0

    def __init__(self) -> None:
        self.backlog = SimpleNamespace(is_overcrowded=False)

    def pause(self, *, is_peer_slow: bool) -> None:
        self.is_reading_paused = True
        self.backlog.is_overcrowded = is_peer_slow


class FakeConnection:
    """`unfinished_bytes` have come of a message; `room` more are allocated for it."""

    def __init__(self, unfinished_bytes: int = 0, room: int = 0) -> None:
        self.unfinished_bytes = unfinished_bytes
        self.room = room
        self.messages_read = 0
        self.is_retired = False
        self.is_in_head = False
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


def test_head_is_given_up_before_a_message(watched: Watched) -> None:
    watched.watch = PartialMessageSweep(watched.connections, watched.step, 60.0, None)
    head, message = watched.connect(1), watched.connect(1)
    head.is_in_head = True
    watched.pass_s(HEAD_TIMEOUT_S + 2 * GRAIN_S)
    assert (head.is_retired, message.is_retired) == (True, False)
    assert "the time for a head=10" in head.why


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


def test_partial_message_is_not_late_while_this_side_does_not_read_it(watched: Watched) -> None:
    connection = watched.connect(1)
    watched.pass_s(1)
    connection.socket.pause(is_peer_slow=False)
    watched.pass_s(10 * TIMEOUT_S)
    assert not connection.is_retired
    connection.socket.is_reading_paused = False
    watched.pass_s(TIMEOUT_S)
    assert not connection.is_retired
    watched.pass_s(2)
    assert connection.is_retired


def test_partial_message_is_late_although_its_peer_reads_nothing(watched: Watched) -> None:
    connection = watched.connect(1)
    connection.socket.pause(is_peer_slow=True)
    watched.pass_s(TIMEOUT_S)
    assert not connection.is_retired
    watched.pass_s(2 * GRAIN_S)
    assert connection.is_retired
    assert "the peer read little or nothing" in connection.why


@pytest.mark.parametrize(
    ("bytes_per_s", "is_late"), [(SLOWEST_BYTES_PER_S, False), (SLOWEST_BYTES_PER_S - 1, True)]
)
def test_partial_message_is_not_late_while_its_peer_reads(
    watched: Watched, bytes_per_s: int, is_late: bool
) -> None:
    connection = watched.connect(1)
    connection.socket.pause(is_peer_slow=True)
    for _ in range(10 * round(TIMEOUT_S)):
        watched.pass_s(1)
        connection.socket.bytes_written += bytes_per_s
    assert connection.is_retired == is_late


def test_stuck_messages_are_given_up_before_honest_ones_however_slow(watched: Watched) -> None:
    stuck = watched.connect(6 * LARGE_BYTES)
    slow = watched.connect(3 * LARGE_BYTES)
    paused = watched.connect(LARGE_BYTES)
    watched.pass_s(1)
    stuck.socket.pause(is_peer_slow=True)
    paused.socket.pause(is_peer_slow=False)
    watched.pass_s(5)
    assert not any(each.is_retired for each in (stuck, slow, paused))
    watched.connect(LARGE_BYTES)
    watched.pass_s(1)
    assert stuck.is_retired
    assert not any(each.is_retired for each in (slow, paused))


def test_speed_is_measured_while_this_side_reads(watched: Watched) -> None:
    paused = watched.connect(4 * LARGE_BYTES)
    watched.pass_s(2)
    paused.socket.pause(is_peer_slow=False)
    watched.pass_s(50)
    slow = watched.connect(4 * LARGE_BYTES)
    watched.pass_s(4)
    watched.connect(3 * LARGE_BYTES)
    watched.pass_s(1)
    assert (paused.is_retired, slow.is_retired) == (False, True)


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
