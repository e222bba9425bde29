"""Encrypted: a stepped Socket with TLS whose handshake is over, and its peer; what both send."""

from __future__ import annotations

import ssl

from pybrpc.base.endpoint import Endpoint
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.interfaces import ConnectionLayer
from pybrpc.transport.tls.server_tls import ServerTlsContexts
from tests.fakes.sockets import SMALL_BUFFER, MakeWire, Outcomes, User, Wire
from tests.peers.tls import MemoryPeer, certificates

SOMEWHERE = Endpoint("127.0.0.1", 1)
FRAME = bytes(BAIDU_STD.pack_request(RpcRequest(7, "service", "method", b"body")))


def message(number: int, size: int = 10) -> bytes:
    return bytes(BAIDU_STD.pack_request(RpcRequest(number, "service", "method", bytes(size))))


def client_layer(**options: object) -> ConnectionLayer:
    return certificates().client_tls(**options).layer_to(SOMEWHERE)


def server_layer(**options: object) -> ConnectionLayer:
    return ServerTlsContexts(certificates().server_tls(**options)).new_layer()


def context_of(version: str, serves: bool) -> ssl.SSLContext:
    context = certificates().server_context() if serves else certificates().client_context()
    context.maximum_version = ssl.TLSVersion[version]
    return context


class Encrypted:
    """A stepped client Socket whose handshake is over, and its peer."""

    def __init__(self, wire: Wire, step: StepDispatcher) -> None:
        self.socket = wire.socket
        self.step = step
        self.peer = MemoryPeer(wire.peer, certificates().server_context())
        self.peer.shake_hands(step.run_until_idle)
        assert self.socket.is_connected

    def write(self, data: bytes, told: Outcomes, **options: bool) -> None:
        self.socket.start_write(IOBuf(data), on_outcome=told, notify_on_success=True, **options)

    def read(self) -> bytes:
        """All that moves."""
        received = bytearray()
        while self.step.run_until_idle() or self.peer.receive():
            received += self.peer.read()
        return bytes(received) + self.peer.read()


def encrypted(step: StepDispatcher, make_wire: MakeWire, user: User | None = None) -> Encrypted:
    wire = make_wire(step, buffer_bytes=SMALL_BUFFER, layer=client_layer(), user=user)
    return Encrypted(wire, step)
