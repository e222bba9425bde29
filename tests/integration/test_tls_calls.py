"""Calls over TLS: each form of calling, both kinds of servers, and what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop

import pybrpc
from pybrpc.errors import (
    ConnectionFailedError,
    ErrorCode,
    HandshakeError,
    Phase,
    RpcError,
    ServerStateError,
    TlsConfigError,
)
from tests.peers.callers import AIO_FORMS, FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.tls import NAME, certificates
from tests.protos import conformance_pb2 as pb

TINY = pybrpc.SocketOptions(send_buffer_bytes=4096, receive_buffer_bytes=65536)
"""With a receiver as tiny, TCP itself waits 40 ms for each acknowledgement of some kilobytes."""


class Echo:
    """Echoes message and attachment; keeps what it saw of TLS."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def Echo(self, request: pb.EchoRequest, controller: pybrpc.Controller) -> pb.EchoResponse:
        self.seen.append(controller.tls)
        controller.response_attachment = controller.request_attachment
        return pb.EchoResponse(message=request.message)

    Stream = Echo


class AsyncEcho(Echo):
    async def Echo(self, request: pb.EchoRequest, controller: pybrpc.Controller) -> pb.EchoResponse:
        return super().Echo(request, controller)

    Stream = Echo


def make_server(service: Echo | None = None, **options: Any) -> pybrpc.Server:
    server = pybrpc.Server(**{"tls": certificates().server_tls(), **options})
    server.add_service(ECHO, service or Echo())
    return server


@contextlib.contextmanager
def serving(service: Echo | None = None, **options: Any) -> Iterator[tuple[pybrpc.Server, str]]:
    """A running server, and its address."""
    with make_server(service, **options) as server:
        yield server, str(server.start("127.0.0.1:0"))


def channel_to(address: str, **options: Any) -> pybrpc.Channel:
    options = {"tls": certificates().client_tls(), "timeout": 30, "connect_timeout": 30, **options}
    return pybrpc.Channel(address, **options)


def call(channel: pybrpc.Channel, message: str = "hello") -> str:
    return str(pybrpc.Stub(ECHO, channel).Echo(echo_request(message)).message)


def error_of_a_call(address: str, **options: Any) -> RpcError:
    with channel_to(address, **options) as channel:
        with pytest.raises(RpcError) as caught:
            call(channel)
    return caught.value


# --- all forms ---


@pytest.mark.parametrize("service", [Echo, AsyncEcho])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_calling(form: str, service: type[Echo]) -> None:
    with serving(service()) as (server, address):
        tls = certificates().client_tls()
        with caller(form, address, tls=tls, connect_timeout=30) as client:
            for size in (0, 10, 100_000, 3_000_000):
                controller = pybrpc.Controller()
                controller.request_attachment.append(os.urandom(size))
                sent = bytes(controller.request_attachment)
                response = client.call(echo_request(str(size)), controller=controller)
                assert response.message == str(size)
                assert controller.response_attachment == sent
            many = client.call_many([echo_request(str(number)) for number in range(200)])
            assert [response.message for response in many] == [str(n) for n in range(200)]
        assert server.statistics().accepted == 1


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_client_and_server_in_one_loop(run: Any) -> None:
    async def main() -> None:
        async with make_server(AsyncEcho()) as server:
            address = str(server.start("127.0.0.1:0"))
            tls = certificates().client_tls()
            async with pybrpc.aio.Channel(address, tls=tls, timeout=30) as channel:
                stub = pybrpc.Stub(ECHO, channel)
                calls = [stub.Echo(echo_request("x" * size)) for size in range(0, 100_000, 5000)]
                responses = await asyncio.gather(*calls)
        assert [len(response.message) for response in responses] == list(range(0, 100_000, 5000))

    run(main())


def test_64_threads_share_one_connection_through_tiny_buffers() -> None:
    with serving(options=TINY) as (server, address), channel_to(address, options=TINY) as channel:
        wrong: list[object] = []

        def work(index: int) -> None:
            for number in range(20):
                message = f"{index}/{number}/" + "x" * (number * 100)
                if call(channel, message) != message:
                    wrong.append(message)

        threads = [threading.Thread(target=work, args=(index,)) for index in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert wrong == []
        assert server.statistics().requests == 64 * 20
        assert server.statistics().accepted == 1


@pytest.mark.slow
@pytest.mark.parametrize("options", [TINY, None], ids=["tiny", "default"])
def test_64_mb_arrive_whole(options: pybrpc.SocketOptions | None) -> None:
    """Doris 64962: with bRPC a big answer was cut off where the descriptor was full."""
    limit = 1 << 28
    data = os.urandom(1 << 16) * (1 << 10)
    with serving(options=options, max_body_size=limit) as (_, address):
        with channel_to(address, options=options, max_body_size=limit, timeout=100) as channel:
            controller = pybrpc.Controller()
            controller.request_attachment.append(data)
            pybrpc.Stub(ECHO, channel).Echo(echo_request(), controller=controller)
    assert len(controller.response_attachment) == 64 << 20
    assert controller.response_attachment == data


# --- who is who ---


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


# --- who does not speak TLS ---


def test_plaintext_to_a_server_with_tls_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as (server, address):
        error = error_of_a_call(address, tls=None, max_retry=0)
        assert isinstance(error, ConnectionFailedError)
        assert server.statistics().requests == 0
    assert "the peer speaks no TLS, it began with b'PRPC" in caplog.text


def test_tls_to_a_server_without_it() -> None:
    with serving(tls=None) as (_, address):
        error = error_of_a_call(address, max_retry=0)
    assert isinstance(error, HandshakeError)
    assert error.code in (ErrorCode.EEOF, errno.ECONNRESET)
    assert "does it speak TLS?" in error.text


def test_both_on_one_port_if_the_server_says_so() -> None:
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


# --- options ---


def test_equal_options_share_a_connection_and_others_do_not() -> None:
    made = certificates()
    with serving(tls=made.server_tls(allow_plaintext=True)) as (server, address):
        with contextlib.ExitStack() as stack:
            for tls in (made.client_tls(), made.client_tls(), made.client_tls(alpn=["x"]), None):
                call(stack.enter_context(channel_to(address, tls=tls)))
            assert server.statistics().accepted == 3


def test_contexts_of_pythons_ssl_may_be_given() -> None:
    made = certificates()
    with serving(tls=made.server_context()) as (_, address):
        port = address.rpartition(":")[2]
        with channel_to(f"localhost:{port}", tls=made.client_context()) as channel:
            assert call(channel) == "hello"


def test_the_authorities_of_the_system_do_not_know_ours() -> None:
    with serving() as (_, address):
        assert "certificate verify failed" in error_of_a_call(address, tls=True).text


def test_bad_files_are_told_where_the_channel_or_the_server_is_made() -> None:
    with pytest.raises(TlsConfigError, match="/no/such/file"):
        pybrpc.Channel("127.0.0.1:1", tls=pybrpc.ClientTls(ca="/no/such/file"))
    with pytest.raises(TlsConfigError, match="/no/such/file"):
        pybrpc.Server(tls=pybrpc.ServerTls("/no/such/file"))
    with pytest.raises(TlsConfigError, match="give server_name"):
        pybrpc.Channel("unix:/tmp/a.sock", tls=True)


def test_over_a_unix_socket(tmp_path: Any) -> None:
    with make_server() as server:
        address = str(server.start(f"unix:{tmp_path}/tls.sock"))
        with channel_to(address) as channel:
            assert call(channel) == "hello"


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


def test_a_forked_child_calls_over_a_connection_of_its_own() -> None:
    with serving() as (server, address), channel_to(address) as channel:
        call(channel)
        child = os.fork()
        if not child:
            status = 1
            try:
                status = 0 if call(channel, "child") == "child" else 2
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert call(channel, "parent") == "parent"
        assert server.statistics().accepted == 2


@pytest.mark.parametrize("form", ["blocking", *AIO_FORMS])
def test_a_connection_that_was_cut_is_made_anew(form: str) -> None:
    with serving() as (_, address):
        with caller(form, address, tls=certificates().client_tls(), connect_timeout=30) as client:
            for _ in range(3):
                assert client.call(echo_request("again")).message == "again"
                for found in list(_client_sockets(address)):
                    found.close()


def _client_sockets(address: str) -> list[Any]:
    from pybrpc.transport.socket_table import SOCKETS

    return [found for found in SOCKETS.all() if str(found.remote_side) == address]
