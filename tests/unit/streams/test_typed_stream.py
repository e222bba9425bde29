"""Typed streams: messages of one class."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pybrpc.errors import BadRequestError, BadResponseError
from pybrpc.streams.aio_stream import AioStream
from pybrpc.streams.stream import Stream
from tests.fakes.streams import StreamSide
from tests.protos import conformance_pb2 as pb

HELLO = pb.EchoRequest(message="hello")


def test_messages_come_and_go(side: StreamSide) -> None:
    stream = Stream(side.open())
    typed = stream.of(pb.EchoRequest)
    typed.send(HELLO)
    typed.send_many([HELLO, HELLO])
    data = side.sent_data()
    assert data == [HELLO.SerializeToString()] * 3
    side.data(stream._core, *data)
    side.close_by_peer(stream._core)
    assert typed.recv() == HELLO
    assert list(typed) == [HELLO, HELLO]
    assert repr(typed).startswith("<TypedStream of EchoRequest: <Stream ")


def test_what_does_not_parse_ends_nothing(side: StreamSide) -> None:
    stream = Stream(side.open())
    typed = stream.of(pb.EchoRequest)
    side.data(stream._core, b"\xff", HELLO.SerializeToString())
    with pytest.raises(BadResponseError, match="Fail to parse a EchoRequest of 1 bytes"):
        typed.recv()
    assert typed.recv() == HELLO
    stream.reset()


@pytest.mark.parametrize("bad", [b"bytes", None, pb.EchoResponse()])
def test_message_of_another_class(side: StreamSide, bad: Any) -> None:
    stream = Stream(side.open())
    with pytest.raises(BadRequestError, match="is a EchoRequest"):
        stream.of(pb.EchoRequest).send(bad)
    stream.reset()


@pytest.mark.parametrize("bad", [bytes, HELLO, None, "EchoRequest"])
def test_what_is_no_class_of_messages(side: StreamSide, bad: Any) -> None:
    stream = Stream(side.open())
    with pytest.raises(TypeError, match="class of protobuf messages"):
        stream.of(bad)
    stream.reset()


def test_for_asyncio(side: StreamSide) -> None:
    async def main() -> None:
        stream = AioStream(side.open())
        typed = stream.of(pb.EchoRequest)
        await typed.send(HELLO)
        await typed.send_many([HELLO, HELLO])
        side.data(stream._core, *side.sent_data())
        side.close_by_peer(stream._core)
        assert await typed.recv() == HELLO
        assert [message async for message in typed] == [HELLO, HELLO]
        assert repr(typed).startswith("<AioTypedStream of EchoRequest: <AioStream ")

    asyncio.run(main())
