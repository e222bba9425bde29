"""One connection through a proxy: what happens when a side breaks, at each moment."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from pybrpc.testing.faulty_proxy import Faults, ResetAt, proxied_connection
from pybrpc.testing.faulty_proxy.proxied_connection import (
    LINGER_S,
    LOOK_S,
    ProxiedConnection,
    is_self_connected,
    unsent_bytes,
)
from pybrpc.testing.faulty_proxy.proxy_loop import READ, WRITE
from tests.fakes.proxy_loop import FakeProxyLoop
from tests.peers.proxied import HANG_S, receive, receive_until_reset


class Stage:
    """A connection with plain sockets at both ends, whose owner and loop are played."""

    holds = (False, False)

    def __init__(self, faults: Faults | None = None) -> None:
        self.loop = FakeProxyLoop()
        self.forgotten = self.connect_failures = 0
        with socket.create_server(("127.0.0.1", 0)) as listener:
            (self.client, client), (server, self.server) = pair(listener), pair(listener)
        client.setblocking(False)
        server.setblocking(False)
        self.connection = ProxiedConnection(
            self,
            self.loop,  # type: ignore[arg-type]
            client,
            server,
            faults or Faults(),
            lambda fault: None,
        )

    def forget(self, connection: ProxiedConnection) -> None:
        self.forgotten += 1

    def note_connect_failure(self) -> None:
        self.connect_failures += 1

    def stand(self) -> ProxiedConnection:
        self.connection.on_ready(self.connection.server, WRITE, 0.0)
        return self.connection

    def close(self) -> None:
        self.connection.close()
        self.client.close()
        self.server.close()


def pair(listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    """A connected socket and the accepted one; one of each pair belongs to the proxy."""
    near = socket.create_connection(listener.getsockname(), timeout=HANG_S)
    far, _ = listener.accept()
    far.settimeout(HANG_S)
    return near, far


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


def break_off(sock: socket.socket) -> None:
    """With a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


def test_bytes_pass_once_the_server_stands(stage: Stage) -> None:
    connection = stage.connection
    assert "connecting" in repr(connection)
    connection.advance(0.0)
    assert connection.client not in stage.loop.masks
    stage.stand()
    assert stage.loop.masks[connection.client] == READ
    stage.client.send(b"hello")
    connection.on_ready(connection.client, READ, 0.0)
    assert receive(stage.server, 5) == b"hello"
    assert repr(connection) == "<ProxiedConnection open, 5 bytes to the server, 0 to the client>"


def test_server_that_could_not_be_connected_resets_the_client(stage: Stage) -> None:
    break_off(stage.server)
    stage.stand()
    assert (stage.connect_failures, stage.forgotten) == (1, 1)
    assert receive_until_reset(stage.client) == b""


def test_client_that_breaks_while_it_is_read_takes_the_server_with_it(stage: Stage) -> None:
    connection = stage.stand()
    break_off(stage.client)
    connection.on_ready(connection.client, READ, 0.0)
    assert connection.is_closed
    assert receive_until_reset(stage.server) == b""


def test_server_that_breaks_while_it_is_written_to_takes_the_client_with_it(
    stage: Stage,
) -> None:
    connection = stage.stand()
    stage.client.send(b"hello")
    connection.to_server.read(0.0)
    break_off(stage.server)
    connection.advance(0.0)
    assert connection.is_closed
    assert receive_until_reset(stage.client) == b""


def test_closed_one_does_nothing_more(stage: Stage) -> None:
    connection = stage.stand()
    connection.close()
    connection.close()
    connection.advance(0.0)
    assert stage.forgotten == 1
    assert "closed" in repr(connection)


def test_reset_waits_for_what_is_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(Faults(to_server=[ResetAt(4)]))
    connection = stage.stand()
    unsent = [4, 4, 0]
    monkeypatch.setattr(proxied_connection, "unsent_bytes", lambda sock: unsent.pop(0))
    stage.client.send(b"hello")
    connection.on_ready(connection.client, READ, 100.0)
    assert set(stage.loop.masks.values()) == {0}
    assert stage.loop.wakes[connection] == 100.0 + LOOK_S
    connection.advance(100.0 + LOOK_S)
    assert not connection.is_closed
    assert receive(stage.server, 4) == b"hell"
    connection.advance(100.0 + 2 * LOOK_S)
    assert connection.is_closed
    assert receive_until_reset(stage.server) == b""
    stage.close()


def test_reset_of_a_peer_that_takes_nothing_comes_after_a_linger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(Faults(to_server=[ResetAt(4)]))
    connection = stage.stand()
    monkeypatch.setattr(proxied_connection, "unsent_bytes", lambda sock: 4)
    stage.client.send(b"hello")
    connection.on_ready(connection.client, READ, 100.0)
    connection.advance(100.0 + LINGER_S / 2)
    assert not connection.is_closed
    connection.advance(100.0 + LINGER_S)
    assert connection.is_closed
    stage.close()


def test_socket_that_has_connected_to_itself_is_no_server() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        assert is_self_connected(sock)
    with socket.socket() as unconnected:
        assert not is_self_connected(unconnected)
    near, far = socket.socketpair()
    with near, far:
        assert not is_self_connected(near)
        assert unsent_bytes(near) == 0


def test_unsent_bytes_are_those_the_peer_has_not_acknowledged() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near, far = pair(listener)
    with near, far:
        assert unsent_bytes(near) == 0
        near.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                near.send(bytes(1 << 20))
        assert unsent_bytes(near) > 0
