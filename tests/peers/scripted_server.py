"""ScriptedServer: a listening socket whose connections each run a script of the test's."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.detect import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from pybrpc.protocols.protocol import NEED_MORE, ParseLimits, RpcProtocol
from tests.peers.echo import echo_frame

LIMITS = ParseLimits()


class Peer:
    """The server's end of one connection. Blocking; used by the thread of its script."""

    def __init__(
        self, sock: socket.socket, requests: list[RpcRequest], protocol: RpcProtocol = BAIDU_STD
    ) -> None:
        self.sock = sock
        self.protocol = protocol
        self.received = bytearray()
        self._buffer = IOBuf()
        self._requests = requests

    def read_request(self) -> RpcRequest | None:
        """The next request, or `None` when the client has closed."""
        while (message := self.protocol.parse(self._buffer, LIMITS)) is NEED_MORE:
            if not self._receive():
                return None
        assert isinstance(message, RpcRequest), message
        self._requests.append(message)
        return message

    def expect_request(self) -> RpcRequest:
        request = self.read_request()
        assert request is not None, "the client closed instead of sending a request"
        return request

    def send(self, data: bytes) -> None:
        """Send all of it. That the client goes away meanwhile is no fault of the script."""
        with contextlib.suppress(ConnectionError):
            self.sock.sendall(data)

    def end_sending(self) -> None:
        """Shut this side down. The client may be gone already."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def answer(self, request: RpcRequest, **fields: object) -> None:
        """Echo; `fields` are those of RpcResponse that shall be different."""
        self.send(echo_frame(request, self.protocol, **fields))

    def echo_until_closed(self) -> None:
        while (request := self.read_request()) is not None:
            self.answer(request)

    def wait_closed(self) -> None:
        """Read, and answer nothing, until the client has closed."""
        while self._receive():
            pass

    def reset(self) -> None:
        """Close with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _receive(self) -> bool:
        try:
            data = self.sock.recv(256 * 1024)
        except ConnectionError:
            data = b""
        self.received += data
        self._buffer.append(data)
        return bool(data)


Script = Callable[[Peer], None]


def echo(peer: Peer) -> None:
    """The script of a server that works."""
    peer.echo_until_closed()


def never_answer(peer: Peer) -> None:
    """The script of a server that reads and says nothing."""
    peer.wait_closed()


class ScriptedServer:
    """Accepts on a free port of 127.0.0.1. The n-th connection runs the n-th script, later ones
    the last. When a script returns its connection is closed; what it raises fails the test when
    the `with` ends.
    """

    def __init__(self, *scripts: Script, protocol: RpcProtocol = BAIDU_STD) -> None:
        self.protocol = protocol
        self.requests: list[RpcRequest] = []
        self.peers: list[Peer] = []
        self._scripts = scripts or (echo,)
        self._errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._accept_all, name="scripted-server")

    @property
    def connections(self) -> int:
        """How many connections have been accepted."""
        return len(self.peers)

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        if self._errors and error is None:
            raise self._errors[0]

    def _accept_all(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = Peer(sock, self.requests, self.protocol)
            script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
            self.peers.append(peer)
            thread = threading.Thread(target=self._run, args=(script, peer), name="script")
            self._threads.append(thread)
            thread.start()

    def _run(self, script: Script, peer: Peer) -> None:
        try:
            script(peer)
        except BaseException as error:
            self._errors.append(error)
        finally:
            peer.sock.close()


@contextlib.contextmanager
def closed_port() -> Iterator[str]:
    """An address on which nobody listens, and which nobody else is given meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{sock.getsockname()[1]}"


@contextlib.contextmanager
def reserved_port() -> Iterator[str]:
    """An address on which only the test may listen; no connection gets it as its own address.

    A port that was free a moment ago is not enough: a client that dials it from a port of the
    system's choice is, once in a while, given that very port, and is connected with itself.
    """
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{sock.getsockname()[1]}"


@contextlib.contextmanager
def deaf_port() -> Iterator[str]:
    """An address on which a connect neither succeeds nor fails: its backlog is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        is_full = False
        while not is_full:
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.05)
            try:
                filler.connect(address)
            except TimeoutError:
                is_full = True
        yield f"127.0.0.1:{address[1]}"


class ScriptedServerOn(ScriptedServer):
    """At a given address."""

    def __init__(self, address: str, *scripts: Any) -> None:
        super().__init__(*scripts)
        self._listener.close()
        host, _, port = address.rpartition(":")
        self._listener = socket.create_server((host, int(port)), backlog=1024)
        self.port = int(port)
        self.address = address
