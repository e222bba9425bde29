"""Which connections are idle, and which partial messages are given up: functions of the time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pybrpc.server.connections.sweeps import (
    HEAD_TIMEOUT_S,
    LARGE_BYTES,
    SLOWEST_BYTES_PER_S,
    PartialMessage,
    find_idle,
    find_late,
    find_partial,
    find_slowest,
)

NOW = 1000.0
TIMEOUT_S = 10.0


class Connection(SimpleNamespace):
    """A connection as a check sees it. Equal only to itself."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


def idle_for(seconds: float, **fields: Any) -> Any:
    return Connection(
        **{"active_at": NOW - seconds, "is_busy": False, "is_closing": False, **fields}
    )


def partial(size_bytes: int, **fields: Any) -> Any:
    """A connection on which `size_bytes` of a message have come."""
    made = {
        "unfinished_bytes": size_bytes,
        "unfinished_memory_bytes": size_bytes,
        "messages_read": 0,
        "is_retired": False,
        "is_in_head": False,
        "socket": SimpleNamespace(
            is_reading_paused=False,
            bytes_written=0,
            backlog=SimpleNamespace(is_overcrowded=False),
        ),
    }
    return Connection(**{**made, **fields})


def test_idle_connection_is_due_first_and_closed_by_the_next_check() -> None:
    connection = idle_for(TIMEOUT_S)
    first = find_idle([connection], set(), TIMEOUT_S, NOW)
    assert (first.to_close, first.due, first.oldest_active_at) == ([], {connection}, 990.0)
    second = find_idle([connection], first.due, TIMEOUT_S, NOW + 1)
    assert (second.to_close, second.due, second.oldest_active_at) == ([connection], set(), NOW + 1)


def test_connection_that_was_active_between_two_checks_is_kept() -> None:
    connection = idle_for(1)
    found = find_idle([connection], {connection}, TIMEOUT_S, NOW)
    assert (found.to_close, found.due, found.oldest_active_at) == ([], set(), NOW - 1)


@pytest.mark.parametrize("state", ["is_busy", "is_closing"])
def test_busy_or_closing_connection_is_never_idle(state: str) -> None:
    connection = idle_for(2 * TIMEOUT_S, **{state: True})
    assert find_idle([connection], {connection}, TIMEOUT_S, NOW) == ([], set(), NOW)


def test_next_check_is_for_the_connection_that_is_idle_longest() -> None:
    connections = [idle_for(seconds) for seconds in (1, 7, 3)]
    assert find_idle(connections, set(), TIMEOUT_S, NOW).oldest_active_at == NOW - 7


def part(
    age_s: float,
    size_bytes: int,
    memory_bytes: int,
    is_stuck: bool = False,
    is_head: bool = False,
) -> PartialMessage:
    is_read = not is_stuck
    return PartialMessage(NOW, age_s, 0, size_bytes, memory_bytes, 0, is_read, is_stuck, is_head)


def test_partial_message_grows_older_until_another_message_follows() -> None:
    connection = partial(5, unfinished_memory_bytes=80)
    first = find_partial([connection], {}, NOW)
    assert first == {connection: part(0, 5, 80)}
    assert find_partial([connection], first, NOW + 1)[connection].age_s == 1
    connection.messages_read = 1
    assert find_partial([connection], first, NOW + 1)[connection].age_s == 0


@pytest.mark.parametrize(
    ("is_paused", "is_overcrowded", "written", "age_s", "is_stuck"),
    [
        (False, False, 0, 1, False),
        (False, True, 0, 1, False),
        (True, False, 0, 0, False),
        (True, True, SLOWEST_BYTES_PER_S, 0, False),
        (True, True, 0, 1, True),
    ],
)
def test_time_counts_while_this_side_reads_or_the_peer_does_not(
    is_paused: bool, is_overcrowded: bool, written: int, age_s: float, is_stuck: bool
) -> None:
    connection = partial(5)
    first = find_partial([connection], {}, NOW)
    connection.socket.is_reading_paused = is_paused
    connection.socket.backlog.is_overcrowded = is_overcrowded
    connection.socket.bytes_written = written
    found = find_partial([connection], first, NOW + 1)[connection]
    assert (found.age_s, found.is_stuck) == (age_s, is_stuck)


def test_second_that_ends_a_pause_does_not_count() -> None:
    connection = partial(5)
    connection.socket.is_reading_paused = True
    first = find_partial([connection], {}, NOW)
    connection.socket.is_reading_paused = False
    second = find_partial([connection], first, NOW + 1)
    assert second[connection].age_s == 0
    assert find_partial([connection], second, NOW + 2)[connection].age_s == 1


def test_connection_without_bytes_or_retired_has_no_partial_message() -> None:
    assert find_partial([partial(0), partial(5, is_retired=True)], {}, NOW) == {}


@pytest.mark.parametrize("timeout_s", [5.0, 60.0])
def test_head_has_less_time_than_a_message(timeout_s: float) -> None:
    connection = partial(0)
    limit_s = min(timeout_s, HEAD_TIMEOUT_S)

    def is_late(age_s: float, is_head: bool) -> bool:
        return bool(find_late({connection: part(age_s, 0, 0, is_head=is_head)}, timeout_s))

    assert not is_late(limit_s - 0.01, is_head=True)
    assert is_late(limit_s, is_head=True)
    assert is_late(limit_s, is_head=False) == (limit_s == timeout_s)


def test_message_is_late_after_the_timeout_and_a_second_for_each_16_kib() -> None:
    short, long = partial(0), partial(0)

    def late_at(age_s: float) -> list[Any]:
        size_bytes = 5 * SLOWEST_BYTES_PER_S
        return find_late({short: part(age_s, 0, 0), long: part(age_s, size_bytes, 0)}, TIMEOUT_S)

    assert late_at(TIMEOUT_S - 0.01) == []
    assert late_at(TIMEOUT_S) == [short]
    assert late_at(TIMEOUT_S + 5) == [short, long]


def test_slowest_messages_are_given_up_until_the_rest_is_within_the_limit() -> None:
    slow, slower, fast, stuck = (partial(0) for _ in range(4))
    parts = {
        slow: part(2, LARGE_BYTES, LARGE_BYTES),
        slower: part(5, LARGE_BYTES, LARGE_BYTES),
        fast: part(0, LARGE_BYTES, LARGE_BYTES),
        stuck: part(0, LARGE_BYTES, LARGE_BYTES, is_stuck=True),
    }
    assert find_slowest(parts, 4 * LARGE_BYTES, 1.0) == []
    assert find_slowest(parts, 3 * LARGE_BYTES, 1.0) == [stuck]
    assert find_slowest(parts, 2 * LARGE_BYTES, 1.0) == [stuck, slower]
    assert find_slowest(parts, LARGE_BYTES, 1.0) == [stuck, slower, slow]


def test_small_messages_are_kept_however_much_all_hold() -> None:
    parts = {partial(0): part(0, 1, LARGE_BYTES - 1) for _ in range(5)}
    assert find_slowest(parts, LARGE_BYTES, 1.0) == []
