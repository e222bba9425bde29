"""Methods that are called with bytes: each form of calling, over a real connection."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import BadRequestError
from pybrpc.redis import RedisChannel
from pybrpc.rpc.controller import Controller
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import ScriptedServer
from tests.protos import conformance_pb2 as pb

WAIT_S = 30.0
BODY = echo_request("hello").SerializeToString()
ANSWER = pb.EchoResponse(message="hello").SerializeToString()


@pytest.fixture
def method() -> Iterator[Any]:
    with ScriptedServer() as server:
        with pybrpc.Channel(server.address, timeout=WAIT_S) as channel:
            yield channel.raw_method(ECHO.full_name, "Echo")


def test_blocking_call_returns_the_bytes_and_fills_the_controller(method: Any) -> None:
    controller = Controller(log_id=7)
    assert method(BODY, controller=controller) == ANSWER
    assert controller.method_name == "conformance.EchoService.Echo"


def test_future_returns_the_bytes(method: Any) -> None:
    assert method.future(BODY, timeout=None).result(WAIT_S) == ANSWER


def test_callback_gets_the_bytes_or_the_error(method: Any) -> None:
    ends: queue.SimpleQueue[Any] = queue.SimpleQueue()
    method.with_callback(BODY, lambda *end: ends.put(end))
    assert ends.get(timeout=WAIT_S) == (ANSWER, None)
    method.with_callback(BODY, lambda *end: ends.put(end), timeout=0)
    body, error = ends.get(timeout=WAIT_S)
    assert (body, error.name) == (None, "ERPCTIMEDOUT")


def test_call_with_something_else_than_bytes_is_refused(method: Any) -> None:
    with pytest.raises(BadRequestError, match="request must be bytes"):
        method("text")


def test_repr_names_the_method_and_the_channel(method: Any) -> None:
    assert "conformance.EchoService.Echo on <Channel to " in repr(method)


def test_call_of_an_asyncio_channel_is_awaited() -> None:
    async def main(address: str) -> None:
        async with pybrpc.aio.Channel(address, timeout=WAIT_S) as channel:
            method = channel.raw_method(ECHO.full_name, "Echo")
            assert await method(pybrpc.IOBuf(BODY), controller=Controller()) == ANSWER
            assert "conformance.EchoService.Echo on <AioChannel to " in repr(method)

    with ScriptedServer() as server:
        asyncio.run(main(server.address))


def test_channel_to_redis_has_no_such_methods() -> None:
    with RedisChannel("127.0.0.1:1") as channel, pytest.raises(TypeError, match="speaks Redis"):
        channel.raw_method("S", "M")
