"""Services that a server serves in part: some methods are missing, some stream."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import NoMethodError, StreamingMethodError
from tests.peers.echo import ECHO, echo_request
from tests.peers.streaming import MIXED, Text
from tests.protos import conformance_pb2 as pb


class OnlyEcho:
    def Echo(self, request: Any, controller: Any) -> Any:
        return pb.EchoResponse(message=request.message)


class Mixed:
    async def Echo(self, request: Any, controller: Any) -> Any:
        return Text(text=request.text)

    async def Watch(self, request: Any, controller: Any) -> Any:
        yield request


def lines_about(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if "does not serve" in line]


def test_partial_service_answers_enomethod_and_is_logged_at_each_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = pybrpc.Server()
    server.add_service(ECHO, OnlyEcho(), partial=True)
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.INFO, "pybrpc"), server:
            address = server.start("127.0.0.1:0")
            with pybrpc.Channel(address, timeout=30) as channel:
                stub = pybrpc.Stub(ECHO, channel)
                assert stub.Echo(echo_request("hello")).message == "hello"
                with pytest.raises(NoMethodError, match="Stream: it is not implemented"):
                    stub.Stream(echo_request("hello"))
        (line,) = lines_about(caplog)
        served = f"The server on {address} does not serve conformance.EchoService.Stream"
        assert line == f"{served} (it is not implemented)"


def test_unary_methods_of_a_service_that_streams_too_are_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "pybrpc"), pybrpc.Server() as server:
        server.add_service(MIXED, Mixed())
        with pybrpc.Channel(server.start("127.0.0.1:0"), timeout=30) as channel:
            stub = pybrpc.Stub(MIXED, channel)
            assert stub.Echo(Text(text="hello")).text == "hello"
            with pytest.raises(StreamingMethodError):
                stub.Watch(Text())
    (line,) = lines_about(caplog)
    for name in ("Watch", "Upload", "Chat"):
        assert f"streaming.Mixed.{name} (it streams, which is not served yet)" in line


def test_whole_service_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Both(OnlyEcho):
        Stream = OnlyEcho.Echo

    with caplog.at_level(logging.DEBUG, "pybrpc"), pybrpc.Server() as server:
        server.add_service(ECHO, Both())
        server.start("127.0.0.1:0")
    assert lines_about(caplog) == []


def test_partial_is_a_flag() -> None:
    partial: Any = "yes"
    with pytest.raises(TypeError, match="partial must be True or False, not 'yes'"):
        pybrpc.Server().add_service(ECHO, OnlyEcho(), partial=partial)
