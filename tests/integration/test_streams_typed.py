"""Streams of protobuf messages, several streams of one call, and what a stream says of itself."""

from __future__ import annotations

from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    BadRequestError,
    BadResponseError,
    OvercrowdedError,
    StreamResetError,
)
from tests.fakes.threads import WAIT_S
from tests.peers.streams import every_pair, opened
from tests.protos import conformance_pb2 as pb

SMALL = pybrpc.StreamOptions(max_buf_size=10)
NO_WINDOW = pybrpc.StreamOptions(max_buf_size=0)


# --- typed ---


@every_pair
def test_typed_streams(sides: str) -> None:
    with opened(sides) as pair:
        ours, theirs = pair.client.of(pb.EchoRequest), pair.server.of(pb.EchoRequest)
        ours.send(pb.EchoRequest(message="one"), timeout=WAIT_S)
        ours.send_many([pb.EchoRequest(message="two"), pb.EchoRequest(message="three")])
        assert theirs.recv(WAIT_S).message == "one"
        assert theirs.recv(WAIT_S).message == "two"
        ours.send_nowait(pb.EchoRequest(message="four"))
        with pytest.raises(BadRequestError, match="is a EchoRequest"):
            ours.send_nowait(b"bytes")
        pair.client.close(WAIT_S)
        assert [message.message for message in theirs] == ["three", "four"]


@every_pair
def test_typed_batches_are_lists_of_messages(sides: str) -> None:
    with opened(sides) as pair:
        ours, theirs = pair.client.of(pb.EchoRequest), pair.server.of(pb.EchoRequest)
        texts = [str(number) for number in range(10)]
        ours.send_many([pb.EchoRequest(message=text) for text in texts])
        pair.client.close(WAIT_S)
        batches = list(theirs.batches(4, WAIT_S))
        assert [message.message for batch in batches for message in batch] == texts
        assert max(map(len, batches)) <= 4


@every_pair
def test_typed_send_nowait_never_waits(sides: str) -> None:
    with opened(sides, SMALL) as pair:
        ours = pair.client.of(pb.EchoRequest)
        ours.send_nowait(pb.EchoRequest(message="x" * 10))
        with pytest.raises(OvercrowdedError):
            ours.send_nowait(pb.EchoRequest(message="x"))


@every_pair
def test_typed_stream_goes_on_after_a_message_that_does_not_parse(sides: str) -> None:
    with opened(sides) as pair:
        theirs = pair.server.of(pb.EchoRequest)
        pair.client.send(b"\xff\xff", timeout=WAIT_S)
        pair.client.of(pb.EchoRequest).send(pb.EchoRequest(message="next"), timeout=WAIT_S)
        with pytest.raises(BadResponseError, match="Fail to parse a EchoRequest of 2 bytes"):
            theirs.recv(WAIT_S)
        assert theirs.recv(WAIT_S).message == "next"


@every_pair
def test_typed_stream_refuses_other_messages(sides: str) -> None:
    with opened(sides) as pair:
        ours = pair.client.of(pb.EchoRequest)
        for wrong in (pb.EchoResponse(message="x"), b"bytes", None):
            with pytest.raises(BadRequestError, match="a message of this stream is a EchoRequest"):
                ours.send(wrong)
        with pytest.raises(BadRequestError, match="Fail to serialize"):
            ours.send(pb.EchoRequest())
        for no_class in (pb.EchoRequest(message="x"), bytes, None):
            with pytest.raises(TypeError, match=r"of\(\) takes a class of protobuf messages"):
                pair.client.of(no_class)


# --- several streams ---


@every_pair
def test_streams_of_one_call_are_independent(sides: str) -> None:
    with opened(sides, SMALL, streams=64) as pair:
        assert len(pair.clients) == len(pair.servers) == 64
        pair.client.send(b"x" * 10, timeout=WAIT_S)
        for k in range(1, 64):
            pair.clients[k].send(b"%d" % k, timeout=WAIT_S)
        assert [each.recv(WAIT_S) for each in pair.servers[1:]] == [b"%d" % k for k in range(1, 64)]
        pair.clients[5].reset()
        pair.servers[6].close(WAIT_S)
        assert isinstance(pair.servers[5].wait_closed(WAIT_S), StreamResetError)
        assert pair.clients[6].wait_closed(WAIT_S) is None
        assert len({stream.id for stream in pair.clients}) == 64
        assert pair.server.recv(WAIT_S) == b"x" * 10


@every_pair
@pytest.mark.parametrize("count", [0, 65, -1, True, "2"])
def test_wrong_counts_of_streams_are_refused(sides: str, count: Any) -> None:
    with opened(sides) as pair, pytest.raises(ValueError, match="streams must be a whole number"):
        pair.of_client.stream(streams=count)


@every_pair
def test_what_a_stream_tells_of_itself(sides: str) -> None:
    with opened(sides) as pair:
        stream = pair.client.inner
        assert (stream.state, stream.is_closed, stream.failure) == ("open", False, None)
        assert stream.peer == str(pair.running.endpoint)
        kind = type(stream).__name__
        assert repr(stream) == (f"<{kind} {stream.id} with {stream.peer}, open, 0 messages unread>")
        pair.server.close(WAIT_S)
        pair.client.wait_closed(WAIT_S)
        assert (stream.state, stream.is_closed, stream.failure) == (
            "closed by the peer",
            True,
            None,
        )
        assert pair.server.state == "closed"
        assert ", 1 stream>" in repr(pair.call.inner)
