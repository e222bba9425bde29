"""Streams over a network that fails: who uses one hears of it, on both sides, with a reason."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    ConnectionFailedError,
    RpcTimeoutError,
    StreamClosedError,
    StreamResetError,
    StreamTimeoutError,
)
from soak.network.link_faults import LinkFaults
from tests.peers.far_echo import (
    CARELESS,
    HANG_S,
    SECURITIES,
    WATCHFUL,
    FarEcho,
    channel_options,
    wait_until,
)
from tests.peers.streams import CLIENTS, THREADS, Client, Face, Started, client_of

pytestmark = [pytest.mark.slow, pytest.mark.proof]

BAD = LinkFaults(delay_s=0.002, jitter_s=0.002, loss=0.01, duplicate=0.1, reorder=0.1, corrupt=0.01)
CARELESS_OF_TIME = pybrpc.SocketOptions(tcp_user_timeout_ms=60_000)
MESSAGE = bytes(range(256)) * 40
NO_WINDOW = pybrpc.StreamOptions(max_buf_size=0)
SMALL = pybrpc.StreamOptions(max_buf_size=100_000)


class Opened:
    """Streams between the hosts."""

    def __init__(self, client: Client, call: Face, far: FarEcho, server: pybrpc.Server) -> None:
        self.client = client
        self.call = call
        self.near = client.streams_of(call)
        self.far = [Face(stream, None) for stream in far.accepted.get(timeout=HANG_S)]
        self.server = server


@contextlib.contextmanager
def opened(
    far: FarEcho,
    form: str = THREADS,
    security: str = "plain",
    streams: int = 1,
    options: Any = None,
    of_socket: pybrpc.SocketOptions = WATCHFUL,
) -> Iterator[Opened]:
    server, address = far.serve(security, options=WATCHFUL if of_socket is CARELESS else of_socket)
    with client_of(form, address, **channel_options(security, options=of_socket)) as client:
        call = client.open(streams=streams, options=options)
        found = Opened(client, call, far, server)
        try:
            yield found
        finally:
            call.reset()
            for stream in found.far:
                stream.inner.reset()


def send_for_ever(stream: Face) -> Started:
    """A sender, which waits because the other side consumes nothing, or the network takes
    nothing."""

    class Sender:
        inner = stream.inner

        def send(self) -> None:
            while True:
                stream.send(MESSAGE, timeout=HANG_S)

    return Started(Sender(), "send", (), {})  # type: ignore[arg-type]


def start_all(streams: list[Face]) -> dict[str, Started]:
    """Use one side of five streams in each way that waits."""
    sending, receiving, iterating, consumed, ending = streams
    consumed.send(b"that nobody consumes", timeout=HANG_S)
    return {
        "send": send_for_ever(sending),
        "recv": receiving.start("recv", HANG_S),
        "batches": Started(Face(Batches(iterating), None), "take", (), {}),
        "wait_consumed": consumed.start("wait_consumed", HANG_S),
        "wait_closed": ending.start("wait_closed", HANG_S),
    }


class Batches:
    """Iterates over a stream."""

    def __init__(self, stream: Face) -> None:
        self.stream = stream

    def take(self) -> None:
        for _ in self.stream.batches(10, HANG_S):
            raise AssertionError("there are no messages")


def check_failed(waiting: dict[str, Started], *codes: int) -> None:
    """Each wait has ended with the error of the connection."""
    for name, started in waiting.items():
        if name == "wait_closed":
            error = started.result()
        else:
            with pytest.raises(ConnectionFailedError) as caught:
                started.result()
            error = caught.value
        assert isinstance(error, ConnectionFailedError), (name, error)
        assert error.code in codes, (name, error)
        assert error.peer, (name, error)


def wait_blocked(stream: Face) -> None:
    """Until a sender has filled the window."""
    wait_until(lambda: not stream.inner.is_writable())


# --- cuts ---


@pytest.mark.parametrize(
    ("form", "security"), [(THREADS, "plain"), ("asyncio", "tls"), ("uvloop", "plain")]
)
def test_cut_ends_every_wait_on_both_sides(far: FarEcho, form: str, security: str) -> None:
    with opened(far, form, security, streams=5) as line:
        near, there = start_all(line.near), start_all(line.far)
        wait_blocked(line.near[0])
        wait_blocked(line.far[0])
        far.wire.cut()
        check_failed(near, errno.ETIMEDOUT)
        check_failed(there, errno.ETIMEDOUT)
        wait_until(lambda: line.server.statistics().connections == 0)
        for stream in (*line.near, *line.far):
            assert isinstance(stream.inner.failure, ConnectionFailedError)
            with pytest.raises(ConnectionFailedError):
                stream.send(b"late", timeout=HANG_S)


@pytest.mark.parametrize("direction", ["to_far", "to_near"])
def test_cut_of_one_direction_ends_every_wait_on_both_sides(far: FarEcho, direction: str) -> None:
    """One side sends into nothing, the acknowledgements of the other one are lost. The side
    that finds out first closes: if the other one hears of that, it is a reset."""
    with opened(far, streams=5) as line:
        near, there = start_all(line.near), start_all(line.far)
        wait_blocked(line.near[0])
        wait_blocked(line.far[0])
        far.wire.cut(**{other: other == direction for other in ("to_far", "to_near")})
        codes = (errno.ETIMEDOUT, errno.ECONNRESET, errno.EPIPE)
        check_failed(near, *codes)
        check_failed(there, *codes)


@pytest.mark.parametrize("form", CLIENTS)
def test_receiver_whose_peer_vanished_without_a_word(far: FarEcho, form: str) -> None:
    """Nothing was sent: keepalive finds it, on both sides."""
    with opened(far, form) as line:
        near, there = (stream.start("recv", HANG_S) for stream in (line.near[0], line.far[0]))
        far.wire.cut()
        for started in (near, there):
            with pytest.raises(ConnectionFailedError) as caught:
                started.result()
            assert caught.value.code == errno.ETIMEDOUT


@pytest.mark.parametrize("security", SECURITIES)
def test_close_that_waits_for_a_link_that_is_cut(far: FarEcho, security: str) -> None:
    """Without a window, the network alone keeps the sender; `close` waits behind its messages."""
    with opened(far, security=security, streams=2, options=NO_WINDOW) as line:
        sending, closing = line.near
        far.wire.cut()
        sender = send_for_ever(sending)
        wait_blocked(sending)
        close = closing.start("close", HANG_S)
        with pytest.raises(ConnectionFailedError) as caught:
            close.result()
        assert caught.value.code == errno.ETIMEDOUT
        with pytest.raises(ConnectionFailedError):
            sender.result()


@pytest.mark.parametrize("form", CLIENTS)
def test_close_over_a_link_that_is_cut_is_written_to_the_kernel(far: FarEcho, form: str) -> None:
    """The own side is closed; the other one does not hear of it, and finds the connection dead."""
    with opened(far, form) as line:
        there = line.far[0].start("recv", HANG_S)
        far.wire.cut()
        line.near[0].close(HANG_S)
        assert line.near[0].inner.failure is None
        with pytest.raises(StreamClosedError):
            line.near[0].recv(HANG_S)
        with pytest.raises(ConnectionFailedError) as caught:
            there.result()
        assert caught.value.code == errno.ETIMEDOUT


def test_timeouts_pass_while_the_link_is_cut(far: FarEcho) -> None:
    """Each wait ends at its own timeout; `close` resets the stream then. The connection lives."""
    patient = pybrpc.SocketOptions(tcp_user_timeout_ms=60_000, keepalive=False)
    with opened(far, streams=2, options=NO_WINDOW, of_socket=patient) as line:
        sending, closing = line.near
        far.wire.cut()
        with pytest.raises(StreamTimeoutError) as caught:
            sending.send_many([MESSAGE] * 10_000, timeout=0.2)
        assert caught.value.sent > 0  # type: ignore[attr-defined]
        for name in ("recv", "drain", "wait_closed"):
            with pytest.raises(StreamTimeoutError):
                getattr(sending, name)(0.05)
        with pytest.raises(StreamTimeoutError):
            closing.close(0.05)
        assert isinstance(closing.inner.failure, StreamResetError)
        assert sending.inner.failure is None


def test_stream_that_is_opened_into_nothing(far: FarEcho) -> None:
    """The call is over at its deadline. The request arrives after all: its stream is reset."""
    _, address = far.serve()
    options = channel_options("plain", options=CARELESS_OF_TIME, max_retry=0)
    with client_of(THREADS, address, **options) as client:
        assert client.echo("first").message == "first"
        far.wire.cut(to_near=False)
        with pytest.raises(RpcTimeoutError):
            client.open(timeout=0.2)
        far.wire.mend()
        (stream,) = far.accepted.get(timeout=HANG_S)
        error = stream.wait_closed(HANG_S)
        assert isinstance(error, StreamResetError | pybrpc.errors.RpcCanceledError)


# --- links that come back ---


@pytest.mark.parametrize(
    ("form", "security"), [(THREADS, "tls"), ("asyncio", "plain"), ("uvloop", "tls")]
)
def test_nothing_is_lost_through_a_bad_network(far: FarEcho, form: str, security: str) -> None:
    """TCP makes all of it good: both directions, in order, and consumed."""
    with opened(far, form, security, options=SMALL, of_socket=CARELESS_OF_TIME) as line:
        near, there = line.near[0], line.far[0]
        far.wire.fail(BAD)
        for sender, receiver in ((near, there), (there, near)):
            sending = Started(Numbered(sender, 40), "send", (), {})  # type: ignore[arg-type]
            for number in range(40):
                assert receiver.recv(HANG_S) == b"%d " % number + MESSAGE
            sending.result()
        for stream in (near, there):
            stream.inner._core.note_consumed()
        near.wait_consumed(HANG_S)
        there.wait_consumed(HANG_S)
        near.close(HANG_S)
        with pytest.raises(StreamClosedError):
            there.recv(HANG_S)


class Numbered:
    """A sender of numbered messages."""

    def __init__(self, stream: Face, count: int) -> None:
        self.stream = stream
        self.count = count

    def send(self) -> None:
        for number in range(self.count):
            self.stream.send(b"%d " % number + MESSAGE, timeout=HANG_S)


@pytest.mark.parametrize("security", SECURITIES)
def test_stream_goes_on_over_a_link_that_comes_back_in_time(far: FarEcho, security: str) -> None:
    with opened(far, security=security) as line:
        near, there = line.near[0], line.far[0]
        near.send(b"before", timeout=HANG_S)
        assert there.recv(HANG_S) == b"before"
        far.wire.cut()
        near.send(b"meanwhile", timeout=HANG_S)
        there.send(b"there too", timeout=HANG_S)
        wait_until(lambda: far.wire.counts()["cut"] >= 2)
        far.wire.mend()
        assert there.recv(HANG_S) == b"meanwhile"
        assert near.recv(HANG_S) == b"there too"
        near.send(b"after", timeout=HANG_S)
        assert there.recv(HANG_S) == b"after"
        assert (near.inner.failure, there.inner.failure) == (None, None)


def test_link_that_comes_back_when_the_server_has_given_up(far: FarEcho) -> None:
    """The client, which does not look after its connection, hears of it as a reset."""
    with opened(far, streams=5, of_socket=CARELESS) as line:
        there = [stream.start("recv", HANG_S) for stream in line.far]
        far.wire.cut()
        for started in there:
            with pytest.raises(ConnectionFailedError) as caught:
                started.result()
            assert caught.value.code == errno.ETIMEDOUT
        wait_until(lambda: line.server.statistics().connections == 0)
        far.wire.mend()
        check_failed(start_all(line.near), errno.ECONNRESET, errno.EPIPE)


def test_messages_that_have_come_before_the_cut_are_received(far: FarEcho) -> None:
    with opened(far) as line:
        near, there = line.near[0], line.far[0]
        there.send_many([b"1", b"2"], timeout=HANG_S)
        wait_until(lambda: near.inner.unread_bytes > 2 * 64)
        far.wire.cut()
        wait_until(lambda: near.inner.is_closed)
        assert [near.recv(HANG_S), near.recv(HANG_S)] == [b"1", b"2"]
        with pytest.raises(ConnectionFailedError):
            near.recv(HANG_S)


def test_server_stops_in_its_grace_though_its_streams_lead_to_nobody(far: FarEcho) -> None:
    with opened(far, of_socket=CARELESS) as line:
        waiting = line.far[0].start("recv", HANG_S)
        far.wire.cut()
        line.server.stop(0.2)
        assert line.server.join(HANG_S)
        with pytest.raises(ConnectionFailedError):
            waiting.result()
