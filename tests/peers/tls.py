"""Certificates for tests, as PEM files, and peers that speak TLS: Python's ssl."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import datetime
import functools
import pathlib
import shutil
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator

import pytest

from pybrpc.transport.tls.client_tls import ClientTls
from pybrpc.transport.tls.server_tls import ServerTls

# Not every Python can have it, nor trustme; tests that need a certificate are skipped there.
with contextlib.suppress(ModuleNotFoundError):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

NAME = "server.test"
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True)
class CertFiles:
    """PEM files of a certificate and its key."""

    cert: str
    key: str


class Certificates:
    """An authority that everybody trusts, and what it has signed."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._authority = pytest.importorskip("trustme").CA()
        self.ca = str(directory / "ca.pem")
        self._authority.cert_pem.write_to_path(self.ca)
        self.server = self.issue("server", NAME, "localhost", "127.0.0.1", "::1")
        self.client = self.issue("client", "client.test")

    def issue(
        self, file_name: str, *names: str, not_after: datetime.datetime | None = None
    ) -> CertFiles:
        """A certificate for those names; written over an older one of that file name."""
        begins = None if not_after is None else not_after - datetime.timedelta(days=1)
        made = self._authority.issue_cert(*names, not_after=not_after, not_before=begins)
        files = self._files(file_name)
        chain = b"".join(pem.bytes() for pem in made.cert_chain_pems)
        pathlib.Path(files.cert).write_bytes(chain)
        made.private_key_pem.write_to_path(files.key)
        return files

    def expired(self) -> CertFiles:
        return self.issue("expired", NAME, not_after=LONG_AGO)

    def self_signed(self) -> CertFiles:
        """One that nobody has vouched for."""
        files, key = self._files("self_signed"), ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        pathlib.Path(files.cert).write_bytes(made.public_bytes(pem))
        pathlib.Path(files.key).write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return files

    def encrypt_key(self, files: CertFiles, password: str) -> CertFiles:
        """The same certificate with an encrypted key."""
        key = serialization.load_pem_private_key(pathlib.Path(files.key).read_bytes(), None)
        path = self._directory / "encrypted.key"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(password.encode()),
            )
        )
        return CertFiles(files.cert, str(path))

    def client_tls(self, **options: object) -> ClientTls:
        """Options of a client that trusts the authority and checks for `NAME`."""
        options = {"ca": self.ca, "server_name": NAME, **options}
        return ClientTls(**options)  # type: ignore[arg-type]

    def server_tls(self, **options: object) -> ServerTls:
        options = {"cert": self.server.cert, "key": self.server.key, **options}
        return ServerTls(**options)  # type: ignore[arg-type]

    def server_context(self, files: CertFiles | None = None) -> ssl.SSLContext:
        """For a peer of Python's ssl that serves."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        files = files or self.server
        context.load_cert_chain(files.cert, files.key)
        return context

    def client_context(self, files: CertFiles | None = None) -> ssl.SSLContext:
        """For a peer of Python's ssl that calls; shows `files`, if it is given any."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca)
        if files is not None:
            context.load_cert_chain(files.cert, files.key)
        return context

    def _files(self, name: str) -> CertFiles:
        return CertFiles(str(self._directory / f"{name}.pem"), str(self._directory / f"{name}.key"))


@functools.cache
def certificates() -> Certificates:
    """Those of the whole test run: making them takes some milliseconds each."""
    directory = tempfile.mkdtemp(prefix="pybrpc-tls-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Certificates(pathlib.Path(directory))


class MemoryPeer:
    """A peer over a non-blocking socket, for tests that step: it moves when it is told to."""

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, name: str | None = None
    ) -> None:
        """A client that looks for `name`, or a server."""
        sock.setblocking(False)
        self.sock = sock
        self.received = bytearray()
        self.ciphertext = bytearray()
        self.is_ended = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=name is None, server_hostname=name
        )

    def shake_hands(self, let_others_run: Callable[[], object]) -> None:
        for _ in range(100):
            let_others_run()
            self.receive()
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.send()
                continue
            self.send()
            let_others_run()
            return
        raise AssertionError("the handshake does not end")

    def receive(self) -> bool:
        """Read all that the kernel has; False if there is nothing."""
        with contextlib.suppress(BlockingIOError):
            data = self.sock.recv(1 << 20)
            self.ciphertext += data
            self._incoming.write(data)
            return bool(data)
        return False

    def read(self) -> bytes:
        """All plaintext that came so far; sets `is_ended` at close_notify."""
        while self.receive():
            pass
        with contextlib.suppress(ssl.SSLWantReadError):
            while part := self.tls.read(1 << 16):
                self.received += part
            self.is_ended = True
        data, self.received = bytes(self.received), bytearray()
        return data

    def send(self, data: bytes = b"") -> None:
        if data:
            self.tls.write(data)
        self.sock.sendall(self._outgoing.read())

    def finish(self) -> None:
        """Say close_notify, and not that TCP ends."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.send()

    def alert(self) -> bytes:
        """The alert that answers a malformed record; this peer cannot be used afterwards."""
        self._incoming.write(b"\x17\x03\x03\x00\x20" + bytes(32))
        with contextlib.suppress(ssl.SSLError):
            self.tls.read(1)
        return self._outgoing.read()

    def take_ciphertext(self) -> bytes:
        """The bytes that `send` would send, instead of sending them."""
        return self._outgoing.read()


def as_server(sock: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    """The serving side of a blocking peer, before its handshake."""
    return context.wrap_socket(
        sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
    )


def as_client(sock: socket.socket, context: ssl.SSLContext, name: str = NAME) -> ssl.SSLSocket:
    """The calling side of a blocking peer, before its handshake."""
    return context.wrap_socket(
        sock, server_hostname=name, do_handshake_on_connect=False, suppress_ragged_eofs=False
    )


@contextlib.contextmanager
def listening(sock: socket.socket | None = None) -> Iterator[socket.socket]:
    """A listener on a free port of this machine."""
    with sock or socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener
