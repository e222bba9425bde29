"""Streams, in threads and in loops, on both sides: how they end, and the errors that say why."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    ConnectionFailedError,
    ErrorCode,
    RpcError,
    RpcTimeoutError,
    StreamClosedError,
    StreamResetError,
    StreamTimeoutError,
)
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.streams import (
    Pair,
    every_pair,
    opened,
    wait_until_idle,
)

SMALL = pybrpc.StreamOptions(max_buf_size=10)


def socket_of(stream: Any) -> Any:
    return stream.inner._core.table.socket


# --- close ---


@every_pair
def test_what_was_sent_before_a_close_arrives(sides: str) -> None:
    with opened(sides) as pair:
        pair.client.send_many([b"1", b"2"], timeout=WAIT_S)
        pair.client.close(WAIT_S)
        assert list(pair.server) == [b"1", b"2"]
        with pytest.raises(StreamClosedError) as caught:
            pair.server.recv()
        stream = pair.server.inner
        assert (caught.value.code, caught.value.peer) == (ErrorCode.EINVAL, stream.peer)
        assert caught.value.text == (
            f"the stream {stream.id} with {stream.peer} was closed by the peer"
        )
        assert pair.server.wait_closed(WAIT_S) is None
        wait_until_idle(pair)


@every_pair
def test_nothing_is_sent_or_received_after_a_close(sides: str) -> None:
    with opened(sides) as pair:
        pair.client.close(WAIT_S)
        stream = pair.client.inner
        assert (stream.state, stream.is_closed) == ("closed", True)
        wanted = f"the stream {stream.id} with {stream.peer} was closed by this side"
        for use in (
            lambda: pair.client.send(b"x", timeout=WAIT_S),
            lambda: pair.client.send_nowait(b"x"),
            lambda: pair.client.send_many([b"x"], timeout=WAIT_S),
            lambda: pair.client.drain(WAIT_S),
            lambda: pair.client.recv(WAIT_S),
        ):
            with pytest.raises(StreamClosedError) as caught:
                use()
            assert caught.value.text == wanted
        assert list(pair.client) == []
        assert list(pair.client.batches()) == []
        assert not pair.client.is_writable()
        pair.client.wait_consumed(WAIT_S)
        pair.client.close(WAIT_S)
        pair.client.reset()
        assert pair.client.wait_closed(timeout=0) is None
        wait_until_idle(pair)


@every_pair
def test_close_drops_what_was_not_taken(sides: str) -> None:
    with opened(sides) as pair:
        pair.server.send(b"unread", timeout=WAIT_S)
        wait_until(lambda: len(pair.client.inner._core.unread) == 1)
        pair.client.close(WAIT_S)
        assert pair.client.unread_bytes == 0
        assert list(pair.client) == []
        wait_until_idle(pair)


@every_pair
def test_close_waits_until_all_is_sent(sides: str) -> None:
    with opened(sides, SMALL) as pair:
        sends = pair.client.start("send_many", [b"x" * 10, b"y" * 10, b"z"], timeout=WAIT_S)
        wait_until(lambda: bool(pair.client.inner._core.outgoing))
        closes = pair.client.start("close", WAIT_S)
        wait_until(lambda: len(pair.client.inner._core.outgoing) == 2)
        assert pair.client.state == "closing"
        assert not closes.is_over
        with pytest.raises(StreamClosedError):
            pair.client.send(b"too late")
        pair.client.close(WAIT_S)  # it is being closed: does nothing
        assert list(pair.server) == [b"x" * 10, b"y" * 10, b"z"]
        sends.result()
        closes.result()
        wait_until_idle(pair)


@every_pair
def test_close_that_takes_too_long_resets_the_stream(sides: str) -> None:
    with opened(sides, SMALL) as pair:
        pair.client.send(b"x" * 10, timeout=WAIT_S)
        sends = pair.client.start("send", b"waits")
        wait_until(lambda: bool(pair.client.inner._core.outgoing))
        with pytest.raises(StreamTimeoutError, match=r"closing the stream .* took more than 0.01"):
            pair.client.close(timeout=0.01)
        with pytest.raises(StreamResetError, match="was reset by this side"):
            sends.result()
        assert pair.server.recv(WAIT_S) == b"x" * 10
        with pytest.raises(StreamResetError) as caught:
            pair.server.recv(WAIT_S)
        assert caught.value.is_remote
        wait_until_idle(pair)


@every_pair
def test_close_that_is_cut_off_raises(sides: str) -> None:
    with opened(sides, SMALL) as pair:
        pair.client.send(b"x" * 10, timeout=WAIT_S)
        sends = pair.client.start("send", b"waits")
        wait_until(lambda: bool(pair.client.inner._core.outgoing))
        closes = pair.client.start("close", WAIT_S)
        wait_until(lambda: len(pair.client.inner._core.outgoing) == 2)
        pair.server.reset()
        for each in (sends, closes):
            with pytest.raises(StreamResetError, match="was reset by the peer"):
                each.result()
        wait_until_idle(pair)


@every_pair
def test_both_sides_close_at_once(sides: str) -> None:
    with opened(sides) as pair:
        closes = [each.start("close", WAIT_S) for each in (pair.client, pair.server)]
        for each in closes:
            each.result()
        assert pair.client.wait_closed(WAIT_S) is None
        assert pair.server.wait_closed(WAIT_S) is None
        wait_until_idle(pair)


@every_pair
def test_waits_end_when_the_peer_closes(sides: str) -> None:
    with opened(sides, SMALL) as pair:
        pair.client.send(b"x" * 10, timeout=WAIT_S)
        waits = [
            pair.client.start("recv"),
            pair.client.start("wait_consumed"),
            pair.client.start("send", b"more"),
            pair.client.start("drain"),
        ]
        closed = pair.client.start("wait_closed")
        core = pair.client.inner._core
        wait_until(lambda: len(core.outgoing) == 2 and bool(core.consumed_waits))
        pair.server.close(WAIT_S)
        for each in waits:
            with pytest.raises(StreamClosedError, match="was closed by the peer"):
                each.result()
        assert closed.result() is None
        wait_until_idle(pair)


# --- reset ---


@every_pair
def test_reset_drops_what_waits_and_what_was_received(sides: str) -> None:
    with opened(sides, SMALL) as pair:
        pair.server.send(b"unread", timeout=WAIT_S)
        wait_until(lambda: len(pair.client.inner._core.unread) == 1)
        pair.client.send(b"x" * 10, timeout=WAIT_S)
        sends = pair.client.start("send", b"never")
        wait_until(lambda: bool(pair.client.inner._core.outgoing))
        pair.client.reset()
        for use in (sends.result, pair.client.recv, lambda: pair.client.send(b"x")):
            with pytest.raises(StreamResetError, match="was reset by this side") as caught:
                use()
            assert (caught.value.code, caught.value.is_remote) == (ErrorCode.ECONNRESET, False)
        assert pair.server.recv(WAIT_S) == b"x" * 10
        error = pair.server.wait_closed(WAIT_S)
        assert isinstance(error, StreamResetError)
        assert (error.code, error.is_remote, error.peer) == (
            ErrorCode.ECONNRESET,
            True,
            pair.server.peer,
        )
        assert pair.server.state == f"failed: {error.text}"
        assert isinstance(pair.client.wait_closed(WAIT_S), StreamResetError)
        wait_until_idle(pair)


@every_pair
def test_waits_end_when_the_peer_resets(sides: str) -> None:
    with opened(sides, SMALL) as pair:
        pair.client.send(b"x" * 10, timeout=WAIT_S)
        waits = [
            pair.client.start("recv"),
            pair.client.start("wait_consumed"),
            pair.client.start("send", b"more"),
        ]
        closed = pair.client.start("wait_closed")
        core = pair.client.inner._core
        wait_until(lambda: bool(core.outgoing) and bool(core.consumed_waits))
        pair.server.reset()
        for each in waits:
            with pytest.raises(StreamResetError) as caught:
                each.result()
            assert caught.value.is_remote
        assert isinstance(closed.result(), StreamResetError)
        wait_until_idle(pair)


@every_pair
def test_leaving_the_block_closes_or_resets(sides: str) -> None:
    with opened(sides, streams=2) as pair:
        first, second = pair.clients
        enter, leave = (
            ("__enter__", "__exit__") if first.loop is None else ("__aenter__", "__aexit__")
        )
        for stream in (first, second):
            getattr(pair.of_client.face(type(stream.inner)), enter)(stream.inner)
        getattr(pair.of_client.face(type(first.inner)), leave)(first.inner, None, None, None)
        kind = ZeroDivisionError
        getattr(pair.of_client.face(type(first.inner)), leave)(second.inner, kind, kind(), None)
        assert pair.servers[0].wait_closed(WAIT_S) is None
        assert isinstance(pair.servers[1].wait_closed(WAIT_S), StreamResetError)
        wait_until_idle(pair)


@every_pair
def test_feedback_to_a_stream_that_is_over_counts_nothing(sides: str) -> None:
    """It is being handled while another thread resets the stream."""
    with opened(sides) as pair:
        pair.client.send(b"x" * 10, timeout=WAIT_S)
        core = pair.client.inner._core
        pair.client.reset()
        core.on_feedback(10)
        assert core.table.unconsumed == 0


# --- the connection ---


@every_pair
def test_connection_that_breaks_fails_its_streams(sides: str) -> None:
    with opened(sides, SMALL, streams=2) as pair:
        pair.client.send(b"x" * 10, timeout=WAIT_S)
        wait_until(lambda: len(pair.server.inner._core.unread) == 1)
        waits = [
            pair.client.start("recv"),
            pair.client.start("send", b"more"),
            pair.client.start("wait_consumed"),
            pair.clients[1].start("recv"),
            pair.servers[1].start("recv"),
        ]
        closed = pair.client.start("wait_closed")
        core = pair.client.inner._core
        wait_until(lambda: bool(core.outgoing) and bool(core.consumed_waits))
        socket_of(pair.server).close()
        for each in waits:
            with pytest.raises(ConnectionFailedError) as caught:
                each.result()
        assert caught.value.peer == pair.server.peer
        error = closed.result()
        assert isinstance(error, ConnectionFailedError)
        assert (error.code, error.peer) == (ErrorCode.EEOF, pair.client.peer)
        assert pair.server.recv(WAIT_S) == b"x" * 10, "what has come before can be taken"
        with pytest.raises(ConnectionFailedError):
            pair.server.recv(WAIT_S)
        wait_until_idle(pair)
        with pytest.raises(ConnectionFailedError):
            pair.client.send(b"late")


@every_pair
def test_channel_that_is_closed_fails_its_streams(sides: str) -> None:
    with opened(sides) as pair:
        receives = pair.client.start("recv")
        pair.of_client.close()
        with pytest.raises(RpcError):
            receives.result()
        assert isinstance(pair.server.wait_closed(WAIT_S), ConnectionFailedError)
        wait_until_idle(pair)


# --- time ---


@contextlib.contextmanager
def with_options_of(
    side: str, sides: str, options: pybrpc.StreamOptions
) -> Iterator[tuple[Pair, Any, Any]]:
    """Streams of which one side has these options, and that side and the other one."""
    both = (options, None) if side == "client" else (None, options)
    with opened(sides, *both) as pair:
        if side == "client":
            yield pair, pair.client, pair.server
        else:
            yield pair, pair.server, pair.client


@every_pair
@pytest.mark.parametrize("side", ["client", "server"])
def test_stream_is_reset_after_its_lifetime(sides: str, side: str) -> None:
    options = pybrpc.StreamOptions(lifetime=0.02)
    with with_options_of(side, sides, options) as (pair, mine, other):
        error = mine.wait_closed(WAIT_S)
        assert isinstance(error, StreamResetError)
        assert error.text == (
            f"the stream {mine.id} with {mine.peer} was reset by this side: "
            "its lifetime of 0.02 s is over"
        )
        assert isinstance(error.__cause__, RpcTimeoutError)
        error = other.wait_closed(WAIT_S)
        assert isinstance(error, StreamResetError)
        assert error.is_remote
        wait_until_idle(pair)


@every_pair
@pytest.mark.parametrize("side", ["client", "server"])
def test_stream_that_is_idle_is_reset(sides: str, side: str) -> None:
    options = pybrpc.StreamOptions(idle_timeout=0.02)
    with with_options_of(side, sides, options) as (pair, mine, other):
        error = mine.wait_closed(WAIT_S)
        assert isinstance(error, StreamResetError)
        assert error.text.endswith("was reset by this side: nothing was received for 0.02 s")
        assert isinstance(other.wait_closed(WAIT_S), StreamResetError)
        wait_until_idle(pair)


@every_pair
def test_stream_that_receives_is_not_idle(sides: str) -> None:
    """Nor is one with messages that nobody has taken yet."""
    options = pybrpc.StreamOptions(idle_timeout=0.1)
    with opened(sides, server_options=options, streams=2) as pair:
        pair.clients[1].send(b"unread", timeout=WAIT_S)
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            pair.client.send(b"x", timeout=WAIT_S)
            pair.server.recv(WAIT_S)
        assert pair.server.state == "open"
        assert pair.servers[1].state == "open"
        assert pair.servers[1].recv(WAIT_S) == b"unread"
        assert isinstance(pair.server.wait_closed(WAIT_S), StreamResetError)


@every_pair
def test_wait_closed_may_take_too_long(sides: str) -> None:
    with opened(sides) as pair:
        with pytest.raises(StreamTimeoutError, match=r"waiting for the end of the stream .* took"):
            pair.client.wait_closed(timeout=0.01)
        assert not pair.client.inner._core._ended_waits
