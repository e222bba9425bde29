"""Servers that break the rules of streams: calls and streams of the client end with typed errors,
other ones go on, and memory is bounded."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from socket import SO_RCVBUF, SOL_SOCKET
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    BadResponseError,
    ProtocolError,
    RpcError,
    RpcTimeoutError,
    StreamClosedError,
    StreamResetError,
    StreamTimeoutError,
)
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from pybrpc.protocols.streaming.stream_frame import (
    DATA,
    RST,
    data_meta,
    pack_close,
    pack_data,
    pack_feedback,
    pack_rst,
)
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.transport.runtime import default_runtime
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.echo import echo_frame, echo_request
from tests.peers.raw_peer import request
from tests.peers.raw_streams import FrameEnd, RemoteStream, answer_of, in_first_frame
from tests.peers.scripted_server import Peer
from tests.peers.stream_scripts import (
    NO_ANSWER_S,
    OWN_ID,
    UNKNOWN,
    calling,
    opened,
)


def request_in_place_of(asked: RpcRequest) -> bytes:
    return bytes(BAIDU_STD.pack_request(request(asked.correlation_id)))


ANSWERS: dict[str, tuple[Callable[[RpcRequest], bytes], type[RpcError], str]] = {
    "no PRPC": (
        lambda asked: in_first_frame(asked, b"garbage, and not a little of it"),
        ProtocolError,
        "no answer in the first frame",
    ),
    "nothing": (lambda asked: in_first_frame(asked, b""), ProtocolError, "no answer"),
    "half an answer": (
        lambda asked: in_first_frame(asked, answer_of(asked, OWN_ID)[:-1]),
        ProtocolError,
        "no answer",
    ),
    "a request": (
        lambda asked: in_first_frame(asked, request_in_place_of(asked)),
        ProtocolError,
        "no answer",
    ),
    "a stream frame": (
        lambda asked: in_first_frame(asked, pack_close(1, 2)),
        ProtocolError,
        "no answer",
    ),
    "fewer streams": (
        lambda asked: in_first_frame(asked, answer_of(asked, OWN_ID), OWN_ID),
        RpcError,
        "accepted 1 streams instead of 2",
    ),
    "more streams": (
        lambda asked: in_first_frame(asked, answer_of(asked, 5, 6, 7), OWN_ID),
        RpcError,
        "accepted 3 streams instead of 2",
    ),
    "far more streams": (
        lambda asked: in_first_frame(asked, answer_of(asked, *range(100_000)), OWN_ID),
        RpcError,
        "accepted 100000 streams instead of 2",
    ),
    "no settings": (
        lambda asked: in_first_frame(asked, answer_of(asked)),
        RpcError,
        "didn't accept",
    ),
    "an error": (
        lambda asked: in_first_frame(asked, answer_of(asked, error_code=77, error_text="no way")),
        RpcError,
        "no way",
    ),
    "an error with settings": (
        lambda asked: in_first_frame(
            asked, answer_of(asked, 5, 6, error_code=77, error_text="no way"), OWN_ID
        ),
        RpcError,
        "no way",
    ),
    "not in a frame": (lambda asked: answer_of(asked, 5, 6), BadResponseError, "didn't accept"),
    "a plain echo": (echo_frame, BadResponseError, "didn't accept"),
    "RST": (
        lambda asked: pack_rst(asked.stream_settings.stream_id),  # type: ignore[union-attr]
        RpcError,
        "reset by the server before it answered",
    ),
    "RST of the second": (
        lambda asked: pack_rst(asked.stream_settings.extra_stream_ids[0]),  # type: ignore[union-attr]
        RpcError,
        "reset by the server before it answered",
    ),
    "data for the second": (
        lambda asked: bytes(
            pack_data(data_meta(asked.stream_settings.extra_stream_ids[0], 6), b"early")  # type: ignore[union-attr]
        ),
        ProtocolError,
        "no answer",
    ),
    "broken frame": (
        lambda asked: b"STRM" + b"\xff" * 8,
        ProtocolError,
        "bigger than|exceeds|larger than",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answer_that_opens_no_stream(name: str) -> None:
    make, kind, words = ANSWERS[name]

    def script(peer: Peer) -> None:
        peer.send(make(peer.expect_request()))
        peer.wait_closed()

    with calling(script) as stub:
        with pytest.raises(RpcError, match=words) as caught:
            stub.Echo.stream(echo_request(), streams=2).open()
        assert isinstance(caught.value, kind)
        assert not isinstance(caught.value, RpcTimeoutError)
        assert default_runtime().stream_budget._holders == {}


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("fewer streams", {OWN_ID}),
        ("more streams", {5, 6, 7}),
        ("an error with settings", {5, 6}),
    ],
)
def test_streams_that_the_server_has_are_reset(name: str, ids: set[int]) -> None:
    make = ANSWERS[name][0]
    frames: list[Any] = []

    def script(peer: Peer) -> None:
        end = FrameEnd(peer.sock)
        asked = peer.expect_request()
        peer.send(make(asked))
        frames.extend(end.read() for _ in ids)
        end.echo_until_closed()

    with calling(script) as stub:
        with pytest.raises(RpcError):
            stub.Echo.stream(echo_request(), streams=2).open()
        wait_until(lambda: len(frames) == len(ids))
    assert {frame.stream_id for frame in frames if frame.frame_type == RST} == ids


IGNORED: dict[str, Callable[[int], bytes]] = {
    "CLOSE": lambda number: pack_close(number, OWN_ID),
    "FEEDBACK": lambda number: pack_feedback(number, OWN_ID, 1 << 40),
    "nothing known": lambda number: pack_close(number, OWN_ID).replace(b"\x18\x02", b"\x18\x7f"),
    "DATA for nobody": lambda number: bytes(pack_data(data_meta(UNKNOWN, OWN_ID), b"x")),
}


@pytest.mark.parametrize("name", IGNORED)
def test_frames_before_the_answer_that_say_nothing(name: str) -> None:
    def script(peer: Peer) -> None:
        asked = peer.expect_request()
        assert asked.stream_settings is not None
        peer.send(IGNORED[name](asked.stream_settings.stream_id) * 100)
        peer.send(in_first_frame(asked, answer_of(asked, OWN_ID), OWN_ID))
        (remote,) = [RemoteStream(FrameEnd(peer.sock), OWN_ID, asked.stream_settings.stream_id)]
        assert remote.end.read_of(DATA).data == b"hello"
        peer.send(remote.data(b"back"))
        peer.wait_closed()

    with calling(script) as stub, stub.Echo.stream(echo_request()) as call:
        call.stream.send(b"hello")
        assert call.stream.recv(timeout=WAIT_S) == b"back"


def test_answer_with_a_wrong_correlation_id_answers_nobody() -> None:
    def script(peer: Peer) -> None:
        asked = peer.expect_request()
        number = asked.correlation_id + 1000
        peer.send(in_first_frame(asked, answer_of(asked, OWN_ID, correlation_id=number), OWN_ID))
        end = FrameEnd(peer.sock)
        assert end.read_of(RST).stream_id == OWN_ID
        end.echo_until_closed()

    with calling(script) as stub:
        with pytest.raises(RpcTimeoutError):
            stub.Echo.stream(echo_request(), timeout=NO_ANSWER_S).open()
        assert stub.Echo(echo_request("alive")).message == "alive"


def test_second_answer_is_a_message() -> None:
    def script(peer: Peer) -> None:
        asked = peer.expect_request()
        answer = in_first_frame(asked, answer_of(asked, OWN_ID), OWN_ID)
        peer.send(answer + answer)
        peer.wait_closed()

    with calling(script) as stub, stub.Echo.stream(echo_request()) as call:
        assert call.stream.recv(timeout=WAIT_S).startswith(b"PRPC")


def test_answer_and_end_in_one_read() -> None:
    def script(peer: Peer) -> None:
        asked = peer.expect_request()
        settings = asked.stream_settings
        assert settings is not None
        remote = RemoteStream(FrameEnd(peer.sock), OWN_ID, settings.stream_id)
        answer = in_first_frame(asked, answer_of(asked, OWN_ID), OWN_ID)
        peer.send(answer + remote.data(b"1") + remote.close() + remote.rst() + remote.data(b"2"))
        peer.wait_closed()

    with calling(script) as stub, stub.Echo.stream(echo_request()) as call:
        assert list(call.stream) == [b"1"]


STORMS: dict[str, Callable[[int], bytes]] = {
    "RST": lambda number: pack_rst(number),
    "CLOSE to many": lambda number: pack_close(number, OWN_ID),
    "CLOSE from many": lambda number: pack_close(UNKNOWN, 1000 + number % 200),
    "DATA": lambda number: bytes(pack_data(data_meta(number, OWN_ID), b"x")),
    "FEEDBACK": lambda number: pack_feedback(number, OWN_ID, 1 << 40),
}


@pytest.mark.parametrize("name", STORMS)
def test_storm_of_frames_is_silent(name: str, caplog: pytest.LogCaptureFixture) -> None:
    answered: list[int] = []

    def script(remote: RemoteStream, peer: Peer) -> None:
        peer.send(b"".join(STORMS[name](number) for number in range(5000)))
        peer.send(remote.data(b"alive"))
        while (frame := remote.end.read()).frame_type != DATA:
            if frame.frame_type == RST:
                answered.append(frame.stream_id)
        peer.wait_closed()

    with opened(script) as (stream, _), caplog.at_level(logging.INFO):
        assert stream.recv(timeout=WAIT_S) == b"alive"
        stream.send(b"go on")
        stream.close()
    assert len(set(answered)) == len(answered) <= 200
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_server_that_storms_and_does_not_read_costs_little_memory() -> None:
    """Its frames would all be answered, each to another id."""
    go_on = threading.Event()

    def script(remote: RemoteStream, peer: Peer) -> None:
        peer.sock.setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)
        for first in range(0, 60_000, 1000):
            peer.send(b"".join(pack_close(UNKNOWN, first + each) for each in range(1000)))
        peer.send(remote.data(b"alive"))
        assert go_on.wait(WAIT_S)

    options = pybrpc.SocketOptions(high_water_bytes=100_000, send_buffer_bytes=65536)
    with opened(script, options=options) as (stream, _):
        assert stream.recv(timeout=WAIT_S) == b"alive"
        backlog = stream._core.table.socket.backlog
        assert backlog.size_bytes <= 110_000
        assert backlog.requests <= 1100
        go_on.set()
        with pytest.raises(RpcError):
            stream.recv(timeout=WAIT_S)


@pytest.mark.parametrize("consumed", [-1, -(1 << 63), (1 << 63) - 1])
def test_feedback_that_lies(consumed: int) -> None:
    def script(remote: RemoteStream, peer: Peer) -> None:
        assert remote.end.read_of(DATA).data == b"1234"
        peer.send(remote.feedback(consumed) + remote.data(b"said"))
        peer.wait_closed()

    with opened(script, StreamOptions(max_buf_size=4, min_buf_size=0)) as (stream, _):
        stream.send(b"1234")
        assert stream.recv(timeout=WAIT_S) == b"said"
        assert stream.is_writable() == (consumed > 0)
        assert stream.unconsumed_bytes == (0 if consumed > 0 else 4)


def test_flood_that_nobody_reads_resets_its_stream_alone() -> None:
    def script(remote: RemoteStream, peer: Peer) -> None:
        peer.send(remote.data(b"") * 3000)
        remote.end.read_of(RST)
        remote.end.echo_until_closed()

    with opened(script, StreamOptions(max_unread_bytes=100_000)) as (stream, stub):
        error = stream.wait_closed(WAIT_S)
        assert isinstance(error, StreamResetError)
        assert "max_unread_bytes" in error.text
        assert stub.Echo(echo_request("alive")).message == "alive"
        with pytest.raises(StreamResetError):
            stream.recv()


def test_request_from_the_server_fails_the_streams() -> None:
    def script(remote: RemoteStream, peer: Peer) -> None:
        peer.send(bytes(BAIDU_STD.pack_request(request(7))))
        peer.wait_closed()

    with opened(script) as (stream, _):
        with pytest.raises(ProtocolError):
            stream.recv(timeout=WAIT_S)


@pytest.mark.parametrize(
    "frame", [b"STRM" + b"\xff" * 8, b"STRM" + bytes(8), b"garbage garbage"], ids=repr
)
def test_broken_frame_fails_the_streams(frame: bytes) -> None:
    def script(remote: RemoteStream, peer: Peer) -> None:
        peer.send(remote.data(b"before") + frame)
        peer.wait_closed()

    with opened(script) as (stream, _):
        assert stream.recv(timeout=WAIT_S) == b"before"
        with pytest.raises(RpcError) as caught:
            stream.recv(timeout=WAIT_S)
        assert not isinstance(caught.value, StreamClosedError | StreamTimeoutError)


def test_server_that_does_not_read() -> None:
    go_on = threading.Event()

    def script(remote: RemoteStream, peer: Peer) -> None:
        assert go_on.wait(WAIT_S)
        peer.wait_closed()

    with opened(script, StreamOptions(max_buf_size=0)) as (stream, _):
        with pytest.raises(StreamTimeoutError) as caught:
            stream.send_many([bytes(100_000)] * 1000, timeout=0.2)
        assert 0 < caught.value.sent < 500
        with pytest.raises(StreamTimeoutError):
            stream.close(timeout=0.01)
        assert isinstance(stream.failure, StreamResetError)
        go_on.set()
