"""RtmpLayer: credit by Acks, over a pair of sockets, with peers that acknowledge as real ones."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from pybrpc.errors import OvercrowdedError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.message import ack
from pybrpc.protocols.rtmp.session import RtmpSession
from pybrpc.rtmp.server.rtmp_layer import RtmpLayer, credit_of, limit_unacknowledged
from pybrpc.transport.interfaces import PLAIN, PlainLayer

WINDOW, CHUNK = 20_000, 4096
CREDIT = 2 * WINDOW + CHUNK


class Acks:
    """The Acks of a peer, as its session knows them."""

    def __init__(self, acked_bytes: int = 0, has_acks: bool = True) -> None:
        self.acked_bytes = acked_bytes
        self.has_acks = has_acks
        self.on_ack: Callable[[], None] | None = None


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for sock in ours, theirs:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            sock.setblocking(False)
        yield ours, theirs


def received(sock: socket.socket) -> bytes:
    data = b""
    while True:
        try:
            data += sock.recv(1 << 20)
        except BlockingIOError:
            return data


def test_peer_without_acks_is_sent_everything(pair: Any) -> None:
    ours, theirs = pair
    layer = RtmpLayer(PLAIN, Acks(has_acks=False), CREDIT)
    pieces = [IOBuf(bytes(CREDIT)), IOBuf(b"more")]

    assert layer.cut_into_fd(ours.fileno(), pieces) == CREDIT + 4
    assert len(received(theirs)) == CREDIT + 4
    assert layer.room_bytes is None
    assert not layer.lacks_credit


def test_no_more_than_the_credit_is_sent_in_order(pair: Any) -> None:
    ours, theirs = pair
    acks = Acks()
    layer = RtmpLayer(PLAIN, acks, 10)
    pieces = [IOBuf(b"abcd"), IOBuf(b"efgh"), IOBuf(b"ijkl")]

    assert layer.cut_into_fd(ours.fileno(), pieces) == 10
    assert received(theirs) == b"abcdefghij"
    assert [bytes(piece) for piece in pieces] == [b"", b"", b"kl"]
    assert layer.lacks_credit
    with pytest.raises(OvercrowdedError):
        layer.cut_into_fd(ours.fileno(), pieces[2:])
    assert bytes(pieces[2]) == b"kl"

    acks.acked_bytes = 1
    assert not layer.lacks_credit
    assert layer.cut_into_fd(ours.fileno(), pieces[2:]) == 1
    acks.acked_bytes = 10
    assert layer.cut_into_fd(ours.fileno(), pieces[2:]) == 1
    assert received(theirs) == b"kl"


def test_credit_that_ends_between_two_messages(pair: Any) -> None:
    ours, theirs = pair
    layer = RtmpLayer(PLAIN, Acks(), 4)
    pieces = [IOBuf(b"abcd"), IOBuf(b"efgh")]

    assert layer.cut_into_fd(ours.fileno(), pieces) == 4
    assert received(theirs) == b"abcd"


def test_bytes_before_the_first_ack_count(pair: Any) -> None:
    ours, _ = pair
    acks = Acks(has_acks=False)
    layer = RtmpLayer(PLAIN, acks, 100, sent_bytes=3073)
    layer.cut_into_fd(ours.fileno(), [IOBuf(bytes(500))])
    acks.acked_bytes, acks.has_acks = 3500, True

    assert layer.room_bytes == 100 - (3073 + 500 - 3500)


@pytest.mark.parametrize("acked", [1001, 5000, 1 << 30])
def test_ack_of_more_than_was_sent_counts_as_all(acked: int) -> None:
    layer = RtmpLayer(PLAIN, Acks(acked), 100, sent_bytes=1000)

    assert layer.room_bytes == 100


def test_counts_wrap_at_32_bits() -> None:
    sent = (1 << 32) + 40

    assert RtmpLayer(PLAIN, Acks(20), 100, sent).room_bytes == 80
    assert RtmpLayer(PLAIN, Acks((1 << 32) - 10), 100, sent).room_bytes == 50


def test_full_kernel_takes_nothing_of_the_credit(pair: Any) -> None:
    ours, _ = pair
    layer = RtmpLayer(PLAIN, Acks(), 1 << 30)
    with contextlib.suppress(BlockingIOError):
        while True:
            layer.cut_into_fd(ours.fileno(), [IOBuf(bytes(65536))])
    room = layer.room_bytes
    with pytest.raises(BlockingIOError):
        layer.cut_into_fd(ours.fileno(), [IOBuf(b"x")])

    assert layer.room_bytes == room


class UnsentLayer(PlainLayer):
    """A layer that holds bytes, as TLS does: it writes them when it is called without pieces."""

    has_unsent = True

    def __init__(self) -> None:
        self.calls: list[int] = []

    def cut_into_fd(self, fd: int, pieces: Sequence[IOBuf], /) -> int:
        self.calls.append(len(pieces))
        return 0


def test_layer_below_writes_what_it_holds_without_credit() -> None:
    below = UnsentLayer()
    layer = RtmpLayer(below, Acks(), 10, sent_bytes=10)

    assert layer.cut_into_fd(-1, [IOBuf(b"x")]) == 0
    assert below.calls == [0]
    assert layer.has_unsent


# How real programs acknowledge a window of 20,000 bytes: after so many.
RULES = {"ffmpeg": 13_000, "librtmp": 2_000, "gst2": 24_500}


def transfer(pair: Any, credit: int, ack_after: int, size: int) -> int:
    """Send `size` bytes to a peer that acknowledges after more than `ack_after`; return how many
    arrive before both wait for each other."""
    ours, theirs = pair
    acks = Acks(has_acks=True)
    layer = RtmpLayer(PLAIN, acks, credit)
    piece, arrived, acked = IOBuf(bytes(size)), 0, 0
    while piece:
        try:
            layer.cut_into_fd(ours.fileno(), [piece])
        except OvercrowdedError:
            return arrived
        arrived += len(received(theirs))
        if arrived - acked >= ack_after:
            acked = acks.acked_bytes = arrived
    return arrived


@pytest.mark.parametrize("name", RULES)
def test_no_real_peer_is_waited_for_in_vain(pair: Any, name: str) -> None:
    credit = credit_of(WINDOW, CHUNK)

    assert transfer(pair, credit, RULES[name], 1_000_000) == 1_000_000


def test_one_window_of_credit_would_stall_gst2(pair: Any) -> None:
    assert transfer(pair, WINDOW, RULES["gst2"], 1_000_000) == WINDOW


def test_window_has_a_least_size() -> None:
    assert credit_of(16_384, 128) == 2 * 16_384 + 128
    with pytest.raises(ValueError, match="ack_window"):
        credit_of(16_383, 128)


class FakeSocket:
    """A socket whose dispatcher notes what is posted."""

    def __init__(self) -> None:
        self.layer: Any = PLAIN
        self.bytes_written = 77
        self.dispatcher = self
        self.posted: list[object] = []
        self.reads_while_overcrowded = False

    def post(self, function: object) -> None:
        self.posted.append(function)

    def resume_writing(self) -> None: ...

    def read_while_overcrowded(self) -> None:
        self.reads_while_overcrowded = True


def test_ack_resumes_writing_once_for_a_read() -> None:
    sock: Any = FakeSocket()
    session = RtmpSession(None)
    lift = limit_unacknowledged(sock, session, WINDOW, CHUNK)
    assert sock.reads_while_overcrowded
    assert sock.layer.room_bytes is None
    writer = ChunkWriter()
    for number in (10, 20, 70):
        writer.append(session.buffer, ack(number))

    assert session.cut() == []
    assert sock.posted == [sock.resume_writing]
    assert sock.layer.room_bytes == CREDIT - 7
    lift()
    assert sock.layer.room_bytes is None
    assert sock.posted == [sock.resume_writing] * 2
