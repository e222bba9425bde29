"""Calls over TLS: each form of calling, both kinds of servers, the options."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import HandshakeError, TlsConfigError
from tests.peers.callers import AIO_FORMS, FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.loops import RUNS
from tests.peers.tls import certificates
from tests.peers.tls_echo import (
    AsyncEcho,
    Echo,
    call,
    channel_to,
    error_of_a_call,
    make_server,
    serving,
)

TINY = pybrpc.SocketOptions(send_buffer_bytes=4096, receive_buffer_bytes=65536)
"""With a receiver as tiny, TCP itself waits 40 ms for each acknowledgement of some kilobytes."""


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


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
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


def test_system_authorities_do_not_know_the_test_authority() -> None:
    with serving() as (_, address):
        assert "certificate verify failed" in error_of_a_call(address, tls=True).text


def test_bad_files_are_told_where_the_channel_or_the_server_is_made() -> None:
    with pytest.raises(TlsConfigError, match="/no/such/file"):
        pybrpc.Channel("127.0.0.1:1", tls=pybrpc.ClientTls(ca="/no/such/file"))
    with pytest.raises(TlsConfigError, match="/no/such/file"):
        pybrpc.Server(tls=pybrpc.ServerTls("/no/such/file"))
    with pytest.raises(TlsConfigError, match="give server_name"):
        pybrpc.Channel("unix:/tmp/a.sock", tls=True)


@pytest.mark.parametrize("kind", [pybrpc.Channel, pybrpc.aio.Channel])
@pytest.mark.parametrize("address", ["list://127.0.0.1:1,127.0.0.1:2", ["127.0.0.1:1"]])
def test_bad_files_are_told_where_the_channel_of_a_cluster_is_made(kind: Any, address: Any) -> None:
    with pytest.raises(TlsConfigError, match="/no/such/file"):
        kind(address, tls=pybrpc.ClientTls(ca="/no/such/file"))
    with pytest.raises(TlsConfigError, match="can't be the name of a server"):
        kind(address, tls=pybrpc.ClientTls(server_name=".a"))


def test_server_of_a_cluster_whose_name_is_not_known_fails_its_own_calls(tmp_path: Any) -> None:
    tls = certificates().client_tls(server_name=None)
    with make_server() as unnamed, serving() as (_, address):
        path = str(unnamed.start(f"unix:{tmp_path}/tls.sock"))
        named = f"localhost:{address.rpartition(':')[2]}"
        with pybrpc.Channel([path, named], tls=tls, timeout=30) as channel:
            found = []
            for _ in range(10):
                with contextlib.suppress(HandshakeError):
                    found.append(call(channel))
            assert set(found) == {"hello"}
        with pybrpc.Channel([path], tls=tls, timeout=30) as channel:
            with pytest.raises(HandshakeError, match="no known name: give server_name"):
                call(channel)


def test_over_a_unix_socket(tmp_path: Any) -> None:
    with make_server() as server:
        address = str(server.start(f"unix:{tmp_path}/tls.sock"))
        with channel_to(address) as channel:
            assert call(channel) == "hello"


# --- connections come and go ---


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
