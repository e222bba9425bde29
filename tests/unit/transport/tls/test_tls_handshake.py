"""Handshakes of TLS as a client sees them, and at the side of either."""

from __future__ import annotations

import contextlib
import errno
import socket as plain
import ssl
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ErrorCode, HandshakeError, Phase, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.tls.client_tls import ClientTls
from pybrpc.transport.tls.server_tls import ServerTlsContexts
from tests.fakes.dispatchers import run_inside
from tests.fakes.sockets import MakeStep, MakeWire, Outcomes, User
from tests.fakes.threads import WAIT_S
from tests.fakes.tls_sockets import FRAME
from tests.peers.greeting import Greeting
from tests.peers.tls import NAME, MemoryPeer, as_server, certificates

Handler = Callable[[plain.socket], None]


@pytest.fixture
def serve() -> Iterator[Callable[[Handler], Endpoint]]:
    """Starts a listener whose one connection a function handles in a thread."""
    with contextlib.ExitStack() as stack:

        def start(handle: Handler) -> Endpoint:
            listener = stack.enter_context(plain.create_server(("127.0.0.1", 0)))
            listener.settimeout(WAIT_S)

            def run() -> None:
                sock, _ = listener.accept()
                sock.settimeout(WAIT_S)
                with sock, contextlib.suppress(OSError):
                    handle(sock)

            thread = threading.Thread(target=run)
            thread.start()
            stack.callback(thread.join, WAIT_S)
            return Endpoint.from_sockaddr(listener.getsockname())

        yield start


def shake_as_server(context: ssl.SSLContext) -> Handler:
    def handle(sock: plain.socket) -> None:
        with as_server(sock, context) as tls:
            tls.do_handshake()
            while tls.recv(1 << 16):
                pass

    return handle


def errors_of_a_client(
    endpoint: Endpoint, dispatcher: EventDispatcher, tls: ClientTls, count: int = 100
) -> list[RpcError]:
    """The errors that the user and each of `count` writers get."""
    user, told = User(), Outcomes()
    layer = tls.layer_to(endpoint)
    socket = Socket.to(endpoint, dispatcher, user=user, layer=layer, connect_timeout_s=WAIT_S)

    def write_all() -> None:
        for _ in range(count):
            socket.start_write(IOBuf(b"x"), on_outcome=told)

    # In one turn, so that it can't fail meanwhile.
    run_inside(dispatcher, write_all)
    errors = [user.take_error(), *(error for error in told.take(count) if error)]
    assert len(errors) == count + 1
    assert (user.connected.qsize(), told.untaken, socket.tls) == (0, 0, None)
    return errors


def the_only(errors: list[RpcError]) -> RpcError:
    assert len({(type(e), e.code, e.phase, e.peer, e.text, e.is_remote) for e in errors}) == 1
    return errors[0]


# --- certificates that are refused ---


@pytest.mark.parametrize(
    ("which", "options", "reason"),
    [
        ("expired", {}, "certificate verify failed: certificate has expired"),
        ("self_signed", {}, "certificate verify failed: self-signed certificate"),
        ("server", {"server_name": "other.test"}, "Hostname mismatch, certificate is not valid "),
        ("server", {"server_name": None}, "IP address mismatch, certificate is not valid for"),
        ("server", {"ca": None}, "certificate verify failed: "),
    ],
)
def test_a_certificate_that_is_not_trusted_reaches_everybody_with_its_reason(
    dispatcher: EventDispatcher,
    serve: Callable[[Handler], Endpoint],
    which: str,
    options: dict[str, object],
    reason: str,
) -> None:
    """bRPC: verify_peer_name."""
    made = certificates()
    files = made.server if which == "server" else getattr(made, which)()
    if options.get("server_name", NAME) is None:
        files = made.issue("only_a_name", NAME)
    endpoint = serve(shake_as_server(made.server_context(files)))
    error = the_only(errors_of_a_client(endpoint, dispatcher, made.client_tls(**options)))
    assert isinstance(error, HandshakeError)
    assert (error.code, error.phase) == (ErrorCode.ESSL, Phase.HANDSHAKE)
    assert (error.peer, error.is_remote) == (str(endpoint), False)
    assert error.text.startswith(f"Fail to shake hands with {endpoint}: ")
    assert reason in error.text


def test_name_is_that_of_the_address_if_none_is_given(
    dispatcher: EventDispatcher, serve: Callable[[Handler], Endpoint]
) -> None:
    made, told = certificates(), Outcomes()
    endpoint = serve(shake_as_server(made.server_context()))
    socket = Socket.to(endpoint, dispatcher, layer=ClientTls(ca=made.ca).layer_to(endpoint))
    socket.start_write(IOBuf(b"x"), on_outcome=told, notify_on_success=True)
    assert told.take() == [None]
    socket.close()


# --- peers that speak no TLS, or nothing ---


def reset(sock: plain.socket) -> None:
    sock.recv(1)
    sock.setsockopt(plain.SOL_SOCKET, plain.SO_LINGER, struct.pack("ii", 1, 0))


def read_and_end(sock: plain.socket) -> None:
    sock.recv(1 << 16)


def speak_plain(sock: plain.socket) -> None:
    sock.sendall(FRAME)
    while sock.recv(1 << 16):
        pass


@pytest.mark.parametrize(
    ("handle", "code", "text"),
    [
        (speak_plain, ErrorCode.ESSL, "does not seem to speak TLS, it began with b'PRPC"),
        (read_and_end, ErrorCode.EEOF, "before it sent anything: does it speak TLS?"),
        (reset, errno.ECONNRESET, "before it sent anything: does it speak TLS?"),
    ],
)
def test_tls_to_a_plain_port(
    dispatcher: EventDispatcher,
    serve: Callable[[Handler], Endpoint],
    handle: Handler,
    code: int,
    text: str,
) -> None:
    errors = errors_of_a_client(serve(handle), dispatcher, certificates().client_tls())
    error = the_only(errors)
    assert isinstance(error, HandshakeError)
    assert (error.code, error.phase, error.is_remote) == (code, Phase.HANDSHAKE, True)
    assert text in error.text


def test_peers_without_a_common_version_fail(
    dispatcher: EventDispatcher, serve: Callable[[Handler], Endpoint]
) -> None:
    server, client = certificates().server_context(), certificates().client_context()
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    tls = ClientTls(context=client, server_name=NAME)
    error = the_only(errors_of_a_client(serve(shake_as_server(server)), dispatcher, tls))
    assert "the peer requires another version of TLS" in error.text
    assert error.is_remote


def test_handshake_of_a_stalled_peer_fails_at_the_deadline_of_the_connect(
    step: StepDispatcher, make_step: MakeStep
) -> None:
    user, told = User(), Outcomes()
    with plain.create_server(("127.0.0.1", 0)) as listener:
        endpoint = Endpoint.from_sockaddr(listener.getsockname())
        layer = certificates().client_tls().layer_to(endpoint)
        socket = Socket.to(endpoint, step, user=user, layer=layer, connect_timeout_s=1.0)
        for _ in range(100):
            socket.start_write(IOBuf(b"x"), on_outcome=told)
        step.advance(0.9)
        assert told.untaken == 0
        step.advance(0.2)
    errors = told.take(100)
    assert {(e.code, e.phase) for e in errors if e} == {(ErrorCode.ETIMEDOUT, Phase.HANDSHAKE)}
    assert isinstance(user.take_error(), HandshakeError)


# --- handshakes that succeed, and ends in the middle of one ---


def test_alpn_of_a_client(step: StepDispatcher, make_wire: MakeWire) -> None:
    layer = certificates().client_tls(alpn=["h2", "baidu_std"]).layer_to(Endpoint("x", 1))
    wire = make_wire(step, layer=layer)
    context = certificates().server_context()
    context.set_alpn_protocols(["baidu_std"])
    MemoryPeer(wire.peer, context).shake_hands(step.run_until_idle)
    assert wire.socket.tls is not None
    assert wire.socket.tls.alpn == "baidu_std"


def test_an_app_connect_runs_inside_tls(step: StepDispatcher, make_wire: MakeWire) -> None:
    user, layer = User(), certificates().client_tls().layer_to(Endpoint("x", 1))
    wire = make_wire(step, user=user, layer=layer, app_connect=Greeting(2))
    wire.socket.start_write(IOBuf(b"message"))
    peer = MemoryPeer(wire.peer, certificates().server_context())
    peer.shake_hands(step.run_until_idle)
    assert peer.read() == b"hello 1\n"
    peer.send(b"welcome\n")
    step.run_until_idle()
    assert peer.read() == b"hello 2\n"
    peer.send(b"welcome\n" + FRAME)
    step.run_until_idle()
    assert peer.read() == b"message"
    assert user.messages.get_nowait().correlation_id == 7


@pytest.mark.parametrize("steps", range(12))
@pytest.mark.parametrize("side", ["client", "server"])
def test_close_at_any_step_of_the_handshake_reaches_everybody(
    make_step: MakeStep, side: str, steps: int
) -> None:
    step, told = make_step(steps), Outcomes()
    ends, users = plain.socketpair(), (User(), User())
    client = Socket.of(
        ends[0],
        step,
        user=users[0],
        layer=certificates().client_tls().layer_to(Endpoint("x", 1)),
    )
    server = Socket.of(
        ends[1],
        step,
        user=users[1],
        layer=ServerTlsContexts(certificates().server_tls()).new_layer(),
    )
    for socket in (client, server):
        socket.start_write(IOBuf(b"x"), on_outcome=told, notify_on_success=True)
    for _ in range(steps):
        step.step()
    (client if side == "client" else server).close()
    step.run_until_idle()
    assert told.untaken == 2
    assert (client.fd, server.fd) == (-1, -1)
    assert [user.errors.qsize() for user in users] == [1, 1]


def test_forked_child_sends_nothing_into_its_parents_connection(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    """A child calls `abandon`. close_notify would end the parent's stream."""
    layer = certificates().client_tls().layer_to(Endpoint("x", 1))
    wire = make_wire(step, layer=layer, user=User())
    peer = MemoryPeer(wire.peer, certificates().server_context())
    peer.shake_hands(step.run_until_idle)
    fd = wire.socket.fd
    wire.socket.abandon()
    step.remove_reader(fd)
    assert peer.read() == b""
    assert not peer.is_ended
    assert wire.peer.recv(1) == b""
