"""Peers that take too little of what is queued for them are given up, on either side."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import RpcError
from pybrpc.lowlevel import Runtime
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.raw_peer import RawPeer, request, text_of
from tests.peers.scripted_server import Peer, ScriptedServer
from tests.peers.serving import make_server, start
from tests.peers.tls import as_client, certificates
from tests.protos import conformance_pb2 as pb

MANY = 8 << 20
IMPATIENT = pybrpc.SocketOptions(
    write_stall_timeout_s=1.5, send_buffer_bytes=65536, high_water_bytes=2 * MANY
)


def answer_at_length(request: Any, controller: pybrpc.Controller) -> Any:
    return pb.EchoResponse(message="x" * request.reply_bytes or request.message)


@pytest.mark.slow
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_peer_that_reads_nothing_of_its_answer_is_closed(
    is_tls: bool, caplog: pytest.LogCaptureFixture
) -> None:
    asking = pb.EchoRequest(message="x", reply_bytes=MANY).SerializeToString()
    tls = certificates().server_tls() if is_tls else None
    with make_server(answer_at_length, options=IMPATIENT, tls=tls) as server:
        endpoint = start(server)
        with RawPeer(endpoint, receive_buffer_bytes=4096) as peer, RawPeer(endpoint) as other:
            for each in (peer, other) if is_tls else ():
                each.sock = as_client(each.sock, certificates().client_context())
            peer.send(request(1, body=asking))
            wait_until(lambda: server.statistics().requests == 1)
            wait_until(lambda: server.statistics().connections == 1)
            assert text_of(other.call()) == "hello"
    assert "the peer has taken nothing for" in caplog.text


@pytest.mark.slow
def test_peer_that_the_kernel_gives_up_first_is_closed_with_a_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As it does by default: TCP_USER_TIMEOUT is half of `write_stall_timeout_s`."""
    options = pybrpc.SocketOptions(tcp_user_timeout_ms=1000, send_buffer_bytes=65536)
    asking = pb.EchoRequest(message="x", reply_bytes=MANY).SerializeToString()
    with make_server(answer_at_length, options=options) as server:
        with RawPeer(start(server), receive_buffer_bytes=4096) as peer:
            peer.send(request(1, body=asking))
            wait_until(lambda: server.statistics().requests == 1)
            wait_until(lambda: server.statistics().connections == 0)
    assert "queued bytes for TCP_USER_TIMEOUT" in caplog.text


@pytest.mark.slow
def test_peer_that_reads_slowly_is_closed_when_the_process_is_half_full() -> None:
    runtime = Runtime(max_queued_bytes=MANY)
    options = pybrpc.SocketOptions(send_buffer_bytes=65536, high_water_bytes=2 * MANY)
    asking = pb.EchoRequest(message="x", reply_bytes=MANY).SerializeToString()
    with make_server(answer_at_length, options=options, runtime=runtime) as server:
        endpoint = start(server)
        with RawPeer(endpoint, receive_buffer_bytes=4096) as peer:
            peer.send(request(1, body=asking))
            wait_until(lambda: runtime.backlog.size_bytes > 0)
            while server.statistics().connections:
                with contextlib.suppress(ConnectionError):
                    peer.sock.recv(10)
                threading.Event().wait(0.1)
    runtime.close()


@pytest.mark.slow
def test_server_that_reads_nothing_fails_the_calls_to_it() -> None:
    def read_nothing(peer: Peer) -> None:
        over.wait(WAIT_S)

    over = threading.Event()
    with ScriptedServer(read_nothing) as server:
        options: dict[str, Any] = {"timeout": WAIT_S, "max_retry": 0, "options": IMPATIENT}
        with pybrpc.Channel(server.address, **options) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            futures = [stub.Echo.future(echo_request("x" * MANY)) for _ in range(2)]
            for future in futures:
                with pytest.raises(RpcError, match="the peer has taken nothing for") as caught:
                    future.result(WAIT_S)
                assert caught.value.name == "ETIMEDOUT"
        over.set()
