"""Whatever one peer sends, others are served meanwhile."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
import zlib
from typing import Any

import pytest

import pybrpc
from pybrpc.lowlevel import Runtime
from tests.cases.child import run_in_child
from tests.cases.peers import PATIENT_S, FullEcho, echo_stub, wait_for
from tests.peers.echo import ECHO, echo_request
from tests.peers.raw_peer import RawPeer, packed, request
from tests.peers.serving import as_async, make_server, start
from tests.peers.tls import certificates
from tests.protos import conformance_pb2 as pb

GZIP = 2
INFLATED_BYTES = 40_000_000
PIPELINED = 400
WORKERS = 2


class Counted:
    """A handler, and how often it has begun."""

    def __init__(self, until: threading.Event | None = None) -> None:
        self.runs = 0
        self._until = until

    def __call__(self, request: Any, controller: pybrpc.Controller) -> Any:
        self.runs += 1
        if self._until is not None:
            self._until.wait(PATIENT_S)
            time.sleep(0.001)
        return pb.EchoResponse(message="")


def test_call_of_one_peer_is_answered_among_the_pipelined_requests_of_another() -> None:
    """Two workers are busy with the first requests when that of the other peer is read. After it,
    each of them may take what is left of a turn, which is little as the requests are slow."""
    may_go, seen = threading.Event(), []
    slow = Counted(until=may_go)

    def look(request: Any, controller: Any) -> Any:
        seen.append(slow.runs)
        return pb.EchoResponse(message="")

    with make_server(slow, look, max_workers=WORKERS) as server:
        endpoint = start(server)
        with RawPeer(endpoint) as greedy, RawPeer(endpoint) as polite:
            greedy.send(*(request(i) for i in range(PIPELINED)))
            wait_for(lambda: server.statistics().requests == PIPELINED)
            polite.send(request(PIPELINED, method="Stream"))
            wait_for(lambda: server.statistics().requests == PIPELINED + 1)
            may_go.set()
            greedy.read_answers(PIPELINED)
            polite.read_answer()
    assert seen[0] <= 2 * WORKERS


def compressed_request() -> bytes:
    """A frame of 40 KB whose body has 40 MB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = echo_request("\0" * INFLATED_BYTES).SerializeToString()
    data = packer.compress(body) + packer.flush()
    return packed(request(1, body=data, compress_type=GZIP))


def waits_for_a_body_of_another(form: str) -> bool:
    """Whether a compressed request has run when another peer's later call does.

    Twice in a row, as a busy machine may delay the other peer.
    """
    data = compressed_request()
    return all(inflated_before_another_call(form, data) for _ in range(2))


def inflated_before_another_call(form: str, data: bytes) -> int:
    counted, seen = Counted(), []

    def look(request: Any, controller: Any) -> Any:
        seen.append(counted.runs)
        return pb.EchoResponse(message="")

    if form == "async":
        server = make_server(as_async(counted), as_async(look))
    else:
        server = make_server(counted, look)
    endpoint = start(server)
    with RawPeer(endpoint) as peer, RawPeer(endpoint) as other:
        other.call("Stream")
        peer.sock.sendall(data)
        wait_for(lambda: server.statistics().requests == 2)
        other.call("Stream")
        peer.read_answer()
    return seen[-1]


# With plain handlers the standby thread takes over from the dispatcher after a millisecond.
@pytest.mark.parametrize("form", ["plain", "async"])
def test_call_is_answered_while_the_body_of_another_is_inflated(form: str) -> None:
    assert not run_in_child(waits_for_a_body_of_another, form)


def client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="server.test")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def handshakes_before_another_call(count: int) -> int:
    """How many peers get an answer to their ClientHello while another peer's call is answered."""
    server = pybrpc.Server(tls=certificates().server_tls())
    server.add_service(ECHO, FullEcho())
    endpoint = start(server)
    stub = echo_stub(endpoint, tls=certificates().client_tls())
    stub.Echo(echo_request())
    peers = [socket.create_connection((endpoint.host, endpoint.port)) for _ in range(count)]
    wait_for(lambda: server.statistics().connections == count + 1)
    hello = client_hello()
    for peer in peers:
        peer.send(hello)
    poll = select.poll()
    for peer in peers:
        poll.register(peer, select.POLLIN)
    before = len(poll.poll(0))
    stub.Echo(echo_request())
    return len(poll.poll(0)) - before


def test_call_is_answered_among_many_tls_handshakes() -> None:
    """A turn does few handshakes. The call takes some turns, more where the processor is busy."""
    assert run_in_child(handshakes_before_another_call, 300) < 150


BIG = 3_000_000


def outcome_of_an_upload_beside_paused_partial_ones() -> list[str]:
    """Two peers leave a partial message and read no answers; then an honest one uploads."""
    options = pybrpc.SocketOptions(high_water_bytes=1 << 16, send_buffer_bytes=65536)
    server = pybrpc.Server(options=options, max_unanswered_bytes=8 << 20, message_timeout=1)
    server.add_service(ECHO, FullEcho())
    endpoint = start(server)
    data = packed(request(1, message="x" * BIG))
    stalling = []
    for _ in range(2):
        peer = RawPeer(endpoint, receive_buffer_bytes=65536)
        body = pb.EchoRequest(message="x", sleep_ms=200, reply_bytes=4 << 20).SerializeToString()
        peer.send(request(2, body=body))
        peer.sock.sendall(data[: BIG * 9 // 10])
        stalling.append(peer)
    time.sleep(0.6)
    for peer in stalling:
        peer.sock.send(b"x" * 10)
    time.sleep(0.3)
    outcomes = []
    for _ in range(3):
        honest = RawPeer(endpoint)
        try:
            honest.sock.sendall(data[: BIG * 2 // 3])
            time.sleep(0.3)
            honest.sock.sendall(data[BIG * 2 // 3 :])
            outcomes.append(f"code {honest.read_answer().error_code}")
        except OSError as error:
            outcomes.append(type(error).__name__)
    return outcomes


def test_upload_is_answered_while_others_stall_in_their_messages() -> None:
    found = run_in_child(outcome_of_an_upload_beside_paused_partial_ones)
    assert found == ["code 0"] * 3


def codes_beside_slow_readers(limit_s: float) -> list[int]:
    """The codes of calls with long answers, while other clients read little of theirs."""
    runtime = Runtime(max_queued_bytes=8 << 20)
    options = pybrpc.SocketOptions(high_water_bytes=1 << 20, send_buffer_bytes=65536)
    server = pybrpc.Server(runtime=runtime, options=options, idle_timeout=1, message_timeout=1)
    server.add_service(ECHO, FullEcho())
    endpoint = start(server)
    asking = pb.EchoRequest(message="x", reply_bytes=1 << 20).SerializeToString()
    slow = [RawPeer(endpoint, receive_buffer_bytes=262_144) for _ in range(40)]
    for peer in slow:
        peer.send(*(request(i, body=asking) for i in range(6)))

    def read_a_little() -> None:
        while True:
            for peer in slow:
                with contextlib.suppress(OSError):
                    peer.sock.recv(2000, socket.MSG_DONTWAIT)
            time.sleep(0.5)

    threading.Thread(target=read_a_little, daemon=True).start()
    time.sleep(1)
    long = pb.EchoRequest(message="x", reply_bytes=400_000).SerializeToString()
    codes = []
    end = time.monotonic() + limit_s
    while time.monotonic() < end and codes[-3:] != [0, 0, 0]:
        with RawPeer(endpoint) as peer:
            codes.append(peer.call(body=long).error_code)
        time.sleep(0.2)
    return codes


@pytest.mark.slow
def test_answers_arrive_although_others_read_theirs_slowly() -> None:
    assert run_in_child(codes_beside_slow_readers, 8)[-3:] == [0, 0, 0]
