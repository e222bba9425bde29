"""Statistics of sockets, one by one and together."""

from __future__ import annotations

import dataclasses

import pytest

from pybrpc.transport.socket.statistics import SocketStatistics, sum_of_sockets

FIELDS = [field.name for field in dataclasses.fields(SocketStatistics)]
IDLE = SocketStatistics(**dict.fromkeys(FIELDS, 0))
BUSY = SocketStatistics(**{name: place + 1 for place, name in enumerate(FIELDS)})


def test_sum_has_every_field() -> None:
    found = dataclasses.asdict(sum_of_sockets([BUSY, BUSY]))
    assert found.pop("is_overcrowded") is True
    expected = {name: 2 * (place + 1) for place, name in enumerate(FIELDS)}
    expected.pop("is_overcrowded")
    assert found == expected


def test_sum_is_overcrowded_if_one_socket_is() -> None:
    overcrowded = dataclasses.replace(IDLE, is_overcrowded=True)
    assert sum_of_sockets([IDLE, overcrowded]).is_overcrowded
    assert not sum_of_sockets([IDLE, IDLE]).is_overcrowded
    assert sum_of_sockets([]) == IDLE


@pytest.mark.parametrize(("messages", "writes", "average"), [(6, 4, 1.5), (0, 0, 0.0)])
def test_messages_per_write(messages: int, writes: int, average: float) -> None:
    found = dataclasses.replace(IDLE, messages_written=messages, writes=writes)
    assert found.messages_per_write == average
