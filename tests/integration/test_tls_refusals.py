"""Calls over TLS that must not work: the error of each says why."""

from __future__ import annotations

import concurrent.futures
import errno
import select
import socket
import ssl
import threading

import pytest

import pybrpc
from pybrpc.errors import (
    ConnectionFailedError,
    ErrorCode,
    HandshakeError,
    Phase,
    ProtocolError,
)
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest, RpcResponse
from tests.peers.callers import FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.tls import NAME, MemoryPeer, as_server, certificates, listening
from tests.peers.tls_echo import (
    Echo,
    call,
    channel_to,
    error_of_a_call,
    serving,
)
from tests.protos import conformance_pb2 as pb

# --- certificates ---


@pytest.mark.parametrize("form", FORMS)
def test_a_client_without_a_certificate_hears_that_it_needs_one(form: str) -> None:
    made = certificates()
    with serving(tls=made.server_tls(client_ca=made.ca)) as (_, address):
        with caller(form, address, tls=made.client_tls(), connect_timeout=30) as client:
            with pytest.raises(ConnectionFailedError, match="certificate required") as caught:
                client.call(echo_request())
    assert (caught.value.code, caught.value.is_remote) == (ErrorCode.ESSL, True)


@pytest.mark.parametrize("form", FORMS)
def test_a_certificate_that_is_not_trusted_fails_the_call_and_is_not_tried_again(form: str) -> None:
    made = certificates()
    with serving() as (server, address):
        tls = made.client_tls(server_name="other.test")
        with caller(form, address, tls=tls, connect_timeout=30) as client:
            controller = pybrpc.Controller()
            with pytest.raises(HandshakeError, match="Hostname mismatch") as caught:
                client.call(echo_request(), controller=controller)
        assert (caught.value.code, caught.value.phase) == (ErrorCode.ESSL, Phase.HANDSHAKE)
        assert (controller.retried_count, server.statistics().accepted) == (0, 1)


@pytest.mark.parametrize(
    ("which", "name", "reason"),
    [
        ("expired", NAME, "certificate has expired"),
        ("self_signed", NAME, "self-signed certificate"),
        ("server", "other.test", "Hostname mismatch"),
    ],
)
def test_every_call_that_waits_for_the_handshake_is_told_the_reason(
    which: str, name: str, reason: str
) -> None:
    made = certificates()
    files = made.server if which == "server" else getattr(made, which)()
    all_wait = threading.Event()

    def serve() -> None:
        sock, _ = listener.accept()
        with as_server(sock, made.server_context(files)) as peer:
            assert all_wait.wait(30)
            with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
                peer.do_handshake()

    with listening() as listener, concurrent.futures.ThreadPoolExecutor() as pool:
        serving_one = pool.submit(serve)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with channel_to(address, tls=made.client_tls(server_name=name)) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            futures = [stub.Echo.future(echo_request(str(number))) for number in range(100)]
            all_wait.set()
            errors = [future.exception(30) for future in futures]
        serving_one.result(30)
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert {type(error) for error in errors} == {HandshakeError}
    assert {(e.code, e.phase, e.peer) for e in errors} == {
        (ErrorCode.ESSL, Phase.HANDSHAKE, address)
    }
    assert all(f"certificate verify failed: {reason}" in error.text for error in errors)


@pytest.mark.parametrize(
    ("which", "reason"),
    [
        ("expired", "the peer reports that our certificate has expired"),
        ("self_signed", "the peer does not know the authority that signed our certificate"),
    ],
)
def test_a_client_whose_certificate_is_refused_hears_why(which: str, reason: str) -> None:
    made, service = certificates(), Echo()
    files = getattr(made, which)()
    tls = made.client_tls(cert=files.cert, key=files.key)
    with serving(service, tls=made.server_tls(client_ca=made.ca)) as (_, address):
        error = error_of_a_call(address, tls=tls, max_retry=0)
    assert (error.code, error.is_remote, service.seen) == (ErrorCode.ESSL, True, [])
    assert reason in error.text


# --- who does not speak TLS ---


def test_plaintext_to_a_server_with_tls_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as (server, address):
        error = error_of_a_call(address, tls=None)
        assert isinstance(error, ProtocolError)
        assert "the peer speaks TLS, and this side was given no tls=" in error.text
        assert (server.statistics().requests, server.statistics().accepted) == (0, 1)
    assert "the peer does not speak TLS, it began with b'PRPC" in caplog.text


def test_tls_to_a_server_without_it() -> None:
    with serving(tls=None) as (_, address):
        error = error_of_a_call(address, max_retry=0)
    assert isinstance(error, HandshakeError)
    assert error.code in (ErrorCode.EEOF, errno.ECONNRESET)
    assert "does it speak TLS?" in error.text


def test_port_takes_tls_and_plaintext_with_allow_plaintext() -> None:
    service = Echo()
    tls = certificates().server_tls(allow_plaintext=True)
    with serving(service, tls=tls) as (_, address):
        with channel_to(address) as encrypted, channel_to(address, tls=None) as plain:
            assert (call(encrypted), call(plain)) == ("hello", "hello")
    assert [info is None for info in service.seen] == [False, True]


def test_a_server_that_stalls_in_the_handshake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        error = error_of_a_call(address, connect_timeout=0.2, max_retry=0)
    assert isinstance(error, HandshakeError)
    assert (error.code, error.phase) == (ErrorCode.ETIMEDOUT, Phase.HANDSHAKE)
    assert "the peer has sent nothing: does it speak TLS?" in error.text


# --- records that are cut ---


def test_a_request_whose_last_record_is_cut_is_not_served() -> None:
    request = request_frame(1, "x" * 50_000)
    with serving() as (server, address), channel_to(address) as channel:
        host, port = address.split(":")
        for cut in (1, 5, 1000, 40_000):
            with socket.create_connection((host, int(port))) as raw:
                peer = MemoryPeer(raw, certificates().client_context(), NAME)
                peer.shake_hands(lambda raw=raw: select.select([raw], [], [], 0.1))
                peer.tls.write(request)
                raw.setblocking(True)
                raw.sendall(peer.take_ciphertext()[:-cut])
        assert call(channel) == "hello"
        assert server.statistics().requests == 1


@pytest.mark.parametrize("cut", [1, 5, 1000])
def test_an_answer_whose_last_record_is_cut_is_told_as_cut_off(cut: int) -> None:
    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            peer = MemoryPeer(sock, certificates().server_context())
            peer.shake_hands(lambda: select.select([sock], [], [], 0.1))
            while not (request := peer.read()):
                select.select([sock], [], [], 30)
            assert request.startswith(b"PRPC")
            peer.tls.write(response_frame(1, "x" * 10_000))
            sock.sendall(peer.take_ciphertext()[:-cut])

    with listening() as listener, concurrent.futures.ThreadPoolExecutor() as pool:
        serving_one = pool.submit(serve)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        error = error_of_a_call(address, max_retry=0)
        serving_one.result(30)
    assert (error.code, error.is_remote) == (ErrorCode.EEOF, True)
    assert "without close_notify" in error.text


def request_frame(number: int, text: str) -> bytes:
    body = echo_request(text).SerializeToString()
    return bytes(BAIDU_STD.pack_request(RpcRequest(number, ECHO.full_name, "Echo", body)))


def response_frame(number: int, text: str) -> bytes:
    body = pb.EchoResponse(message=text).SerializeToString()
    return bytes(BAIDU_STD.pack_response(RpcResponse(number, body=body)))
