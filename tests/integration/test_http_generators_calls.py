"""Handlers that are generators, called by HTTP: each is a call, with what calls have."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest
from pybrpc.rpc.serving import current_call
from tests.fakes.threads import wait_until
from tests.peers.http_handlers import (
    ECHO,
    FOREVER_S,
    KINDS,
    PART,
    Serve,
    Service,
    failing,
    in_task,
    plain,
)
from tests.peers.http_peer import HttpPeer, Response, read_response


def test_calls_of_a_generator_belong_to_its_call(serve: Serve) -> None:
    seen: list[object] = []

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        seen.append(current_call())
        yield b"a"
        seen.append(current_call())

    async def echo_async(request: EchoRequest, controller: pybrpc.Controller) -> AsyncIterator[Any]:
        seen.append(current_call())
        yield b"a"
        await asyncio.sleep(0)
        seen.append(current_call())

    for handler in (echo, echo_async):
        seen.clear()
        assert serve(handler).call().body == b"a"
        assert seen[0] is not None
        assert seen[0] is seen[1]


VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


@pytest.mark.parametrize("is_async", [0, 1])
def test_a_generator_has_the_context_of_its_handler(serve: Serve, is_async: int) -> None:
    def items() -> Iterator[object]:
        yield VARIABLE.get()

    async def async_items() -> AsyncIterator[object]:
        yield VARIABLE.get()

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Any:
        VARIABLE.set("of the handler")
        return items()

    async def echo_async(request: EchoRequest, controller: pybrpc.Controller) -> Any:
        VARIABLE.set("of the handler")
        await asyncio.sleep(0)
        return async_items()

    assert serve([echo, echo_async][is_async]).call().body == b"of the handler"


def test_generators_count_under_max_concurrency(serve: Serve) -> None:
    goes_on = threading.Event()

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        yield b"a"
        goes_on.wait(FOREVER_S)

    served = serve(echo, max_concurrency=1)
    with HttpPeer(served.address) as peer:
        peer.request("POST", ECHO, b"{}")
        peer.read_until(b"a\r\n")
        assert served.call().status == 503
        goes_on.set()
        peer.read_until(b"0\r\n\r\n")
        wait_until(served.is_idle)
        assert served.call().status == 200


def test_plain_generators_have_a_bounded_number_of_threads(serve: Serve) -> None:
    goes_on = threading.Event()

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        yield b"a"
        goes_on.wait(FOREVER_S)

    served = serve(echo, max_workers=1)
    with HttpPeer(served.address) as peer:
        peer.request("POST", ECHO, b"{}")
        peer.read_until(b"a\r\n")
        response = served.call()
        assert (response.status, response.headers["x-bd-error-code"]) == (503, "2004")
        goes_on.set()
        peer.read_until(b"0\r\n\r\n")


@pytest.mark.parametrize("kind", KINDS)
def test_a_caller_of_another_protocol_gets_an_error(serve: Serve, kind: Any) -> None:
    served = serve(kind(b"a"))
    with (
        pybrpc.Channel(str(served.address), timeout=60, connect_timeout=30) as channel,
        pytest.raises(pybrpc.RpcError, match="only HTTP carries") as caught,
    ):
        pybrpc.Stub(SERVICE, channel).Echo(EchoRequest(message="a"))
    assert caught.value.code == pybrpc.ErrorCode.EINTERNAL


def test_a_server_in_a_loop_streams_too() -> None:
    asyncio.run(stream_in_a_loop())


async def stream_in_a_loop() -> None:
    async with pybrpc.Server() as server:
        server.add_service(SERVICE, Service(in_task(*[PART] * 100)))
        address = server.start("127.0.0.1:0")

        def fetch() -> Response:
            with HttpPeer(address) as peer:
                peer.request("POST", ECHO, b"{}")
                return read_response(peer)

        response = await asyncio.to_thread(fetch)
    assert response.body == PART * 100


def test_listeners_of_calls_learn_what_was_sent(serve: Serve) -> None:
    ended: list[tuple[int, int]] = []

    class Listener:
        """Notes how calls end."""

        def on_call_end(self, call: Any, latency_s: float) -> None:
            ended.append((call.error_code, call.sent_bytes))

    for handler, code in ((plain(PART), 0), (failing(1, ValueError("no"))[0], 2001)):
        served = serve(handler)
        run: Any = served.server._run
        run.call_end.listeners = (Listener(),)
        size = len(served.call().body)
        wait_until(served.is_idle)
        wait_until(lambda: bool(ended))
        ((error_code, sent_bytes),) = ended
        assert error_code == code
        assert size < sent_bytes < size + 500
        ended.clear()


async def around_async(call: pybrpc.InterceptedCall, proceed: Any) -> Any:
    call.request.message = "intercepted"
    return await proceed()


def around(call: pybrpc.InterceptedCall, proceed: Any) -> Any:
    call.request.message = "intercepted"
    return proceed()


@pytest.mark.parametrize("is_async", [0, 1])
def test_interceptors_run_before_a_generator_begins(serve: Serve, is_async: int) -> None:
    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        yield request.message

    async def echo_async(request: EchoRequest, controller: pybrpc.Controller) -> AsyncIterator[Any]:
        yield request.message

    interceptor = [around, around_async][is_async]
    served = serve([echo, echo_async][is_async], interceptors=[interceptor])
    assert served.call().body == b"intercepted"


def test_a_generator_gets_no_progressive_attachment(serve: Serve) -> None:
    """Nothing would ever send it: what the generator yields is the body."""

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        try:
            controller.create_progressive_attachment()
        except RuntimeError as error:
            yield str(error)

    async def echo_async(request: EchoRequest, controller: pybrpc.Controller) -> AsyncIterator[Any]:
        try:
            controller.create_progressive_attachment()
        except RuntimeError as error:
            yield str(error)

    for handler in (echo, echo_async):
        assert serve(handler).call().body == b"the response is what the generator yields"
