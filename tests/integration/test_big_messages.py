"""Messages of all sizes, whole, in pieces, cut off, and promised only."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from bench import echo_messages as long_messages
from pybrpc.base.endpoint import Endpoint
from pybrpc.iobuf import IOBuf
from tests.peers.raw_peer import SERVICE, RawPeer, packed, request, text_of
from tests.peers.serving import make_server, start
from tests.protos import conformance_pb2 as pb

KB, MB = 1 << 10, 1 << 20
ROW = bytes(range(251)) * 4


def content(size: int) -> bytes:
    return (ROW * (size // len(ROW) + 1))[:size]


def echo_all(message: Any, controller: pybrpc.Controller) -> Any:
    controller.response_attachment = controller.request_attachment
    return pb.EchoResponse(message=message.message)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with make_server(echo_all) as server:
        yield start(server)


def call(stub: Any, attachment: bytes | IOBuf) -> IOBuf:
    controller = pybrpc.Controller()
    controller.request_attachment = attachment
    stub.Echo(pb.EchoRequest(message="with"), controller=controller)
    return controller.response_attachment


@pytest.mark.parametrize("edge", [4 * KB, 64 * KB, MB, 4 * MB, 16 * MB, 64_000_000])
def test_attachments_of_sizes_around_an_edge(endpoint: Endpoint, edge: int) -> None:
    """The edges of the frame, too, which is some bytes longer."""
    data = content(edge + 300)
    with pybrpc.Channel(str(endpoint), timeout=60) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        distances = (0, -1) if edge > MB else (1, 0, -1, -12, -30, -60, -100, 300)
        for distance in distances:
            size = edge + distance
            assert call(stub, data[:size]) == data[:size]


def test_many_big_ones_at_once_beside_small_ones(endpoint: Endpoint) -> None:
    answers: list[bool] = []
    with pybrpc.Channel(str(endpoint), timeout=60) as channel:
        stub = pybrpc.Stub(SERVICE, channel)

        def call_often(size: int, times: int) -> None:
            data = content(size)
            for _ in range(times):
                answers.append(call(stub, data) == data)

        sizes = [(3 * MB, 5), (MB, 10), (100_000, 20), (10, 50), (10, 50)]
        threads = [threading.Thread(target=call_often, args=each) for each in sizes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [True] * 135


def test_kept_attachments_stay_as_they_are(endpoint: Endpoint) -> None:
    with pybrpc.Channel(str(endpoint), timeout=60) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        datas = [bytes([number]) * (600_000 + number) for number in range(12)]
        kept = [call(stub, data) for data in datas]
        for _ in range(3):
            call(stub, bytes(2 * MB))
        assert all(one == data for one, data in zip(kept, datas, strict=True))


def test_a_small_attachment_keeps_no_big_message(endpoint: Endpoint) -> None:
    with pybrpc.Channel(str(endpoint), timeout=60) as channel:
        controller = pybrpc.Controller()
        controller.request_attachment = b"tiny"
        stub = pybrpc.Stub(SERVICE, channel)
        stub.Echo(pb.EchoRequest(message="x" * (2 * MB)), controller=controller)
        (view,) = controller.response_attachment
        assert view == b"tiny"
        assert len(view.obj) == 4


@pytest.mark.parametrize("piece", [1000, 65536, 100_001])
def test_a_peer_that_sends_in_pieces(endpoint: Endpoint, piece: int) -> None:
    data = content(700_000)
    frame = packed(request(1, attachment=IOBuf(data)), request(2))
    with RawPeer(endpoint) as peer:
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start_ in range(0, len(frame), piece):
            peer.sock.sendall(frame[start_ : start_ + piece])
            time.sleep(0.0002)
        answers = peer.read_answers(2)
    assert answers[1].attachment == data
    assert text_of(answers[2]) == "hello"


@pytest.mark.parametrize("kept", [12, 100, 64 * KB, 64 * KB + 1, MB, 2 * MB - 1])
def test_a_message_cut_off_ends_its_connection_alone(endpoint: Endpoint, kept: int) -> None:
    frame = packed(request(1, attachment=IOBuf(content(2 * MB))))
    with RawPeer(endpoint) as other:
        with RawPeer(endpoint) as peer:
            peer.sock.sendall(frame[:kept])
            peer.shut_writing()
            assert peer.read_to_end() == b""
        assert text_of(other.call()) == "hello"


@pytest.mark.parametrize("sent", [1, 1000, 20_000])
def test_a_promise_takes_no_more_than_16_times_what_came(endpoint: Endpoint, sent: int) -> None:
    """40 connections promise 60 MB each, and send next to nothing."""
    start_of_frame = struct.pack("!4sII", b"PRPC", 60_000_000, 100) + bytes(sent)
    with contextlib.ExitStack() as peers:
        promising = [peers.enter_context(RawPeer(endpoint)) for _ in range(40)]
        tracemalloc.start()
        peers.callback(tracemalloc.stop)
        other = peers.enter_context(RawPeer(endpoint))
        for data in (start_of_frame, b"x"):  # the second one meets what is known of the message
            for peer in promising:
                peer.sock.sendall(data)
            for _ in range(20):
                assert text_of(other.call()) == "hello"
        _, peak = tracemalloc.get_traced_memory()
    assert peak < 40 * (64 * KB + 16 * sent) + 4 * MB


class LongEcho:
    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return long_messages.EchoResponse(payload=request.payload, sleep_us=1)


@pytest.mark.parametrize("protocol", ["baidu_std", "hulu_pbrpc", "sofa_pbrpc", "http"])
def test_long_fields_travel_over_every_protocol(protocol: str) -> None:
    """From the second one on, baidu_std sends the field as a block of its own."""
    server = pybrpc.Server()
    server.add_service(long_messages.SERVICE, LongEcho())
    try:
        where = str(server.start("127.0.0.1:0"))
        with pybrpc.Channel(where, protocol=protocol, timeout=60) as channel:
            stub: Any = pybrpc.Stub(long_messages.SERVICE, channel)
            for size in (300 * KB, MB, 0, 5 * MB + 1, 5 * MB):
                request = long_messages.EchoRequest(payload=content(size), message="text")
                assert stub.Echo(request).payload == content(size)
    finally:
        server.stop(grace=0)
        server.join()
