"""Loads of the stress tests: writers that all write to one socket, which may fail meanwhile."""

from __future__ import annotations

import ssl
import struct
import threading

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ConnectionFailedError, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket.statistics import SocketStatistics
from tests.fakes.sockets import Outcomes, User, Wire, make_pair
from tests.fakes.threads import WAIT_S, in_threads
from tests.peers.tls import as_server, certificates

WRITERS = 8
NUMBERED = struct.Struct("!QQ")


def write_numbered(wire: Wire, each: int) -> SocketStatistics:
    """Have each writer write `each` messages, and check that the peer gets them all in order."""
    received: list[bytes] = []

    def run(index: int) -> None:
        if index == WRITERS:
            received.append(wire.receive(WRITERS * each * NUMBERED.size))
            return
        for number in range(each):
            wire.socket.start_write(IOBuf(NUMBERED.pack(index, number)))

    in_threads(WRITERS + 1, run)
    over = Outcomes()
    wire.socket.start_write(IOBuf(), on_outcome=over, notify_on_success=True)
    assert over.take() == [None]
    order: dict[int, list[int]] = {}
    for index, number in NUMBERED.iter_unpack(received[0]):
        order.setdefault(index, []).append(number)
    assert order == {index: list(range(each)) for index in range(WRITERS)}
    return wire.socket.statistics()


class Round:
    """One socket to which all writers write until one of them, or the peer, makes it fail."""

    def __init__(self, wire: Wire, fails_at: int, who: str) -> None:
        self.wire = wire
        self.fails_at = fails_at
        self.who = who
        self.outcomes = Outcomes()
        self.counts = [0] * WRITERS
        self.user = User()
        wire.socket.set_user(self.user)

    def write(self, index: int) -> None:
        for number in range(60):
            if index == 0 and number == self.fails_at:
                self.fail()
            told = Once(self.outcomes)
            try:
                self.wire.socket.start_write(
                    IOBuf(bytes(100)), on_outcome=told, notify_on_success=True
                )
            except RpcError:
                return
            self.counts[index] += 1

    def fail(self) -> None:
        if self.who == "this side":
            self.wire.socket.fail(ConnectionFailedError("the test says so"))
        else:
            self.wire.peer.close()

    def check(self) -> None:
        accepted = sum(self.counts)
        errors = self.outcomes.take(accepted)
        assert {type(error) for error in errors} <= {type(None), ConnectionFailedError}
        self.user.take_error()


class Once:
    """An outcome callback that is an error to call twice."""

    def __init__(self, outcomes: Outcomes) -> None:
        self.outcomes = outcomes
        self.token = threading.Lock()

    def __call__(self, error: RpcError | None) -> None:
        is_first = self.token.acquire(blocking=False)
        self.outcomes(error if is_first else RuntimeError("second outcome"))  # type: ignore[arg-type]


def run_rounds(rounds: list[Round]) -> None:
    barrier = threading.Barrier(WRITERS)

    def run(index: int) -> None:
        for round_ in rounds:
            barrier.wait(WAIT_S)
            round_.write(index)
            barrier.wait(WAIT_S)
            if index == 0:
                round_.wire.close()
                round_.check()

    in_threads(WRITERS, run)


SOMEWHERE = Endpoint("127.0.0.1", 1)


def encrypted_wire(
    dispatcher: EventDispatcher, kind: str, buffer_bytes: int | None, version: str = "TLSv1_3"
) -> Wire:
    """A client Socket with TLS, its handshake over, and a server of Python's ssl."""
    near, far = make_pair(kind, buffer_bytes)
    context = certificates().server_context()
    context.maximum_version = ssl.TLSVersion[version]
    layer = certificates().client_tls().layer_to(SOMEWHERE)
    socket = Socket.of(near, dispatcher, user=User(), layer=layer)
    peer = as_server(far, context)
    peer.do_handshake()
    return Wire(socket, peer)
