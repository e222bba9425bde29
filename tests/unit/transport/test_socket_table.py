"""The ids of sockets: kept anywhere, and never given to another socket."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.transport import socket_table
from pybrpc.transport.socket_table import SocketTable
from tests.fakes.client_socket import FakeSocket


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The functions that are called in forked children."""
    found: list[Any] = []
    monkeypatch.setattr(
        socket_table.os, "register_at_fork", lambda after_in_child: found.append(after_in_child)
    )
    return found


@pytest.mark.usefixtures("hooks")
def test_each_id_is_of_one_socket_until_it_fails() -> None:
    table, (first, second) = SocketTable(), (FakeSocket(), FakeSocket())
    names = table.add(first), table.add(second)
    assert [table.address(name) for name in names] == [first, second]
    assert (table.all(), len(table)) == ([first, second], 2)
    for _ in range(2):
        table.remove(names[0])
        assert table.address(names[0]) is None
    assert table.add(FakeSocket()) not in names


@pytest.mark.usefixtures("hooks")
def test_no_socket_is_kept_alive() -> None:
    table = SocketTable()
    name = table.add(FakeSocket())
    assert table.address(name) is None
    assert len(table) == 0


def test_forked_child_abandons_its_parents_sockets(hooks: list[Any]) -> None:
    table = SocketTable()
    sockets = [FakeSocket() for _ in range(3)]
    for socket in sockets:
        table.add(socket)
    (after_in_child,) = hooks
    after_in_child()
    assert [socket.abandoned for socket in sockets] == [1, 1, 1]
