"""Handshakes of TLS as a server sees them: what it refuses, and what it agrees on."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import ssl
from collections.abc import Callable

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ErrorCode, HandshakeError, TlsConfigError, TlsError
from pybrpc.iobuf import IOBuf
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.interfaces import ConnectionLayer, TlsInfo
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.tls.server_tls import ServerTls, ServerTlsContexts
from pybrpc.transport.tls.tls_layer import PROTOCOL_VERSION_ALERT
from tests.fakes.sockets import MakeWire, Outcomes, User, Wire
from tests.fakes.threads import WAIT_S
from tests.fakes.tls_sockets import FRAME
from tests.peers.tls import NAME, CertFiles, as_client, certificates


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
    assert accepted.wire.receive_all() == PROTOCOL_VERSION_ALERT
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
