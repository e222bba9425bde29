"""The address of the peer of a connection."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybrpc.transport.socket.peer_address import remote_side_of


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def test_peer_of_tcp_is_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as near:
            found = remote_side_of(near)
            assert found is not None
            assert (found.host, found.port) == listener.getsockname()


def test_server_of_a_unix_socket_is_its_path(unix_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as near:
        listener.bind(str(unix_path))
        listener.listen()
        near.connect(str(unix_path))
        assert str(remote_side_of(near)) == f"unix:{unix_path}"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_client_of_a_unix_socket_is_a_process(pair: tuple[socket.socket, socket.socket]) -> None:
    assert str(remote_side_of(pair[0])) == f"unix:(pid {os.getpid()}, uid {os.getuid()})"


def test_client_of_a_unix_socket_has_no_name_where_the_system_has_none(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "SO_PEERCRED", raising=False)
    assert str(remote_side_of(pair[0])) == "unix:"


def test_peer_that_is_gone_is_none() -> None:
    with socket.socket() as unconnected:
        assert remote_side_of(unconnected) is None
