"""Peers that send nonsense, go away or don't read."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
from typing import Any

import pytest

from pybrpc.errors import ErrorCode
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.controller import Controller
from pybrpc.server import Server
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.threads import wait_until
from tests.peers.raw_peer import EchoResponse, RawPeer, packed, request, text_of
from tests.peers.serving import Gate, as_async, async_echo, echo, make_server, serving, start


def wait_for_connections(server: Server, count: int) -> None:
    wait_until(lambda: server.statistics().connections == count)


def test_peer_closes_at_any_byte_of_a_request() -> None:
    frame = packed(request(1, attachment=IOBuf(b"attached")))
    with make_server() as server:
        endpoint = start(server)
        for size in range(len(frame)):
            with RawPeer(endpoint) as peer:
                peer.sock.sendall(frame[:size])
        with RawPeer(endpoint) as peer:
            assert text_of(peer.call()) == "hello"
        wait_for_connections(server, 0)
        assert server.statistics().requests == 1


def test_request_that_comes_byte_by_byte() -> None:
    with serving() as peer:
        for byte in packed(request(1), request(2)):
            peer.sock.sendall(bytes([byte]))
        assert set(peer.read_answers(2)) == {1, 2}


@pytest.mark.parametrize("handler", [echo, async_echo], ids=["def", "async"])
def test_peer_that_closes_before_its_answer(handler: Any) -> None:
    with make_server(handler) as server:
        endpoint = start(server)
        for _ in range(50):
            with RawPeer(endpoint) as peer:
                peer.send(*(request(i) for i in range(20)))
        with RawPeer(endpoint) as peer:
            assert text_of(peer.call()) == "hello"
        wait_for_connections(server, 0)
        wait_until(lambda: server.statistics().running == 0)


@pytest.mark.parametrize(
    "garbage",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRPC\x00\x00\x00\x01\x00\x00\x00\x02!",
        b"PRPC\x00\x00\x00\x02\x00\x00\x00\x02\xff\xff",
        b"\x00" * 100,
    ],
)
def test_garbage_closes_the_connection(garbage: bytes) -> None:
    with serving() as peer:
        peer.sock.sendall(garbage)
        assert read_until_closed(peer) == b""


def test_garbage_after_a_request_closes_the_connection() -> None:
    with serving() as peer:
        assert text_of(peer.call()) == "hello"
        peer.sock.sendall(b"garbage garbage")
        assert read_until_closed(peer) == b""


def read_until_closed(peer: RawPeer) -> bytes:
    """Until EOF or a reset: the server may have closed with our bytes unread."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := peer.sock.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_response_closes_the_connection() -> None:
    with serving() as peer:
        peer.sock.sendall(bytes(BAIDU_STD.pack_response(RpcResponse(1, body=b"x"))))
        assert read_until_closed(peer) == b""


def test_request_over_the_limit_is_answered_and_the_connection_closed() -> None:
    with serving(max_body_size=1000) as peer:
        peer.send(request(7, message="x" * 5000))
        answer = peer.read_answer()
        assert (answer.correlation_id, answer.error_code) == (7, ErrorCode.EREQUEST)
        assert "is larger than max_body_size=1000" in answer.error_text
        assert peer.read_to_end() == b""


def test_answer_to_a_request_over_the_limit_is_not_lost_while_it_is_still_being_sent() -> None:
    frame = packed(request(7, message="x" * 10_000_000))
    with serving(max_body_size=1000) as peer:
        peer.sock.sendall(frame)
        assert peer.read_answer().error_code == ErrorCode.EREQUEST
        assert peer.read_to_end() == b""


def test_request_of_exactly_the_limit_is_served() -> None:
    frame = packed(request(1))
    with serving(max_body_size=len(frame) - 12) as peer:
        assert text_of(peer.call()) == "hello"


def test_head_of_a_huge_request_needs_no_memory() -> None:
    head = bytearray(packed(request(7)))
    head[4:8] = (2**31 - 1).to_bytes(4, "big")
    with serving() as peer:
        peer.sock.sendall(head)
        assert peer.read_answer().error_code == ErrorCode.EREQUEST


def large_echo(request: Any, controller: Controller) -> Any:
    return EchoResponse(message="z" * 100_000)


SMALL_BACKLOG = SocketOptions(
    high_water_bytes=2_000_000, send_buffer_bytes=65536, receive_buffer_bytes=65536
)


def test_peer_that_never_reads_is_not_read_from_any_more() -> None:
    """Its backlog is bounded, and nobody else is held up."""
    with (
        make_server(large_echo, options=SMALL_BACKLOG) as server,
        RawPeer(start(server)) as peer,
    ):
        wait_for_connections(server, 1)
        (connection,) = server._run.connections  # type: ignore[union-attr]
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        peer.sock.setblocking(False)
        frame = packed(request(1)) * 20
        refused_in_a_row = 0
        while refused_in_a_row < 20:
            try:
                peer.sock.send(frame)
                refused_in_a_row = 0
            except BlockingIOError:
                refused_in_a_row += 1
            with RawPeer(server.endpoint) as other:
                assert len(text_of(other.call())) == 100_000
        wait_until(lambda: server.statistics().running == 0)
        assert connection.socket.backlog.is_overcrowded
        assert connection.socket.backlog.size_bytes < 8_000_000
        server.stop(0)


def test_peer_that_reads_late_gets_an_answer_to_everything() -> None:
    with serving(large_echo, options=SMALL_BACKLOG) as peer:
        sender = threading.Thread(target=peer.send, args=[request(i) for i in range(3000)])
        sender.start()
        answers = peer.read_answers(3000)
        sender.join()
        refused = [answer for answer in answers.values() if answer.error_code]
        assert {answer.error_code for answer in refused} <= {ErrorCode.EOVERCROWDED}
        address = "{}:{}".format(*peer.sock.getsockname())
        for answer in refused:
            assert answer.error_text.endswith(f"Connection to {address} is overcrowded")
        assert len(text_of(peer.call())) == 100_000


@pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async"])
def test_overcrowded_connection_is_answered_with_eovercrowded(kind: Any) -> None:
    ran = []

    def respond(request: Any, controller: Controller) -> Any:
        ran.append(request.message)
        return large_echo(request, controller)

    options = SocketOptions(high_water_bytes=0, send_buffer_bytes=65536)
    with serving(kind(respond), options=options) as peer:
        peer.send(*(request(i) for i in range(200)))
        answers = peer.read_answers(200)
        refused = [answer for answer in answers.values() if answer.error_code]
        assert {answer.error_code for answer in refused} == {ErrorCode.EOVERCROWDED}
        assert len(ran) == 200 - len(refused)


def test_many_connections_opened_and_dropped() -> None:
    with make_server(echo, async_echo) as server:
        endpoint = start(server)
        with RawPeer(endpoint) as peer:
            text_of(peer.call())
            descriptors = len(os.listdir("/dev/fd"))
            for i in range(1000):
                with socket.create_connection((endpoint.host, endpoint.port)) as sock:
                    if i % 3 == 0:
                        sock.sendall(packed(request(i)))
                    elif i % 3 == 1:
                        sock.sendall(b"PRPC")
            wait_for_connections(server, 1)
            assert text_of(peer.call()) == "hello"
            wait_until(lambda: len(os.listdir("/dev/fd")) <= descriptors)
        assert server.statistics().accepted == 1001


def test_out_of_descriptors_serves_who_is_connected() -> None:
    gate = Gate()
    with make_server(gate, echo) as server, RawPeer(start(server)) as peer:
        text_of(peer.call("Stream"))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        waiting = [socket.socket() for _ in range(3)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/dev/fd"))), hard))
        try:
            for sock in waiting:
                sock.connect((server.endpoint.host, server.endpoint.port))
            for _ in range(20):
                assert text_of(peer.call("Stream")) == "hello"
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        wait_for_connections(server, 4)
        for sock in waiting:
            sock.close()
        gate.open()
