"""Peers that can't be found, that never read, and that come and go."""

from __future__ import annotations

import contextlib
import errno
import threading
from concurrent.futures import FIRST_COMPLETED, wait

import pytest

import pybrpc
from pybrpc.errors import ConnectError, ErrorCode, OvercrowdedError, Phase, RpcError
from tests.peers.callers import FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import Peer, ScriptedServer
from tests.protos import conformance_pb2 as pb

every_form = pytest.mark.parametrize("form", FORMS)
MiB = 1 << 20


class EchoService:
    def Echo(self, request: pb.EchoRequest, controller: pybrpc.Controller) -> pb.EchoResponse:
        controller.response_attachment = controller.request_attachment
        return pb.EchoResponse(message=request.message)

    Stream = Echo


@pytest.fixture
def server() -> pybrpc.Server:
    server = pybrpc.Server()
    server.add_service(ECHO, EchoService())
    return server


@every_form
def test_name_that_does_not_resolve(form: str) -> None:
    host = "x" * 70 + ".invalid"  # too long for DNS, so that no name server is asked
    with caller(form, f"{host}:8000", max_retry=0) as client:
        with pytest.raises(ConnectError, match=f"Fail to resolve {host}") as caught:
            client.call(echo_request())
    assert (caught.value.code, caught.value.phase) == (ErrorCode.EHOSTUNREACH, Phase.RESOLVE)
    assert caught.value.peer == f"{host}:8000"


@every_form
def test_address_that_can_not_be_reached(form: str) -> None:
    """A broadcast address: the kernel refuses at once, without a packet."""
    with caller(form, "127.255.255.255:9") as client:
        with pytest.raises(ConnectError) as caught:
            client.call(echo_request())
    assert caught.value.code in (errno.ENETUNREACH, errno.EACCES)
    assert caught.value.phase is Phase.CONNECT


@every_form
def test_name_that_resolves(form: str) -> None:
    with ScriptedServer() as server, caller(form, f"localhost:{server.port}") as client:
        assert client.call(echo_request("hello")).message == "hello"


def test_peer_that_never_reads_is_bounded_and_harms_no_other(server: pybrpc.Server) -> None:
    may_read = threading.Event()

    def script(peer: Peer) -> None:
        may_read.wait()
        peer.echo_until_closed()

    limit = 4 * MiB
    options = pybrpc.SocketOptions(high_water_bytes=limit, low_water_bytes=MiB)
    with (
        server,
        ScriptedServer(script) as deaf,
        pybrpc.Channel(deaf.address, timeout=60, options=options) as channel,
        pybrpc.Channel(server.start("127.0.0.1:0"), timeout=60) as other,
        contextlib.ExitStack() as closing,
    ):
        closing.callback(may_read.set)
        stub = pybrpc.Stub(ECHO, channel)
        futures = []
        refusals = 0
        while refusals == 0:
            controller = pybrpc.Controller()
            controller.request_attachment.append(bytes(256 * 1024))
            futures.append(stub.Echo.future(echo_request(), controller=controller))
            statistics = channel.statistics()
            assert statistics is not None
            refusals = statistics.socket.refused_overcrowded
        done, sent = wait(futures, timeout=10, return_when=FIRST_COMPLETED)
        (refused,) = (future.exception() for future in done)
        assert isinstance(refused, OvercrowdedError)
        assert (refused.code, refused.phase) == (1011, Phase.QUEUED)
        assert "send queue of this side" in refused.text
        statistics = channel.statistics()
        assert statistics is not None
        assert statistics.socket.backlog_bytes <= limit + MiB
        assert statistics.in_flight == len(sent)
        assert pybrpc.Stub(ECHO, other).Echo(echo_request("fine")).message == "fine"

        may_read.set()
        assert {future.result().message for future in sent} == {"hello"}
        assert stub.Echo(echo_request("again")).message == "again"


@every_form
def test_long_request_and_long_answer(form: str, server: pybrpc.Server) -> None:
    data = bytes(range(256)) * (16 * MiB // 256)
    controller = pybrpc.Controller()
    controller.request_attachment.append(data)
    with server, caller(form, str(server.start("127.0.0.1:0"))) as client:
        message = "m" * MiB
        assert client.call(echo_request(message), controller=controller).message == message
    assert controller.response_attachment == data


def test_1000_connections_opened_and_dropped(server: pybrpc.Server) -> None:
    with server:
        address = server.start("127.0.0.1:0")
        for i in range(1000):
            with pybrpc.Channel(address, timeout=30) as channel:
                assert pybrpc.Stub(ECHO, channel).Echo(echo_request(str(i))).message == str(i)


@every_form
def test_server_that_goes_away_and_comes_back(form: str, server: pybrpc.Server) -> None:
    with server:
        address = server.start("127.0.0.1:0")
        policy = pybrpc.RetryPolicy(backoff=pybrpc.Backoff(first_s=0.05))
        with caller(form, str(address), retry_policy=policy) as client:
            assert client.call(echo_request("before")).message == "before"
            server.stop(grace=0)
            server.join()
            with pytest.raises(RpcError) as caught:
                client.call(echo_request())
            assert caught.value.code in (errno.ECONNREFUSED, ErrorCode.EEOF, errno.ECONNRESET)
            server.start(address)
            assert client.call(echo_request("after")).message == "after"
