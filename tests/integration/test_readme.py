"""The README's examples run as they stand there."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from bench import echo_messages
from tests.peers.pages import examples_of, run_example

EXAMPLES = examples_of("README.md")


class EchoService:
    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        controller.response_attachment = controller.request_attachment
        return echo_messages.EchoResponse(message=request.message)


@pytest.fixture
def echo_pb2(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The module that protoc would make of an echo.proto."""
    module = types.ModuleType("echo_pb2")
    module.DESCRIPTOR = echo_messages.SERVICE.file  # type: ignore[attr-defined]
    module.EchoRequest = echo_messages.EchoRequest  # type: ignore[attr-defined]
    module.EchoResponse = echo_messages.EchoResponse  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "echo_pb2", module)
    return module


@pytest.fixture
def names(echo_pb2: types.ModuleType) -> Iterator[dict[str, Any]]:
    """Names that the examples after the first one use without a definition."""
    with pybrpc.Server() as server:
        server.add_service(echo_messages.SERVICE, EchoService())
        address = str(server.start("127.0.0.1:0"))
        with pybrpc.Channel(address) as channel:
            yield {
                "address": address,
                "asyncio": asyncio,
                "big_bytes": bytes(1_000_000),
                "pybrpc": pybrpc,
                "request": echo_messages.EchoRequest(message="hello"),
                "stub": pybrpc.Stub(echo_messages.SERVICE, channel),
                "EchoRequest": echo_messages.EchoRequest,
                "SERVICE": echo_messages.SERVICE,
            }


def run(example: int, names: dict[str, Any]) -> None:
    run_example(EXAMPLES[example], names, {"127.0.0.1:8000": names.get("address", "")})


def test_quickstart(echo_pb2: types.ModuleType) -> None:
    names: dict[str, Any] = {}
    run(0, names)
    assert names["reply"].message == "hello"
    assert names["future"].done()


def test_asyncio_example(names: dict[str, Any]) -> None:
    run(1, names)
    assert [reply.message for reply in names["replies"]] == [str(i) for i in range(100)]


def test_controller_example(names: dict[str, Any]) -> None:
    run(2, names)
    assert bytes(names["controller"].response_attachment) == names["big_bytes"]


def test_error_example(names: dict[str, Any]) -> None:
    run(3, names)


def test_no_example_is_left_out() -> None:
    assert len(EXAMPLES) == 4
