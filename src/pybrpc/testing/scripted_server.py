"""ScriptedServer: a listening socket whose connections each run a script of the test.

Its connections use nothing of pybrpc's transport and server, so they can do what those never do:
answer with wrong bytes, with half a response, or not at all.
"""

from __future__ import annotations

import contextlib
import inspect
import socket
import struct
import threading
from collections.abc import Callable
from traceback import format_exception
from typing import Self

from google.protobuf.message import Message

from pybrpc.base.checked_options import shown, why_not_called
from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import TRANSPORT, safe_repr
from pybrpc.errors import AddressError, ErrorCode
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.protocol import NEED_MORE, ParseLimits, RpcProtocol
from pybrpc.protocols.registry import protocol_named
from pybrpc.transport.listening.listen import listen

_LIMITS = ParseLimits()
_READ_BYTES = 256 * 1024

LONG_S = 5.0
"""Seconds after which `close` logs that it waits for a script."""


class ScriptedPeer:
    """The server's end of one connection, as its script sees it. Its methods block; they are for
    the thread of the script, which owns the connection: `sock` may be used as it likes."""

    def __init__(
        self, sock: socket.socket, requests: list[RpcRequest], protocol: RpcProtocol
    ) -> None:
        self.sock = sock
        self.protocol = protocol
        self.received = bytearray()
        """All bytes that were read so far."""
        self._buffer = IOBuf()
        self._requests = requests

    # --- reading ---

    def read_request(self) -> RpcRequest | None:
        """The next request, or `None` when the client has closed. AssertionError for bytes that are
        no request of the protocol."""
        while (message := self.protocol.parse(self._buffer, _LIMITS)) is NEED_MORE:
            if not self._receive():
                return None
        if not isinstance(message, RpcRequest):
            raise AssertionError(f"the client sent no request of {self.protocol.name}: {message!r}")
        self._requests.append(message)
        return message

    def expect_request(self) -> RpcRequest:
        """The next request; AssertionError if the client closes instead."""
        request = self.read_request()
        if request is None:
            raise AssertionError("the client closed instead of sending a request")
        return request

    def read_until(self, end: bytes) -> bytes:
        """The bytes up to the next `end`, with it: `read_until(b"\\r\\n\\r\\n")` for the head of an
        HTTP message. What is left if the client closes first."""
        while end not in (data := bytes(self._buffer)):
            if not self._receive():
                return bytes(self._buffer.cutn(len(self._buffer)))
        return bytes(self._buffer.cutn(data.index(end) + len(end)))

    def wait_closed(self) -> None:
        """Read, and answer nothing, until the client has closed."""
        while self._receive():
            pass

    # --- writing; that the client goes away meanwhile is no error ---

    def answer(self, request: RpcRequest, message: Message, *, attachment: bytes = b"") -> None:
        """Answer `request` with `message`, and with `attachment` after it."""
        self.send(self.frame(request, message, attachment=attachment))

    def answer_in_part(self, request: RpcRequest, message: Message, size_bytes: int) -> None:
        """Answer `request` with the first `size_bytes` bytes of a response with `message`; with all
        but that many of its last bytes if it is negative."""
        self.send(self.frame(request, message)[:size_bytes])

    def fail(self, request: RpcRequest, code: int, text: str = "") -> None:
        """Answer `request` with the error `code`, a number or an ErrorCode, and `text`."""
        self._send_response(RpcResponse(request.correlation_id, int(code), text))

    def log_off(self, request: RpcRequest) -> None:
        """Answer `request` with ELOGOFF, as a server that stops: the client sends the call again
        elsewhere, and no more calls over this connection."""
        self.fail(request, ErrorCode.ELOGOFF, "the server is stopping")

    def frame(self, request: RpcRequest, message: Message, *, attachment: bytes = b"") -> bytes:
        """The bytes by which `answer` answers `request` with `message` and `attachment`, for
        scripts that change them."""
        body = message.SerializeToString()
        response = RpcResponse(request.correlation_id, body=body)
        if attachment:
            response.attachment = IOBuf(attachment)
        return bytes(self.protocol.pack_response(response))

    def send(self, data: bytes) -> None:
        """Send any bytes, all of them."""
        with contextlib.suppress(ConnectionError):
            self.sock.sendall(data)

    # --- ends; a script that returns closes the connection too ---

    def end_sending(self) -> None:
        """Shut this side down: the client sees the end, and may still send."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the connection."""
        self.sock.close()

    def reset(self) -> None:
        """Close it with a reset (RST)."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _send_response(self, response: RpcResponse) -> None:
        self.send(bytes(self.protocol.pack_response(response)))

    def _receive(self) -> bool:
        try:
            data = self.sock.recv(_READ_BYTES)
        except ConnectionError:
            data = b""
        self.received += data
        self._buffer.append(data)
        return bool(data)


Script = Callable[[ScriptedPeer], None]
"""A function that serves one connection, in a thread of its own."""


def never_answer(peer: ScriptedPeer) -> None:
    """The script of a server that reads, and says nothing."""
    peer.wait_closed()


class ScriptedServer:
    """Accepts connections, and runs a script with each: the n-th script with the n-th connection,
    the last script with all later ones.

        def half_a_response(peer):
            peer.answer_in_part(peer.expect_request(), EchoResponse(message="hi"), 10)

        with ScriptedServer(half_a_response) as server, pybrpc.Channel(server.address) as channel:
            ...

    protocol  the name of what `peer.read_request` and `peer.answer` speak; scripts of HTTP use
              `read_until` and `send`
    address   where it listens: "host:port", "[v6]:port" or "unix:path". Default: a free port of
              127.0.0.1

    When a script returns its connection is closed. What a script raises fails the test: the end of
    the `with` raises it, or it is a note of the error that ends the block; so it does if the server
    can accept no more, as without descriptors. ValueError without a script, TypeError for what is
    none; AddressError, which is a ValueError, for an address that
    makes no sense, or is in memory; ListenError, an OSError, if it can't listen.
    """

    peer_class: type[ScriptedPeer] = ScriptedPeer

    def __init__(
        self,
        *scripts: Script,
        protocol: str | RpcProtocol = "baidu_std",
        address: str = "127.0.0.1:0",
    ) -> None:
        if not scripts:
            raise ValueError("a ScriptedServer needs a script: a function of a ScriptedPeer")
        for script in scripts:
            _check_script(script)
        self.protocol = protocol_named(protocol) if isinstance(protocol, str) else protocol
        self.requests: list[RpcRequest] = []
        """The requests that the scripts have read, on all connections."""
        self.peers: list[ScriptedPeer] = []
        """The connections so far."""
        self._scripts = scripts
        self._errors: list[BaseException] = []
        self._threads: dict[threading.Thread, Script] = {}
        self._is_closing = False
        where = Endpoint.parse(address, allow_port_0=True)
        if where.is_memory:
            raise AddressError(f"{where} is in memory, and a ScriptedServer needs a socket")
        self._listener, self._file = listen(where)
        self._listener.setblocking(True)
        endpoint = Endpoint.from_sockaddr(self._listener.getsockname())
        self.port = endpoint.port
        """0 for a Unix socket."""
        self.address = str(endpoint)
        """Where clients connect to."""
        self._thread = threading.Thread(target=self._accept_all, name="scripted-server")

    @property
    def connections(self) -> int:
        """How many connections were accepted."""
        return len(self.peers)

    def start(self) -> None:
        """Accept from now on. Before, clients connect, and wait. RuntimeError: it was started."""
        if self._thread.ident is not None:
            raise RuntimeError(f"{self!r} was started before: make a new one")
        self._thread.start()

    def close(self) -> None:
        """Close all connections, and end all threads: scripts that read find the end. Blocks until
        they have returned. Raises what a script has raised. A script may call it too: then it
        waits for no script, and raises nothing."""
        self._end()
        if self._errors and threading.current_thread() not in self._threads:
            raise self._errors[0]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            self.close()
            return
        self._end()
        for raised in self._errors:  # one of them may be the cause
            text = "".join(format_exception(raised)).rstrip()
            error.add_note(f"a script of the server had raised:\n{text}")

    def _end(self) -> None:
        self._is_closing = True
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:  # macOS can't do that with a listening socket: only a client ends `accept`
            with contextlib.suppress(OSError):
                self._connect()
        if self._thread.ident is not None:
            self._thread.join()
        if self._file is not None:
            self._file.remove()
        self._listener.close()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() in self._threads:
            return  # two scripts would wait for each other
        for thread, script in self._threads.items():
            thread.join(LONG_S)
            if thread.is_alive():
                name = getattr(script, "__qualname__", None) or safe_repr(script)
                TRANSPORT.warning("%r waits for the script %s, which has not returned", self, name)
                thread.join()

    def _connect(self) -> None:
        with socket.socket(self._listener.family) as sock:
            sock.settimeout(1)
            sock.connect(self._listener.getsockname())

    def _accept_all(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except ConnectionError:
                continue  # a client that has gone already
            except OSError as error:
                if not self._is_closing:  # clients would wait for a server that accepts no more
                    self._errors.append(error)
                    with contextlib.suppress(OSError):
                        self._listener.shutdown(socket.SHUT_RDWR)
                return
            if self._is_closing:
                sock.close()
                return
            try:
                self._begin(sock)
            except BaseException as error:  # of a `peer_class`; or no thread can be started
                self._errors.append(error)
                sock.close()

    def _begin(self, sock: socket.socket) -> None:
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = self.peer_class(sock, self.requests, self.protocol)
        script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
        self.peers.append(peer)
        thread = threading.Thread(target=self._run, args=(script, peer), name="script")
        self._threads[thread] = script
        try:
            thread.start()
        except BaseException:
            del self._threads[thread]
            raise

    def _run(self, script: Callable[[ScriptedPeer], object], peer: ScriptedPeer) -> None:
        try:
            returned = script(peer)
            if returned is not None:
                _refuse_unrun(returned)
        except BaseException as error:
            self._errors.append(error)
        finally:
            peer.sock.close()

    def __repr__(self) -> str:
        return f"<ScriptedServer on {self.address}, {self.connections} connections>"


def _check_script(script: object) -> None:
    if not callable(script):
        raise TypeError(f"a script is a function of a ScriptedPeer, not {shown(script)}")
    if inspect.iscoroutinefunction(script) or inspect.isasyncgenfunction(script):
        raise TypeError(
            f"a script runs in a thread, and must be no async function: {shown(script)}"
        )
    if inspect.isgeneratorfunction(script):
        raise TypeError(f"a script must be no generator (`yield`): {shown(script)}")
    if mismatch := why_not_called(script, "peer"):
        raise TypeError(f"a script is called with a ScriptedPeer: {mismatch}: {shown(script)}")


def _refuse_unrun(returned: object) -> None:
    """TypeError if a script has returned what should have been run."""
    if inspect.iscoroutine(returned):
        returned.close()
    if inspect.isawaitable(returned) or inspect.isgenerator(returned):
        kind = type(returned).__name__
        raise TypeError(
            f"a script has returned a {kind}, which nobody runs: make it a plain function"
        )
