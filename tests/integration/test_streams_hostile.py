"""Clients that break the rules of streams: only what is theirs ends, and memory is bounded."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from contextlib import suppress
from socket import SHUT_WR
from typing import Any

import pytest

from fuzz.references.frames import header
from pybrpc.errors import (
    ErrorCode,
    LimitReachedError,
    RpcError,
    StreamClosedError,
    StreamResetError,
    StreamTimeoutError,
)
from pybrpc.protocols.baidu_std.meta_encoder import encode_request_meta
from pybrpc.protocols.protocol import DEFAULT_MAX_BODY_SIZE
from pybrpc.protocols.streaming.stream_frame import (
    DATA,
    FEEDBACK,
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
from tests.peers.raw_streams import RemoteStream
from tests.peers.stream_lines import (
    OWN_ID,
    UNKNOWN,
    check_goes_on,
    lined,
    request_for,
)

STORMS: dict[str, Callable[[int], bytes]] = {
    "RST": lambda number: pack_rst(number),
    "CLOSE to one": lambda number: pack_close(UNKNOWN, OWN_ID),
    "CLOSE to many": lambda number: pack_close(number, OWN_ID),
    "CLOSE from many": lambda number: pack_close(UNKNOWN, number % 200),
    "DATA": lambda number: bytes(pack_data(data_meta(number, OWN_ID), b"x")),
    "FEEDBACK": lambda number: pack_feedback(number, OWN_ID, 1 << 40),
    "nothing known": lambda number: pack_close(number, OWN_ID).replace(b"\x18\x02", b"\x18\x7f"),
}


@pytest.mark.parametrize("name", STORMS)
def test_storm_of_frames_is_silent(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with lined() as line, caplog.at_level(logging.INFO):
        remote, stream = line.open()
        caplog.clear()
        line.client.send(*(STORMS[name](number) for number in range(5000)))
        text, frames = line.client.echo("alive")
        assert text == "alive"
        assert {frame.frame_type for frame in frames} <= {RST}
        ids = [frame.stream_id for frame in frames]
        if name == "CLOSE from many":
            assert sorted(ids) == list(range(200))
        else:
            assert ids in ([], [OWN_ID])
        check_goes_on(remote, stream)
        assert caplog.records == []
        stream.reset()


def test_rst_and_close_storm_on_streams_that_end(caplog: pytest.LogCaptureFixture) -> None:
    with lined() as line, caplog.at_level(logging.INFO):
        for _ in range(20):
            remote, stream = line.open()
            line.client.send(remote.data(b"1"), *[remote.close(), remote.rst()] * 50)
            assert stream.recv(timeout=WAIT_S) == b"1"
            with pytest.raises(StreamClosedError):
                stream.recv(timeout=WAIT_S)
        text, _ = line.client.echo("alive")
        assert text == "alive"
        assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_first_bytes_of_a_connection_are_of_a_stream() -> None:
    """No request has opened one. Whether the connection lives on is not said here."""
    with lined() as line, line.connect() as other:
        line.client.send(pack_close(UNKNOWN, OWN_ID), pack_rst(UNKNOWN))
        line.client.sock.shutdown(SHUT_WR)
        frames = line.client.read_until_closed()
        assert [(frame.frame_type, frame.stream_id) for frame in frames] in ([], [(RST, OWN_ID)])
        line.client.sock.close()
        assert other.echo("alive")[0] == "alive"
        wait_until(lambda: line.server.statistics().connections == 1)


class NeverGood:
    """Nobody is let in."""

    def generate_credential(self) -> bytes:
        return b""

    def verify_credential(self, credential: bytes, client: Any) -> Any:
        raise AssertionError("a frame of a stream has no credential")


def test_frame_before_authentication_closes() -> None:
    with lined(auth=NeverGood()) as line:
        line.client.send(pack_close(UNKNOWN, OWN_ID))
        assert line.client.read_until_closed() == []
        line.client.sock.close()
        line.wait_gone()


def test_intruder_reaches_no_stream_of_another_connection() -> None:
    with lined(StreamOptions(max_buf_size=4, min_buf_size=0)) as line, line.connect() as intruder:
        remote, stream = line.open()
        stream.send(b"1234")
        intruder.echo("so that its connection is one of streams, too")
        other = RemoteStream(intruder, OWN_ID, remote.their_id)
        intruder.send(other.data(b"intruder"), other.feedback(4), other.close(), other.rst())
        text, frames = intruder.echo("alive")
        assert text == "alive"
        assert [frame.frame_type for frame in frames] == [RST]
        assert not stream.is_writable()
        assert stream.unread_bytes == 0
        assert line.client.read_of(DATA).data == b"1234"
        line.client.send(remote.feedback(4))
        check_goes_on(remote, stream)
        stream.reset()


@pytest.mark.parametrize("consumed", [-1, -(1 << 63), 1 << 62, (1 << 63) - 1, 0])
@pytest.mark.parametrize("window", [0, -1, 1 << 20])
def test_feedback_that_lies(consumed: int, window: int) -> None:
    with lined(StreamOptions(max_buf_size=window, min_buf_size=0)) as line:
        remote, stream = line.open()
        line.client.send(remote.feedback(consumed))
        stream.send(b"first")
        line.client.read_of(DATA)
        line.client.send(remote.feedback(consumed), remote.feedback(1), remote.feedback(consumed))
        line.client.echo("all before was handled")
        assert 0 <= stream.unconsumed_bytes <= 5
        check_goes_on(remote, stream)
        stream.reset()


def test_more_streams_than_a_request_may_ask_for() -> None:
    with lined() as line:
        line.client.ask(*range(65))
        answer = line.client.read_answer()
        assert answer.error_code == ErrorCode.EREQUEST
        assert "65 streams, more than 64" in answer.error_text
        assert answer.stream_settings is None
        assert len(line.client.open(*range(64))) == 64


def test_a_hundred_thousand_extra_ids() -> None:
    with lined() as line:
        line.client.ask(*range(100_000))
        assert line.client.read_answer().error_code == ErrorCode.EREQUEST
        assert line.client.echo("alive")[0] == "alive"


def test_a_million_extra_ids_close_the_connection() -> None:
    """Their meta is longer than any may be."""
    with lined() as line:
        with suppress(ConnectionError):
            meta = encode_request_meta(request_for(*range(1_000_000)), 0)
            line.client.send(header(meta, b""))
        assert line.client.read_until_closed() == []
        with line.connect() as another:
            assert another.echo("alive")[0] == "alive"


def test_two_streams_with_one_id() -> None:
    with lined() as line:
        line.client.ask(3, 4, 3)
        answer = line.client.read_answer()
        assert answer.error_code == ErrorCode.EREQUEST
        assert "two streams with one id" in answer.error_text


def test_one_id_in_two_requests_makes_two_streams() -> None:
    with lined() as line:
        first, second = line.open(), line.open()
        assert first[0].their_id != second[0].their_id
        for remote, stream in (first, second):
            check_goes_on(remote, stream)
            stream.reset()


def test_more_streams_than_a_connection_may_have() -> None:
    with lined() as line:
        for _ in range(16):
            line.client.open(*range(64))
        line.client.ask(1)
        answer = line.client.read_answer()
        assert answer.error_code == LimitReachedError("").code
        assert "1024 streams" in answer.error_text
        with line.connect() as another:
            another.open(1)


@pytest.mark.parametrize("own_id", [0, -1, -(1 << 63), (1 << 63) - 1])
def test_strange_ids(own_id: int) -> None:
    with lined() as line:
        (remote,) = line.client.open(own_id)
        stream = line.handler.take()
        line.client.send(remote.data(b"message"))
        assert stream.recv(timeout=WAIT_S) == b"message"
        stream.send(b"back")
        assert line.client.read_of(DATA).stream_id == own_id
        stream.close()


def strm(
    meta: bytes, data: bytes = b"", body_size: int | None = None, meta_size: int = -1
) -> bytes:
    body = len(meta) + len(data) if body_size is None else body_size
    size = len(meta) if meta_size < 0 else meta_size
    return struct.pack(">4sII", b"STRM", body, size) + meta + data


BROKEN = {
    "meta_size over body_size": strm(b"\x08\x01", meta_size=3),
    "meta over 256 bytes": strm(b"\x08\x01" + b"\x7a\x7f" + bytes(127) + b"\x7a\x7f" + bytes(127)),
    "body over the limit": strm(b"\x08\x01", body_size=DEFAULT_MAX_BODY_SIZE + 1),
    "body of 4 GiB": strm(b"\x08\x01", body_size=0xFFFFFFFF),
    "no id": strm(b"\x18\x03"),
    "no meta": strm(b""),
    "field that is cut off": strm(b"\x08"),
    "number without end": strm(b"\x08" + b"\xff" * 11),
    "feedback that is cut off": strm(b"\x08\x01\x18\x04\x2a\x05\x08"),
    "feedback that is none": strm(b"\x08\x01\x18\x04\x2a\x02\x0a\x00"),
    "wire type 3": strm(b"\x08\x01\x13"),
    "field 0": strm(b"\x08\x01\x00\x01"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_frame_closes_the_connection_and_fails_its_streams(name: str) -> None:
    with lined() as line, line.connect() as other:
        remote, stream = line.open()
        kept = other.open(OWN_ID)[0], line.handler.take()
        line.client.send(remote.data(b"before"), BROKEN[name])
        assert stream.recv(timeout=WAIT_S) == b"before"
        with pytest.raises(RpcError) as caught:
            stream.recv(timeout=WAIT_S)
        assert not isinstance(caught.value, StreamClosedError | StreamTimeoutError)
        # An RST, if the bytes came before the server had noted that its answer was sent.
        assert {frame.frame_type for frame in line.client.read_until_closed()} <= {FEEDBACK, RST}
        line.client.sock.close()
        check_goes_on(*kept)
        kept[1].close()
        wait_until(lambda: line.server.statistics().connections == 1)


def test_messages_that_nobody_takes_hold_no_connection_whose_peer_has_broken_the_rules() -> None:
    with lined() as line:
        remote, _stream = line.open()
        line.client.send(remote.data(b"nobody takes it"), b"garbage garbage")
        line.client.read_until_closed()
        line.client.sock.close()
        line.wait_gone()


def test_meta_with_fields_of_a_later_version() -> None:
    with lined() as line:
        remote, stream = line.open()
        meta = data_meta(remote.their_id, OWN_ID)
        more = b"\x30\x01" + b"\x3a\x02hi" + b"\x41" + bytes(8) + b"\x4d" + bytes(4)
        line.client.send(strm(meta + more, b"message"))
        assert stream.recv(timeout=WAIT_S) == b"message"
        stream.close()


def test_message_that_goes_on_for_ever_resets_its_stream_alone() -> None:
    with lined(StreamOptions(max_message_size=100_000)) as line:
        kept = line.open()
        remote, stream = line.open()
        part = remote.data(bytes(1000), goes_on=True)
        for _ in range(120):
            line.client.send(part)
        assert line.client.read_of(RST).stream_id == OWN_ID
        assert isinstance(stream.wait_closed(WAIT_S), StreamResetError)
        assert "max_message_size" in str(stream.failure)
        check_goes_on(*kept)
        kept[1].close()


@pytest.mark.parametrize(("size", "goes_on"), [(0, False), (0, True), (1000, False), (1000, True)])
def test_flood_that_nobody_reads_resets_its_stream_alone(size: int, goes_on: bool) -> None:
    with lined(StreamOptions(max_unread_bytes=100_000)) as line:
        kept = line.open()
        remote, stream = line.open()
        message = remote.data(bytes(size), goes_on=goes_on)
        line.client.send(message * (100_000 // (size + 64) + 1))
        assert line.client.read_of(RST).stream_id == OWN_ID
        assert "max_unread_bytes" in str(stream.failure)
        assert stream.unread_bytes == 0
        line.client.send(message * 1000)  # more of it changes nothing
        assert {frame.frame_type for frame in line.client.echo("alive")[1]} <= {RST}
        assert default_runtime().stream_budget.held_bytes == 0
        check_goes_on(*kept)
        kept[1].close()


def test_budget_of_the_process_resets_the_stream_that_holds_most() -> None:
    with lined() as line, line.connect() as other:
        default_runtime().max_unread_bytes = 100_000
        small, small_stream = line.open()
        (large,) = other.open(OWN_ID)
        large_stream = line.handler.take()
        other.send(large.data(bytes(60_000)))
        wait_until(lambda: large_stream.unread_bytes > 60_000)
        line.client.send(small.data(bytes(50_000)))
        assert other.read_of(RST).stream_id == OWN_ID
        assert "100000 bytes unread" in str(large_stream.failure)
        assert small_stream.recv(timeout=WAIT_S) == bytes(50_000)
        assert other.echo("alive")[0] == "alive"
        check_goes_on(small, small_stream)
        small_stream.close()
