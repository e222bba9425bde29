"""Handshakes of TLS that go wrong, and what the good ones agree on."""

from __future__ import annotations

import contextlib
import errno
import pathlib
import shutil
import socket as plain
import ssl
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ErrorCode, HandshakeError, Phase, RpcError, TlsConfigError, TlsError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.detect import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.interfaces import ConnectionLayer, TlsInfo
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.tls.client_tls import ClientTls
from pybrpc.transport.tls.server_tls import ServerTls, ServerTlsContexts
from tests.fakes.dispatchers import run_inside
from tests.fakes.sockets import MakeStep, MakeWire, Outcomes, User, Wire
from tests.fakes.threads import WAIT_S
from tests.peers.greeting import Greeting
from tests.peers.tls import NAME, CertFiles, MemoryPeer, as_client, as_server, certificates

FRAME = bytes(BAIDU_STD.pack_request(RpcRequest(7, "service", "method", b"body")))
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


# --- the server's side ---


class Accepted:
    """A Socket that serves TLS, and the raw end of its client."""

    def __init__(self, wire: Wire, user: User) -> None:
        self.wire = wire
        self.user = user

    def shake(self, files: CertFiles | None = None, name: str = NAME, **options: object) -> TlsInfo:
        """As a client of Python's ssl; what the server sees of it."""
        context = certificates().client_context(files)
        alpn = options.get("alpn")
        if alpn:
            context.set_alpn_protocols(alpn)  # type: ignore[arg-type]
        self.wire.peer = as_client(self.wire.peer, context, name)
        self.wire.peer.do_handshake()  # type: ignore[attr-defined]
        self.wire.peer.sendall(FRAME)
        assert self.user.messages.get(timeout=WAIT_S).correlation_id == 7
        assert self.wire.socket.tls is not None
        return self.wire.socket.tls


MakeAccepted = Callable[..., Accepted]


@pytest.fixture
def accept(dispatcher: EventDispatcher, make_wire: MakeWire) -> MakeAccepted:
    def make(layer: ConnectionLayer | None = None, **options: object) -> Accepted:
        user = User()
        layer = layer or ServerTlsContexts(certificates().server_tls(**options)).new_layer()
        return Accepted(make_wire(dispatcher, user=user, layer=layer), user)

    return make


@pytest.mark.parametrize("first", [FRAME, b"G", b"\x15\x03\x01\x00\x02\x02\x28", bytes(3)])
def test_plaintext_on_a_tls_port_is_refused(accept: MakeAccepted, first: bytes) -> None:
    """bRPC: force_ssl, which is off there by default (brpc#3082)."""
    accepted = accept()
    accepted.wire.peer.sendall(first)
    error = accepted.user.take_error()
    assert isinstance(error, HandshakeError)
    assert "does not speak TLS" in error.text
    assert "allow_plaintext=True" in error.text
    assert accepted.wire.receive_all() == b""
    assert accepted.user.messages.qsize() == 0


def test_a_hello_that_makes_no_sense_is_answered_with_an_alert(accept: MakeAccepted) -> None:
    accepted = accept()
    accepted.wire.peer.sendall(b"\x16\x03\x01\x00\x05" + bytes(5))
    assert accepted.user.take_error().code == ErrorCode.ESSL
    assert accepted.wire.receive_all()[:1] == b"\x15"


def test_silent_client_is_closed_in_time(step: StepDispatcher, make_wire: MakeWire) -> None:
    user = User()
    layer = ServerTlsContexts(certificates().server_tls()).new_layer()
    wire = make_wire(step, user=user, layer=layer, handshake_timeout_s=3.0)
    wire.peer.sendall(b"\x16\x03\x01")
    step.advance(2.9)
    assert user.errors.qsize() == 0
    step.advance(0.2)
    assert user.take_error().code == ErrorCode.ETIMEDOUT


@pytest.mark.parametrize("allows", ["tls", "plaintext"])
def test_plaintext_beside_tls_if_it_is_allowed(accept: MakeAccepted, allows: str) -> None:
    accepted = accept(allow_plaintext=True)
    if allows == "tls":
        assert accepted.shake().version == "TLSv1.3"
    else:
        accepted.wire.peer.sendall(FRAME[:5])
        accepted.wire.peer.sendall(FRAME[5:])
        assert accepted.user.messages.get(timeout=WAIT_S).correlation_id == 7
        assert accepted.wire.socket.tls is None
    accepted.wire.socket.start_write(IOBuf(b"answer"))
    assert accepted.wire.receive(6) == b"answer"


def test_client_that_leaves_a_plain_or_tls_port_is_reported_as_an_end(
    accept: MakeAccepted,
) -> None:
    accepted = accept(allow_plaintext=True)
    accepted.wire.peer.close()
    assert accepted.user.take_error().code == ErrorCode.EEOF


# --- mutual TLS ---


def test_mutual_tls_shows_the_certificate_of_the_client(accept: MakeAccepted) -> None:
    info = accept(client_ca=certificates().ca).shake(certificates().client)
    assert info.peer_certificate is not None
    assert ("DNS", "client.test") in info.peer_certificate["subjectAltName"]


def test_a_certificate_of_the_client_may_be_optional(accept: MakeAccepted) -> None:
    options = {"client_ca": certificates().ca, "require_client_cert": False}
    assert accept(**options).shake().peer_certificate is None
    assert accept(**options).shake(certificates().client).peer_certificate is not None


@pytest.mark.parametrize(
    ("which", "reason_here", "reason_there"),
    [
        (None, "sent no certificate, which is required here", "certificate required"),
        ("self_signed", "self-signed certificate", "unknown ca"),
        ("expired", "certificate has expired", "certificate expired"),
    ],
)
def test_a_client_without_a_good_certificate_is_refused(
    dispatcher: EventDispatcher,
    accept: MakeAccepted,
    which: str | None,
    reason_here: str,
    reason_there: str,
) -> None:
    """Both sides get the reason. With TLS 1.3 the client's handshake is over when it is refused."""
    made = certificates()
    accepted = accept(client_ca=made.ca)
    files = getattr(made, which)() if which else None
    options = {"cert": files.cert, "key": files.key} if files else {}
    user, told = User(), Outcomes()
    client = Socket.of(
        accepted.wire.peer.dup(),
        dispatcher,
        user=user,
        layer=made.client_tls(**options).layer_to(Endpoint("a-pair", 1)),
    )
    with contextlib.suppress(TlsError, HandshakeError):
        for _ in range(100):
            client.start_write(IOBuf(bytes(1000)), on_outcome=told)
    here = accepted.user.take_error()
    assert isinstance(here, HandshakeError)
    assert reason_here in here.text
    there = user.take_error()
    assert isinstance(there, TlsError | HandshakeError)
    assert (there.code, there.is_remote) == (ErrorCode.ESSL, True)
    assert reason_there in there.text
    if which is None:
        assert "ClientTls(cert=..., key=...)" in there.text
    assert client.is_failed
    assert {error and error.code for error in told.take(told.untaken)} <= {ErrorCode.ESSL}


# --- what is agreed on ---


@pytest.mark.parametrize(
    ("ours", "theirs", "chosen"),
    [
        (("baidu_std", "h2"), ["h2", "baidu_std"], "baidu_std"),
        (("h2",), ["h3"], None),
        ((), ["h2"], None),
    ],
)
def test_alpn_of_a_server(
    accept: MakeAccepted, ours: tuple[str, ...], theirs: list[str], chosen: str | None
) -> None:
    accepted = accept(alpn=ours)
    assert accepted.shake(alpn=theirs).alpn == chosen
    assert accepted.wire.peer.selected_alpn_protocol() == chosen  # type: ignore[attr-defined]


def test_alpn_of_a_client(step: StepDispatcher, make_wire: MakeWire) -> None:
    layer = certificates().client_tls(alpn=["h2", "baidu_std"]).layer_to(Endpoint("x", 1))
    wire = make_wire(step, layer=layer)
    context = certificates().server_context()
    context.set_alpn_protocols(["baidu_std"])
    MemoryPeer(wire.peer, context).shake_hands(step.run_until_idle)
    assert wire.socket.tls is not None
    assert wire.socket.tls.alpn == "baidu_std"


def names_in(der: bytes | None) -> str:
    """The names that a certificate is for."""
    assert der is not None
    from cryptography import x509

    found = x509.load_der_x509_certificate(der).extensions
    names = found.get_extension_for_class(x509.SubjectAlternativeName).value
    return ",".join(names.get_values_for_type(x509.DNSName))


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("one.test", "one.test"),
        ("ONE.test", "one.test"),
        ("a.two.test", "*.two.test"),
        (NAME, f"{NAME},localhost"),
        ("localhost", f"{NAME},localhost"),
    ],
)
def test_name_that_the_client_asks_for_chooses_the_certificate(
    accept: MakeAccepted, asked: str, names: str
) -> None:
    """bRPC: ssl_sni."""
    made = certificates()
    one, two = made.issue("one", "one.test"), made.issue("two", "*.two.test")
    accepted = accept(
        sni={"one.test": (one.cert, one.key), "*.Two.test": (two.cert, two.key)},
        client_ca=made.ca,
    )
    info = accepted.shake(made.client, asked)
    der = accepted.wire.peer.getpeercert(binary_form=True)  # type: ignore[attr-defined]
    assert names_in(der) == names
    assert info.peer_certificate is not None, "mutual TLS holds for all names"


def test_a_name_without_a_certificate_of_its_own_gets_the_default(accept: MakeAccepted) -> None:
    one = certificates().issue("one", "one.test")
    accepted = accept(sni={"*.one.test": (one.cert, one.key)})
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'a\.b\.one\.test'"):
        accepted.shake(name="a.b.one.test")


# --- loading certificates again ---


def test_certificates_loaded_again_are_those_of_new_connections(accept: MakeAccepted) -> None:
    """bRPC: ssl_reload."""
    made = certificates()
    files = made.issue("renewed", NAME)
    contexts = ServerTlsContexts(ServerTls(files.cert, files.key))
    old = accept(contexts.new_layer())
    old.shake()
    before = old.wire.peer.getpeercert(binary_form=True)  # type: ignore[attr-defined]
    made.issue("renewed", NAME)
    contexts.reload()
    new = accept(contexts.new_layer())
    new.shake()
    assert new.wire.peer.getpeercert(binary_form=True) != before  # type: ignore[attr-defined]
    old.wire.socket.start_write(IOBuf(b"as before"))
    assert old.wire.receive(9) == b"as before"


@pytest.mark.parametrize("content", [None, "no certificate", "the key of another"])
def test_reload_of_bad_files_changes_nothing(accept: MakeAccepted, content: str | None) -> None:
    made = certificates()
    files = made.issue("spoiled", NAME)
    contexts = ServerTlsContexts(ServerTls(files.cert, files.key))
    if content == "the key of another":
        shutil.copy(made.client.key, files.key)
    else:
        pathlib.Path(files.cert).write_text(content or "")
    with pytest.raises(TlsConfigError, match=r"Fail to load the certificate of TLS from .*spoiled"):
        contexts.reload()
    accept(contexts.new_layer()).shake()


# --- together with the rest ---


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
