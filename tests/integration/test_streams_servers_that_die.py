"""Servers of streams that die at every stage."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.errors import (
    ErrorCode,
    RpcError,
    RpcTimeoutError,
    StreamClosedError,
    StreamResetError,
    StreamTimeoutError,
)
from pybrpc.protocols.streaming.stream_frame import (
    CLOSE,
    FEEDBACK,
    RST,
)
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.transport.runtime import default_runtime
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.echo import echo_request
from tests.peers.raw_streams import FrameEnd, RemoteStream, answer_of, in_first_frame
from tests.peers.scripted_server import Peer
from tests.peers.stream_scripts import (
    OWN_ID,
    calling,
    opened,
)


def waits(stream: Any) -> dict[str, Callable[[], Any]]:
    """All ways to wait on a stream whose window is used up."""
    return {
        "recv": lambda: stream.recv(WAIT_S),
        "batches": lambda: list(stream.batches(5, WAIT_S)),
        "iteration": lambda: list(stream),
        "send": lambda: stream.send(b"x", WAIT_S),
        "send_many": lambda: stream.send_many([b"x", b"y"], WAIT_S),
        "drain": lambda: stream.drain(WAIT_S),
        "wait_consumed": lambda: stream.wait_consumed(WAIT_S),
    }


DEATHS: dict[str, Callable[[RemoteStream, Peer], object]] = {
    "FIN": lambda remote, peer: None,
    "reset": lambda remote, peer: peer.reset(),
    "half a frame": lambda remote, peer: peer.send(remote.data(b"message")[:-1]),
    "garbage": lambda remote, peer: (peer.send(b"garbage garbage"), peer.wait_closed()),
    "RST": lambda remote, peer: (peer.send(remote.rst()), peer.wait_closed()),
}


@pytest.mark.parametrize("death", DEATHS)
def test_every_waiter_hears_of_the_end(death: str) -> None:
    die = threading.Event()

    def script(remote: RemoteStream, peer: Peer) -> None:
        assert die.wait(WAIT_S)
        DEATHS[death](remote, peer)

    with opened(script, StreamOptions(max_buf_size=4, min_buf_size=0)) as (stream, _):
        stream.send(b"full")
        outcomes: dict[str, Any] = {}

        def wait(name: str, function: Callable[[], Any]) -> None:
            try:
                outcomes[name] = function()
            except BaseException as error:
                outcomes[name] = error

        functions = {**waits(stream), "wait_closed": lambda: stream.wait_closed(WAIT_S)}
        threads = [threading.Thread(target=wait, args=each) for each in functions.items()]
        for thread in threads:
            thread.start()
        core = stream._core
        wait_until(
            lambda: (
                len(core._received_waits) == 3
                and len(core.outgoing) == 3
                and len(core.consumed_waits) == 1
                and len(core._ended_waits) == 1
            )
        )
        die.set()
        for thread in threads:
            thread.join(WAIT_S)
        assert set(outcomes) == set(functions)
        for name, outcome in outcomes.items():
            assert isinstance(outcome, RpcError), (name, outcome)
            assert not isinstance(outcome, StreamClosedError | StreamTimeoutError), (name, outcome)
            assert isinstance(outcome, StreamResetError) == (death == "RST")


@pytest.mark.parametrize("death", ["FIN", "reset", "half an answer"])
def test_server_that_dies_before_it_answers(death: str) -> None:
    def script(peer: Peer) -> None:
        asked = peer.expect_request()
        if death == "half an answer":
            peer.send(in_first_frame(asked, answer_of(asked, OWN_ID), OWN_ID)[:-1])
        elif death == "reset":
            peer.reset()

    with calling(script) as stub:
        with pytest.raises(RpcError) as caught:
            stub.Echo.stream(echo_request()).open()
        assert not isinstance(caught.value, RpcTimeoutError)
        assert default_runtime().stream_budget._holders == {}


def close_in_vain(stream: Any) -> None:
    with contextlib.suppress(RpcError):
        stream.close()


def send_in_vain(stream: Any) -> None:
    with pytest.raises(RpcError):
        stream.send(b"x")


def test_close_ends_when_the_server_is_gone() -> None:
    die = threading.Event()

    def script(remote: RemoteStream, peer: Peer) -> None:
        assert die.wait(WAIT_S)

    with opened(script, StreamOptions(max_buf_size=4, min_buf_size=0)) as (stream, _):
        stream.send(b"full")
        sender = threading.Thread(target=send_in_vain, args=(stream,))
        sender.start()
        wait_until(lambda: len(stream._core.outgoing) == 1)
        closer = threading.Thread(target=close_in_vain, args=(stream,))
        closer.start()
        wait_until(lambda: stream._core.is_closing)
        die.set()
        sender.join(WAIT_S)
        closer.join(WAIT_S)
        assert not closer.is_alive()


def test_late_answers_are_reset_one_by_one() -> None:
    kinds: list[tuple[int, int]] = []
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        end = FrameEnd(peer.sock)
        asked = [peer.expect_request() for _ in range(3)]
        assert go_on.wait(WAIT_S)
        for index, each in enumerate(asked):
            peer.send(in_first_frame(each, answer_of(each, 10 * index, 10 * index + 1), 10 * index))
        for _ in range(6):
            frame = end.read_of(RST, CLOSE, FEEDBACK)
            kinds.append((frame.frame_type, frame.stream_id))
        end.echo_until_closed()

    with calling(script) as stub:
        for _ in range(3):
            with pytest.raises(RpcTimeoutError):
                stub.Echo.stream(echo_request(), streams=2, timeout=0.01).open()
        go_on.set()
        wait_until(lambda: len(kinds) == 6)
        assert kinds == [(RST, each) for each in (0, 1, 10, 11, 20, 21)]
        assert default_runtime().stream_budget._holders == {}


def test_error_codes_of_the_ends() -> None:
    def script(remote: RemoteStream, peer: Peer) -> None:
        peer.send(remote.rst())
        peer.wait_closed()

    with opened(script) as (stream, _):
        error = stream.wait_closed(WAIT_S)
        assert error is not None
        assert (error.code, error.is_remote) == (ErrorCode.ECONNRESET, True)
        assert error.peer == stream.peer
