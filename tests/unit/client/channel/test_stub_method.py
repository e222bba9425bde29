"""A method of a Stub: each form of calling, over a real connection."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import RpcTimeoutError, WouldDeadlockError
from pybrpc.rpc.controller import Controller
from pybrpc.transport.runtime import default_runtime
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import ScriptedServer

WAIT_S = 30.0


@pytest.fixture
def method() -> Iterator[Any]:
    with ScriptedServer() as server:
        with pybrpc.Channel(server.address, timeout=WAIT_S) as channel:
            yield pybrpc.Stub(ECHO, channel).Echo


def test_blocking_call_returns_the_response_and_fills_the_controller(method: Any) -> None:
    controller = Controller(log_id=7)
    assert method(echo_request("hello"), controller=controller).message == "hello"
    assert controller.method_name == "conformance.EchoService.Echo"
    assert controller.latency_us > 0


def test_future_returns_the_response(method: Any) -> None:
    futures = [method.future(echo_request(word)) for word in ("a", "b")]
    assert [future.result(WAIT_S).message for future in futures] == ["a", "b"]


def test_callback_gets_the_response(method: Any) -> None:
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    method.with_callback(echo_request("hello"), lambda *end: told.put(end))
    response, error = told.get(timeout=WAIT_S)
    assert (response.message, error) == ("hello", None)


def test_timeout_of_one_call(method: Any) -> None:
    with pytest.raises(RpcTimeoutError):
        method(echo_request("hello"), timeout=0)
    assert method(echo_request("hello"), timeout=None).message == "hello"


def test_blocking_call_in_a_callback_raises_instead_of_waiting_for_itself(method: Any) -> None:
    raised: queue.SimpleQueue[Exception] = queue.SimpleQueue()

    def call() -> None:
        try:
            method(echo_request("hello"))
        except Exception as error:
            raised.put(error)

    default_runtime().dispatcher.post(call)
    error = raised.get(timeout=WAIT_S)
    assert isinstance(error, WouldDeadlockError)
    assert "a blocking call of conformance.EchoService.Echo inside a callback" in str(error)
