"""A server with TLS: its certificates, what handlers see of clients, and its end."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    HandshakeError,
    ServerStateError,
    TlsConfigError,
)
from pybrpc.testing.step_dispatcher import FakeClock
from pybrpc.transport.socket_table import SOCKETS
from pybrpc.transport.tls import client_tls
from tests.fakes.threads import wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.tls import NAME, MemoryPeer, certificates
from tests.peers.tls_echo import (
    Echo,
    call,
    channel_to,
    serving,
)
from tests.protos import conformance_pb2 as pb

# --- what it sees ---


def test_a_handler_sees_the_certificate_of_its_client() -> None:
    service, made = Echo(), certificates()
    with serving(service, tls=made.server_tls(client_ca=made.ca)) as (_, address):
        tls = made.client_tls(cert=made.client.cert, key=made.client.key)
        with channel_to(address, tls=tls) as channel:
            assert call(channel) == "hello"
    (seen,) = service.seen
    assert seen.version == "TLSv1.3"
    assert ("DNS", "client.test") in seen.peer_certificate["subjectAltName"]


def test_a_handler_sees_that_there_is_no_tls() -> None:
    service = Echo()
    with serving(service, tls=None) as (_, address), channel_to(address, tls=None) as channel:
        call(channel)
    assert service.seen == [None]


@pytest.mark.parametrize(
    ("asked", "shown"), [("one.test", "one.test"), ("a.many.test", "*.many.test"), (NAME, NAME)]
)
def test_name_that_a_channel_asks_for_chooses_the_certificate(asked: str, shown: str) -> None:
    """bRPC: ssl_sni."""
    made = certificates()
    one, many = made.issue("one", "one.test"), made.issue("many", "*.many.test")
    sni = {"one.test": (one.cert, one.key), "*.many.test": (many.cert, many.key)}
    with serving(tls=made.server_tls(sni=sni)) as (_, address):
        with channel_to(address, tls=made.client_tls(server_name=asked)) as channel:
            assert call(channel) == "hello"
            (standing,) = [s for s in SOCKETS.all() if str(s.remote_side) == address]
            assert standing.tls is not None
            names = [name for _, name in standing.tls.peer_certificate["subjectAltName"]]
    assert shown in names


def test_server_and_client_see_the_alpn_protocol_they_agreed_on() -> None:
    service, made = Echo(), certificates()
    with serving(service, tls=made.server_tls(alpn=["baidu_std", "x"])) as (_, address):
        for offered, agreed in ((["h2", "x"], "x"), (["h2"], None), ([], None)):
            with channel_to(address, tls=made.client_tls(alpn=offered)) as channel:
                call(channel)
            assert service.seen[-1].alpn == agreed


# --- a server's life ---


def test_certificates_are_loaded_again_while_it_runs() -> None:
    """bRPC: ssl_reload."""
    made = certificates()
    files = made.issue("reloaded", "old.test")
    with serving(tls=pybrpc.ServerTls(files.cert, files.key)) as (server, address):
        old, new = (made.client_tls(server_name=f"{name}.test") for name in ("old", "new"))
        with (
            channel_to(address, tls=old) as channel,
            channel_to(address, tls=new, dial_backoff=None) as later,
        ):
            call(channel)
            made.issue("reloaded", "new.test")
            with pytest.raises(HandshakeError):
                call(later)
            server.reload_tls()
            assert (call(later), call(channel)) == ("hello", "hello")
            open(files.cert, "w").close()
            with pytest.raises(TlsConfigError):
                server.reload_tls()
        with channel_to(address, tls=new) as channel:
            assert call(channel) == "hello"


def test_certificates_of_a_client_that_are_renewed_in_place_are_those_of_new_connections(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client_tls, "LOOK_PAUSE_S", 0.0)
    service, made = Echo(), certificates()
    files = made.issue("renewed-client", "old.test")

    def name_seen() -> str:
        assert call(channel) == "hello"
        return str(service.seen[-1].peer_certificate["subjectAltName"][0][1])

    with serving(service, tls=made.server_tls(client_ca=made.ca)) as (_, address):
        mine = made.client_tls(cert=files.cert, key=files.key)
        with channel_to(address, tls=mine, connection_type="short") as channel:
            assert name_seen() == "old.test"
            open(files.cert, "w").close()
            assert name_seen() == "old.test"
            assert "the certificates of a client can't be renewed yet" in caplog.text
            made.issue("renewed-client", "new.test")
            assert name_seen() == "new.test"


def test_files_of_a_client_are_looked_at_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    made = certificates()
    looks: list[object] = []
    monkeypatch.setattr(client_tls, "_stamp_of", looks.append)
    clock = FakeClock()
    monkeypatch.setattr(client_tls, "time", clock)
    context = client_tls.ClientContext(made.client_tls())
    for _ in range(3):
        assert context.get() is context.get()
    assert len(looks) == 3
    clock.advance(client_tls.LOOK_PAUSE_S)
    context.get()
    context.get()
    assert len(looks) == 6


def test_a_server_without_tls_has_nothing_to_load_again() -> None:
    with pytest.raises(ServerStateError, match="without tls="):
        pybrpc.Server().reload_tls()


def test_a_stop_lets_running_calls_be_answered_and_says_close_notify() -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Waiting(Echo):
        def Echo(self, request: Any, controller: pybrpc.Controller) -> pb.EchoResponse:
            entered.set()
            go_on.wait(30)
            return pb.EchoResponse(message="at last")

    with serving(Waiting()) as (server, address), channel_to(address) as channel:
        future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request())
        assert entered.wait(30)
        server.stop(30)
        go_on.set()
        assert future.result().message == "at last"
        assert server.join(30)


def test_a_client_that_dies_does_not_disturb_others() -> None:
    with serving() as (_, address), channel_to(address) as channel:
        call(channel)
        host, port = address.split(":")
        for cut in (0, 1, 5, 100):
            with socket.create_connection((host, int(port))) as raw:
                raw.sendall(client_hello()[:cut])
        call(channel)


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = certificates().client_context().wrap_bio(incoming, outgoing, server_hostname=NAME)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


# --- memory ---


def test_half_a_record_closes_its_connection_in_time(caplog: pytest.LogCaptureFixture) -> None:
    """It is not decrypted, so no message has begun: the bytes are held by TLS."""
    made = certificates()
    with serving(tls=made.server_tls(), message_timeout=0.2) as (server, address):
        host, port = address.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as sock:
            peer = MemoryPeer(sock, made.client_context(), NAME)
            peer.shake_hands(lambda: time.sleep(0.01))
            peer.tls.write(bytes(10_000))
            sock.sendall(peer.take_ciphertext()[:5_000])
            wait_until(lambda: bool(server._run and server._run.connections))
            (connection,) = server._run.connections
            wait_until(lambda: connection.unfinished_memory_bytes == 5_000)
            sock.settimeout(60)
            with contextlib.suppress(ConnectionResetError):
                while sock.recv(1 << 16):
                    continue
    assert "5000 bytes of a message came" in caplog.text
    assert "message_timeout=0.2" in caplog.text
