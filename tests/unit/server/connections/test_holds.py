"""A connection of a server that somebody holds, without a call: nobody takes it for unused."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.errors import RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.server.connections.server_connection import ServerConnection
from tests.fakes.dispatchers import run_inside
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.raw_peer import RawPeer, request, text_of
from tests.peers.serving import make_server, start

IDLE_S = 0.1


class Stream:
    """A user of a connection that is no call."""

    def __init__(self, raises: type[BaseException] | None = None) -> None:
        self.failures: list[RpcError] = []
        self.has_failed = threading.Event()
        self._raises = raises

    def on_connection_failed(self, connection: Any, error: RpcError) -> None:
        self.failures.append(error)
        self.has_failed.set()
        if self._raises is not None:
            raise self._raises


class Line:
    """A server, and a connection on which one call has ended, which a stream holds."""

    def __init__(self, server: Any, peer: RawPeer) -> None:
        self.server = server
        self.peer = peer
        assert text_of(peer.call()) == "hello"
        assert server._run is not None
        (self.connection,) = server._run.connections
        assert isinstance(self.connection, ServerConnection)
        self.stream = Stream()
        self.inside(lambda: self.connection.hold(self.stream))
        wait_until(lambda: not self.connection.calls)
        assert self.connection.is_held()

    def inside(self, function: Any) -> None:
        run_inside(self.connection.server.dispatcher, function)

    def write(self, data: bytes) -> None:
        self.connection.socket.start_write(IOBuf(data))

    def is_open(self) -> bool:
        """Whether the peer still gets what is written."""
        self.write(b"x")
        return self.peer.sock.recv(1) == b"x"

    def reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.peer.sock.close()


@contextlib.contextmanager
def held(**options: Any) -> Iterator[Line]:
    with make_server(**options) as server, RawPeer(start(server)) as peer:
        yield Line(server, peer)


def test_idle_sweep_leaves_a_held_connection_open() -> None:
    with held(idle_timeout=IDLE_S) as line:
        with RawPeer(line.server.endpoint) as other:
            assert other.read_to_end() == b"", "closed, as nobody holds it"
        assert line.is_open()
        line.connection.release_hold(line.stream)
        assert line.peer.read_to_end() == b""
        assert line.stream.failures == []


def test_half_closed_connection_stays_until_its_last_hold_ends() -> None:
    with held() as line:
        line.peer.shut_writing()
        wait_until(lambda: line.connection.is_retired)
        second = Stream()
        line.connection.hold(second)
        assert line.is_open()
        line.connection.release_hold(line.stream)
        assert line.is_open()
        line.connection.release_hold(second)
        assert line.peer.read_to_end() == b""
        wait_until(lambda: not line.server.statistics().connections)


def test_connection_with_a_call_and_a_hold_stays_for_both() -> None:
    with held() as line:
        line.peer.send(request(1), request(2))
        line.peer.shut_writing()
        assert set(line.peer.read_answers(2)) == {1, 2}
        assert line.is_open()
        line.connection.release_hold(line.stream)
        assert line.peer.read_to_end() == b""


def test_stop_waits_for_a_hold() -> None:
    with held() as line:
        line.server.stop(WAIT_S)
        assert not line.server.join(0.1)
        assert line.is_open()
        line.connection.release_hold(line.stream)
        assert line.peer.read_to_end() == b""
        assert line.server.join(WAIT_S)
        assert line.stream.failures == []


def test_stop_drops_a_hold_at_its_deadline_and_names_it(caplog: pytest.LogCaptureFixture) -> None:
    with held() as line:
        line.server.stop(0.1)
        assert line.server.join(WAIT_S)
        assert line.stream.has_failed.wait(WAIT_S)
        assert len(line.stream.failures) == 1
    assert "0 requests running, 1 other user, " in caplog.text


def test_each_user_is_notified_once_when_the_connection_fails() -> None:
    with held() as line:
        others = [Stream(SystemExit), Stream(ValueError), Stream()]
        for stream in others:
            line.connection.hold(stream)
        line.reset()
        for stream in (line.stream, *others):
            assert stream.has_failed.wait(WAIT_S)
        line.inside(lambda: None)
        assert [len(stream.failures) for stream in (line.stream, *others)] == [1] * 4
        assert not line.connection.is_held()
        line.connection.release_hold(line.stream)
        with pytest.raises(RpcError):
            line.connection.hold(line.stream)
        assert not line.connection.is_held()


def test_user_that_released_is_not_notified() -> None:
    with held() as line:
        stays = Stream()
        line.connection.hold(stays)
        line.connection.release_hold(line.stream)
        line.reset()
        assert stays.has_failed.wait(WAIT_S)
        assert line.stream.failures == []


def test_hold_is_for_one_user_once() -> None:
    with held() as line:
        with pytest.raises(RuntimeError, match="already"):
            line.connection.hold(line.stream)
        line.connection.release_hold(line.stream)
        with pytest.raises(RuntimeError, match="does not hold"):
            line.connection.release_hold(line.stream)


def test_connection_is_active_when_its_hold_ends() -> None:
    """Its time of rest begins then."""
    with held(idle_timeout=30) as line:
        line.connection.active_at = 0.0
        began_at = time.monotonic()
        line.connection.release_hold(line.stream)
        assert line.connection.active_at >= began_at
