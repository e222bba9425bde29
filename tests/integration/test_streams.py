"""Streams, in threads and in loops, on both sides: sending, receiving, the window."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    ErrorCode,
    OvercrowdedError,
    RpcTimeoutError,
    StreamResetError,
    StreamTimeoutError,
)
from pybrpc.iobuf import IOBuf
from tests.fakes.threads import WAIT_S, in_threads, wait_until
from tests.peers.streams import Face, every_pair, opened

SMALL = pybrpc.StreamOptions(max_buf_size=10)
NO_WINDOW = pybrpc.StreamOptions(max_buf_size=0)


def take(stream: Face, count: int) -> list[bytes]:
    """Receive `count` messages, and be done with them, so that they are consumed."""
    taken = [stream.recv(WAIT_S) for _ in range(count)]
    stream.inner._core.note_consumed()
    return taken


# --- messages ---


@every_pair
def test_messages_go_both_ways_in_order(sides: str) -> None:
    with opened(sides) as pair:
        for sender, receiver in [(pair.client, pair.server), (pair.server, pair.client)]:
            for i in range(100):
                sender.send(b"%d" % i, timeout=WAIT_S)
            assert [receiver.recv(WAIT_S) for _ in range(100)] == [b"%d" % i for i in range(100)]


@every_pair
def test_message_may_be_empty(sides: str) -> None:
    with opened(sides) as pair:
        for sender, receiver in [(pair.client, pair.server), (pair.server, pair.client)]:
            sender.send_many([b"", b"x", b""], timeout=WAIT_S)
            assert take(receiver, 3) == [b"", b"x", b""]
            sender.wait_consumed(WAIT_S)


@every_pair
def test_message_may_be_any_bytes_and_is_sent_as_it_was(sides: str) -> None:
    with opened(sides, NO_WINDOW) as pair:
        changing, chain = bytearray(b"array"), IOBuf(b"chain")
        pair.client.send_many([changing, memoryview(b"view"), chain], timeout=WAIT_S)
        pair.client.send_nowait(changing)
        changing[:] = b"other"
        assert take(pair.server, 4) == [b"array", b"view", b"chain", b"array"]
        assert chain == b"chain"


@every_pair
def test_message_that_waits_does_not_change(sides: str) -> None:
    with opened(sides, SMALL) as pair:
        pair.client.send(b"x" * 10)
        changing, chain = bytearray(b"array"), IOBuf(b"chain")
        sends = pair.client.start("send_many", [changing, chain], timeout=WAIT_S)
        wait_until(lambda: bool(pair.client.inner._core.outgoing))
        changing[:] = b"other"
        chain.append(b"more")
        assert pair.server.recv(WAIT_S) == b"x" * 10
        assert take(pair.server, 2) == [b"array", b"chain"]
        sends.result()


@every_pair
@pytest.mark.parametrize("message", ["text", None, 3, ["list"]])
def test_message_that_is_no_bytes_is_refused(sides: str, message: Any) -> None:
    with opened(sides) as pair:
        for send in (pair.client.send, pair.client.send_nowait):
            with pytest.raises(TypeError, match=r"a message of a stream is bytes or a pybrpc\.IOB"):
                send(message)
        with pytest.raises(TypeError, match="a message of a stream is bytes"):
            pair.client.send_many([b"right", message])
        for no_list in (b"bytes", "text", IOBuf(b"chain")):
            with pytest.raises(TypeError, match="send_many takes a list of messages, not"):
                pair.client.send_many(no_list)
        pair.client.send(b"nothing was sent before")
        assert pair.server.recv(WAIT_S) == b"nothing was sent before"


@every_pair
def test_big_message_passes_a_small_window(sides: str) -> None:
    """One message of any size, while there is a byte of room."""
    with opened(sides, SMALL) as pair:
        big = bytes(range(256)) * 40_000
        pair.client.send(b"x" * 9, timeout=WAIT_S)
        pair.client.send(big, timeout=WAIT_S)
        with pytest.raises(OvercrowdedError):
            pair.client.send_nowait(b"")
        assert take(pair.server, 2) == [b"x" * 9, big]
        pair.client.send(b"room again", timeout=WAIT_S)


@every_pair
def test_many_threads_send_and_each_keeps_its_order(sides: str) -> None:
    with opened(sides, pybrpc.StreamOptions(max_buf_size=1000)) as pair:

        def send(k: int) -> None:
            for i in range(200):
                pair.client.send(b"%d %d" % (k, i), timeout=WAIT_S)

        threads = Face(_Threads(send), None).start("run")
        received: dict[int, list[int]] = {0: [], 1: [], 2: [], 3: []}
        for _ in range(800):
            k, i = map(int, pair.server.recv(WAIT_S).split())
            received[k].append(i)
        threads.result()
        assert all(each == list(range(200)) for each in received.values())


class _Threads:
    def __init__(self, function: Any) -> None:
        self._function = function

    def run(self) -> None:
        in_threads(4, self._function)


# --- the window ---


@every_pair
def test_send_waits_for_the_window(sides: str) -> None:
    with opened(sides, SMALL) as pair:
        pair.client.send(b"x" * 10, timeout=WAIT_S)
        assert not pair.client.is_writable()
        sends = pair.client.start("send", b"second", timeout=WAIT_S)
        wait_until(lambda: bool(pair.client.inner._core.outgoing))
        assert pair.client.unconsumed_bytes == 10
        assert take(pair.server, 1) == [b"x" * 10]
        sends.result()
        assert pair.server.recv(WAIT_S) == b"second"


@every_pair
def test_send_that_takes_too_long_was_not_sent(sides: str) -> None:
    with opened(sides, SMALL) as pair:
        pair.client.send(b"x" * 10, timeout=WAIT_S)
        with pytest.raises(StreamTimeoutError) as caught:
            pair.client.send(b"never", timeout=0.01)
        error = caught.value
        stream = pair.client.inner
        assert isinstance(error, RpcTimeoutError)
        assert error.code == ErrorCode.ETIMEDOUT
        wanted = f"sending on the stream {stream.id} with {stream.peer} took more than 0.01 s"
        assert (error.text, error.peer, error.sent) == (wanted, stream.peer, 0)
        assert stream.state == "open"
        assert take(pair.server, 1) == [b"x" * 10]
        pair.client.send(b"next", timeout=WAIT_S)
        assert pair.server.recv(WAIT_S) == b"next"


@every_pair
def test_send_many_says_how_many_were_sent(sides: str) -> None:
    """The window takes three of them: 4, 8, 12 bytes."""
    messages = [b"%04d" % i for i in range(6)]
    with opened(sides, SMALL) as pair:
        with pytest.raises(StreamTimeoutError) as caught:
            pair.client.send_many(messages, timeout=0.01)
        assert caught.value.sent == 3
        assert take(pair.server, 3) == messages[:3]
        pair.client.send_many(messages[3:], timeout=WAIT_S)
        assert take(pair.server, 3) == messages[3:]
        pair.client.send_many([], timeout=0)
        pair.client.send_many(iter([b"from", b"iter"]), timeout=WAIT_S)
        assert take(pair.server, 2) == [b"from", b"iter"]


@every_pair
def test_send_nowait_and_drain(sides: str) -> None:
    with opened(sides, SMALL) as pair:
        pair.client.drain(timeout=0)
        pair.client.send_nowait(b"x" * 10)
        with pytest.raises(OvercrowdedError) as caught:
            pair.client.send_nowait(b"more")
        stream = pair.client.inner
        assert (caught.value.code, caught.value.peer) == (ErrorCode.EOVERCROWDED, stream.peer)
        assert caught.value.text == (f"the stream {stream.id} with {stream.peer} takes no more now")
        with pytest.raises(StreamTimeoutError, match=r"took more than 0\.01 s"):
            pair.client.drain(timeout=0.01)
        drained = pair.client.start("drain", timeout=WAIT_S)
        assert take(pair.server, 1) == [b"x" * 10]
        drained.result()
        assert pair.client.is_writable()
        pair.client.send_nowait(b"more")


@every_pair
def test_without_a_window_nothing_waits_for_the_peer(sides: str) -> None:
    with opened(sides, NO_WINDOW) as pair:
        for _ in range(100):
            pair.client.send_nowait(b"x" * 1000)
        with pytest.raises(ValueError, match="wait_consumed needs a stream with max_buf_size > 0"):
            pair.client.wait_consumed(WAIT_S)
        assert len(take(pair.server, 100)) == 100
        assert pair.client.unconsumed_bytes == 100_000


@every_pair
def test_wait_consumed_tells_that_the_peer_has_taken_all(sides: str) -> None:
    with opened(sides) as pair:
        pair.client.wait_consumed(timeout=0)
        pair.client.send_many([b"one", b"two"], timeout=WAIT_S)
        with pytest.raises(StreamTimeoutError, match=r"waiting for the consumer of .* took more"):
            pair.client.wait_consumed(timeout=0.01)
        waits = pair.client.start("wait_consumed", WAIT_S)
        assert pair.server.recv(WAIT_S) == b"one"
        assert pair.server.recv(WAIT_S) == b"two"
        assert pair.client.unconsumed_bytes == 6, "the second one is just being dealt with"
        assert not waits.is_over
        with pytest.raises(StreamTimeoutError):
            pair.server.recv(timeout=0)
        waits.result()
        assert pair.client.unconsumed_bytes == 0


@every_pair
def test_wait_consumed_counts_what_waits_for_the_window(sides: str) -> None:
    with opened(sides, SMALL) as pair:
        sends = pair.client.start("send_many", [b"x" * 10, b"y" * 10], timeout=WAIT_S)
        wait_until(lambda: bool(pair.client.inner._core.outgoing))
        waits = pair.client.start("wait_consumed", WAIT_S)
        wait_until(lambda: bool(pair.client.inner._core.consumed_waits))
        assert take(pair.server, 1) == [b"x" * 10]
        sends.result()
        assert not waits.is_over
        assert take(pair.server, 1) == [b"y" * 10]
        waits.result()


@every_pair
def test_closing_consumes_what_was_taken(sides: str) -> None:
    """A peer that takes the last message, and closes, has dealt with it."""
    with opened(sides) as pair:
        pair.client.send(b"only", timeout=WAIT_S)
        waits = pair.client.start("wait_consumed", WAIT_S)
        assert pair.server.recv(WAIT_S) == b"only"
        pair.server.close(WAIT_S)
        waits.result()


# --- receiving ---


@every_pair
def test_recv_waits_for_a_message(sides: str) -> None:
    with opened(sides) as pair:
        receives = pair.server.start("recv")
        with pytest.raises(StreamTimeoutError) as caught:
            pair.client.recv(timeout=0.01)
        stream = pair.client.inner
        assert caught.value.text == (
            f"receiving on the stream {stream.id} with {stream.peer} took more than 0.01 s"
        )
        pair.client.send(b"late", timeout=WAIT_S)
        assert receives.result() == b"late"


@every_pair
def test_batches_are_lists_of_what_is_there(sides: str) -> None:
    with opened(sides) as pair:
        pair.client.send_many([b"%d" % i for i in range(5)], timeout=WAIT_S)
        wait_until(lambda: len(pair.server.inner._core.unread) == 5)
        batches = iter(pair.server.batches(2, timeout=WAIT_S))
        assert [next(batches) for _ in range(3)] == [[b"0", b"1"], [b"2", b"3"], [b"4"]]
        pair.client.send(b"5", timeout=WAIT_S)
        pair.client.close(WAIT_S)
        assert list(batches) == [[b"5"]]


@every_pair
def test_batches_wait_for_each_at_most_so_long(sides: str) -> None:
    with opened(sides) as pair:
        pair.client.send(b"first", timeout=WAIT_S)
        wait_until(lambda: len(pair.server.inner._core.unread) == 1)
        batches = iter(pair.server.batches(timeout=0.01))
        assert next(batches) == [b"first"]
        with pytest.raises(StreamTimeoutError):
            next(batches)


@every_pair
@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2", None])
def test_batches_of_no_size_are_refused(sides: str, n: Any) -> None:
    with opened(sides) as pair, pytest.raises(ValueError, match="needs a whole number >= 1"):
        pair.client.batches(n)


@every_pair
@pytest.mark.parametrize("timeout", [-1, "1", float("nan")])
def test_wrong_timeouts_are_refused(sides: str, timeout: Any) -> None:
    with opened(sides, SMALL) as pair:
        pair.client.send(b"x" * 10, timeout=WAIT_S)
        for wait in (pair.client.recv, pair.client.drain, pair.client.wait_consumed):
            with pytest.raises((ValueError, TypeError), match="timeout must be"):
                wait(timeout=timeout)
        with pytest.raises((ValueError, TypeError), match="timeout must be"):
            pair.client.send(b"more", timeout=timeout)
        core = pair.client.inner._core
        assert not core.outgoing
        assert not core.consumed_waits
        assert not core._received_waits


@every_pair
def test_iteration_ends_when_the_peer_closes(sides: str) -> None:
    with opened(sides) as pair:
        pair.server.send_many([b"1", b"2", b"3"], timeout=WAIT_S)
        pair.server.close(WAIT_S)
        assert list(pair.client) == [b"1", b"2", b"3"]
        assert list(pair.client) == []
        assert pair.client.failure is None


@every_pair
def test_iteration_raises_when_the_peer_resets(sides: str) -> None:
    """After the messages that have come before."""
    with opened(sides) as pair:
        pair.server.send_many([b"1", b"2"], timeout=WAIT_S)
        wait_until(lambda: len(pair.client.inner._core.unread) == 2)
        pair.server.reset()
        received: list[bytes] = []
        with pytest.raises(StreamResetError) as caught:
            received.extend(pair.client)
        assert received == [b"1", b"2"]
        assert caught.value.is_remote
        with pytest.raises(StreamResetError):
            pair.client.recv()


# --- limits of what is received ---


@every_pair
def test_unread_bytes_are_counted(sides: str) -> None:
    with opened(sides) as pair:
        assert pair.server.unread_bytes == 0
        pair.client.send(b"x" * 1000, timeout=WAIT_S)
        wait_until(lambda: len(pair.server.inner._core.unread) == 1)
        assert 1000 < pair.server.unread_bytes < 1200
        pair.server.recv(WAIT_S)
        assert pair.server.unread_bytes == 0


@every_pair
def test_stream_that_is_not_read_is_reset_at_its_limit(sides: str) -> None:
    limit = pybrpc.StreamOptions(max_unread_bytes=10_000)
    with opened(sides, server_options=limit, streams=2) as pair:
        while not pair.client.is_closed:
            with contextlib.suppress(StreamResetError):
                pair.client.send(b"x" * 1000, timeout=WAIT_S)
            pair.clients[1].send(b"other", timeout=WAIT_S)
            assert pair.servers[1].recv(WAIT_S) == b"other"
        error = pair.server.wait_closed(WAIT_S)
        assert isinstance(error, StreamResetError)
        assert not error.is_remote
        assert "more than max_unread_bytes" in error.text
        assert pair.server.unread_bytes == 0
        pair.clients[1].send(b"goes on", timeout=WAIT_S)
        assert pair.servers[1].recv(WAIT_S) == b"goes on"


@every_pair
@pytest.mark.parametrize("segment", [2**20, 300], ids=["whole", "in segments"])
def test_message_over_the_limit_resets_the_stream(sides: str, segment: int) -> None:
    client_options = pybrpc.StreamOptions(max_segment_size=segment)
    limit = pybrpc.StreamOptions(max_message_size=1000)
    with opened(sides, client_options, limit) as pair:
        pair.client.send(b"x" * 1000, timeout=WAIT_S)
        assert pair.server.recv(WAIT_S) == b"x" * 1000
        pair.client.send(b"x" * 1001, timeout=WAIT_S)
        error = pair.server.wait_closed(WAIT_S)
        assert isinstance(error, StreamResetError)
        assert "max_message_size" in error.text
        assert isinstance(pair.client.wait_closed(WAIT_S), StreamResetError)


@every_pair
def test_windows_shrink_while_the_connection_has_much_unconsumed(sides: str) -> None:
    """They begin at the least, double when a FEEDBACK leaves them full, and fall to the least."""
    options = pybrpc.StreamOptions(max_buf_size=400, min_buf_size=100)
    limit = {"max_streams_unconsumed_bytes": 500}
    with opened(sides, options, streams=2, channel=limit) as pair:
        first, other = pair.clients

        def taken(unconsumed: int) -> bool:
            """The server takes one. Whether more may be sent then."""
            take(pair.server, 1)
            wait_until(lambda: first.unconsumed_bytes == unconsumed)
            return bool(first.is_writable())

        for size in (10, 80, 300):
            first.send_nowait(b"x" * size)
        assert not first.is_writable()
        # Of the first one alone no FEEDBACK would be due.
        wait_until(lambda: len(pair.server.inner._core.unread) == 3)
        assert not taken(380), "the window is 200 now"
        assert taken(300), "and now 400"
        first.send_nowait(b"x" * 200)
        other.send_nowait(b"x" * 450)
        assert not taken(200), "the window is 100: there are 650 bytes in both"
        assert taken(0)
        first.send_nowait(b"x" * 99)
        assert first.is_writable()
        first.send_nowait(b"x")
        assert not first.is_writable()
