"""A protocol of a user that is no RPC: its messages go to an Exchange."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.errors import ErrorCode, RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.protocol import Broken, ParseLimits
from pybrpc.protocols.session import Session, Side
from pybrpc.protocols.traits import Detection
from pybrpc.server import Server
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.raw_peer import RawPeer


class LineSession(Session):
    """Lines; one that begins with "!" breaks it."""

    def cut(self) -> list[Any]:
        data = bytes(self.buffer)
        end = data.rfind(b"\n") + 1
        self.buffer.pop_front(end)
        lines = data[:end].splitlines()
        if any(line.startswith(b"!") for line in lines):
            self.broken = Broken("a line begins with !")
        return list(lines)


class Lines:
    """Sends lines back. Holds its connection from a line "hold" to one "release"."""

    stream_count = 3

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.events: list[Any] = []
        self.has_failed = threading.Event()

    def on_messages(self, messages: list[Any]) -> None:
        for line in messages:
            self.events.append(line)
            if line == b"hold":
                self.connection.hold(self)
            elif line == b"release":
                self.connection.release_hold(self)
            elif line == b"raise":
                raise ZeroDivisionError("of the test")
        self.connection.socket.start_write(IOBuf(b"".join(line + b"\n" for line in messages)))

    def on_end(self, error: RpcError) -> None:
        self.events.append(error.code)

    def on_failed(self, error: RpcError) -> None:
        self.events.append("failed")
        self.has_failed.set()

    def on_stop(self) -> None:
        self.events.append("stop")
        self.connection.socket.start_write(IOBuf(b"bye\n"))
        if self.connection.is_held():
            self.connection.release_hold(self)

    def on_connection_failed(self, connection: Any, error: RpcError) -> None:
        self.events.append("hold failed")


class LineProtocol:
    name = kind = "lines"

    def __init__(self) -> None:
        self.exchanges: list[Lines] = []

    def detect(self, first: bytes) -> Detection:
        return Detection.YES

    def new_session(self, side: Side, limits: ParseLimits) -> Session:
        return LineSession(self)

    def new_exchange(self, connection: Any) -> Lines:
        self.exchanges.append(Lines(connection))
        return self.exchanges[-1]


class Served:
    def __init__(self) -> None:
        self.protocol = LineProtocol()
        protocols: Any = [self.protocol, "baidu_std"]
        self.server = Server(enabled_protocols=protocols)
        self.endpoint = self.server.start("127.0.0.1:0")

    @property
    def exchange(self) -> Lines:
        (exchange,) = self.protocol.exchanges
        return exchange


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.server.stop(0)
    made.server.join()


def exchange_lines(peer: RawPeer, lines: bytes) -> None:
    peer.sock.sendall(lines)
    data = b""
    while len(data) < len(lines):
        data += peer.sock.recv(4096)
    assert data == lines


def test_messages_go_to_the_exchange(served: Served) -> None:
    with RawPeer(served.endpoint) as peer:
        exchange_lines(peer, b"one\ntwo\n")
        exchange_lines(peer, b"three\n")
        assert served.server.statistics().streams == 3
    assert served.exchange.has_failed.wait(WAIT_S)
    assert served.exchange.events == [b"one", b"two", b"three", ErrorCode.EEOF, "failed"]
    assert served.server.statistics().requests == 0


def test_invalid_bytes_end_the_exchange(served: Served) -> None:
    with RawPeer(served.endpoint) as peer:
        exchange_lines(peer, b"one\n!\n")
        assert peer.sock.recv(1) == b""
    assert served.exchange.has_failed.wait(WAIT_S)
    code = served.exchange.events[2]
    assert served.exchange.events == [b"one", b"!", code, "failed"]
    assert code != ErrorCode.EEOF


def test_exchange_that_raises_fails_its_connection(served: Served) -> None:
    with RawPeer(served.endpoint) as peer:
        peer.sock.sendall(b"raise\n")
        assert peer.sock.recv(1) == b""
    assert served.exchange.has_failed.wait(WAIT_S)


def test_connection_that_is_held_fails_with_its_hold(served: Served) -> None:
    with RawPeer(served.endpoint) as peer:
        exchange_lines(peer, b"hold\n")
        served.server.stop(WAIT_S)
        assert peer.sock.recv(4) == b"bye\n"
        assert peer.sock.recv(1) == b""
    served.server.join()
    assert served.exchange.events[:2] == [b"hold", "stop"]


def test_half_closed_connection_lives_until_its_hold_ends(served: Served) -> None:
    with RawPeer(served.endpoint) as peer:
        exchange_lines(peer, b"hold\n")
        peer.sock.shutdown(1)
        wait_until(lambda: ErrorCode.EEOF in served.exchange.events)
        assert served.server.unfinished_connections()[0].holds == 1
        served.exchange.connection.release_hold(served.exchange)
        assert peer.sock.recv(1) == b""
    assert served.exchange.has_failed.wait(WAIT_S)
    assert "hold failed" not in served.exchange.events
