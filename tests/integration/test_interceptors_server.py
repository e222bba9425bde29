"""Interceptors of a server: they see calls, change them, answer them; one that raises spoils its
call alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ErrorCode, LimitReachedError, RpcError
from pybrpc.rpc.interceptors.interceptor import InterceptedCall
from tests.peers.raw_peer import SERVICE, EchoRequest, EchoResponse, RawPeer, request, text_of
from tests.peers.serving import async_echo, echo, make_server, serving, start

HANDLERS = pytest.mark.parametrize("handler", [echo, async_echo])
ERRORS: list[Callable[[], BaseException]] = [
    ValueError,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    StopAsyncIteration,
    MemoryError,
]


def shout(call: Any, proceed: Any) -> Iterator[Any]:
    response = yield proceed(EchoRequest(message=call.request.message.upper()))
    call.controller.response_user_fields["seen"] = call.method
    response.message += "!"
    return response


def around_of(handler: Any, before: Callable[[Any], None], after: Callable[[Any], None]) -> Any:
    """An interceptor of the kind that runs where `handler` does."""

    def plain(call: Any, proceed: Any) -> Any:
        before(call)
        response = proceed()
        after(call)
        return response

    async def in_loop(call: Any, proceed: Any) -> Any:
        await asyncio.sleep(0)
        before(call)
        response = await proceed()
        after(call)
        return response

    return in_loop if handler is async_echo else plain


def nothing(call: Any) -> None: ...


@HANDLERS
def test_request_and_response_can_be_changed(handler: Any) -> None:
    with serving(handler, handler, interceptors=[shout, shout]) as peer:
        answer = peer.call(message="hello")
    assert text_of(answer) == "HELLO!!"
    assert answer.user_fields == {"seen": "conformance.EchoService.Echo"}


@HANDLERS
def test_what_a_call_shows(handler: Any) -> None:
    seen: list[InterceptedCall] = []
    around = around_of(handler, seen.append, nothing)
    with serving(handler, handler, interceptors=[around]) as peer:
        text_of(peer.call(message="hello", user_fields={"tenant": "7"}, log_id=5))
        port = peer.sock.getsockname()[1]
    (call,) = seen
    assert (call.side, call.method, call.is_stream) == (
        "server",
        "conformance.EchoService.Echo",
        False,
    )
    assert call.request.message == "hello"
    assert call.metadata == {"tenant": "7"}
    assert call.controller.log_id == 5
    assert call.peer is not None
    assert call.peer.port == port


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("error", ERRORS)
@HANDLERS
def test_one_that_raises_spoils_its_call_alone(
    handler: Any, error: Callable[[], BaseException], is_late: bool
) -> None:
    def spoil(call: Any) -> None:
        if call.request.message == "spoil":
            raise error()

    around = around_of(handler, *((nothing, spoil) if is_late else (spoil, nothing)))
    with serving(handler, handler, interceptors=[around]) as peer:
        peer.send(request(1), request(2, message="spoil"), request(3))
        answers = peer.read_answers(3)
        assert text_of(peer.call(message="after")) == "after"
    assert text_of(answers[1]) == text_of(answers[3]) == "hello"
    assert answers[2].error_code == ErrorCode.EINTERNAL


@HANDLERS
def test_rpc_error_keeps_its_code(handler: Any) -> None:
    def refuse(call: Any) -> None:
        raise LimitReachedError("not now")

    with serving(handler, handler, interceptors=[around_of(handler, refuse, nothing)]) as peer:
        answer = peer.call()
    assert answer.error_code == ErrorCode.ELIMIT
    assert answer.error_text.endswith("[E2004]not now")


@HANDLERS
def test_errors_of_the_handler_are_seen_and_can_be_replaced(handler: Any) -> None:
    seen: list[str] = []

    def instead(call: Any, proceed: Any) -> Iterator[Any]:
        try:
            return (yield proceed())
        except RpcError as error:
            seen.append(error.text)
            return EchoResponse(message="instead")

    def fails(request: Any, controller: Any) -> Any:
        raise LimitReachedError("too many")

    async def fails_in_loop(request: Any, controller: Any) -> Any:
        raise LimitReachedError("too many")

    failing = fails_in_loop if handler is async_echo else fails
    with serving(failing, handler, interceptors=[instead]) as peer:
        assert text_of(peer.call()) == "instead"
    assert seen == ["too many"]


def test_failure_without_an_error_is_seen_in_the_controller() -> None:
    seen: list[int] = []

    def watch(call: Any, proceed: Any) -> Any:
        response = proceed()
        seen.append(call.controller.error_code)
        return response

    def fail(request: Any, controller: Any) -> None:
        controller.set_failed(1234, "no")

    with serving(fail, interceptors=[watch]) as peer:
        assert peer.call().error_code == 1234
    assert seen == [1234]


def test_one_that_forgets_the_response_is_told(caplog: pytest.LogCaptureFixture) -> None:
    def forgets(call: Any, proceed: Any) -> None:
        proceed()

    with serving(interceptors=[forgets]) as peer:
        answer = peer.call()
    assert answer.error_code == ErrorCode.EINTERNAL
    assert "forgets returned None: return the response of proceed()" in answer.error_text
    assert "forgets returned None" in caplog.text


def test_plain_one_may_block_without_keeping_others() -> None:
    opened = threading.Event()

    def wait(call: Any, proceed: Any) -> Any:
        if call.request.message == "wait":
            assert opened.wait(30)
        else:
            opened.set()
        return proceed()

    with serving(interceptors=[wait]) as peer:
        peer.send(request(1, message="wait"), request(2, message="go"))
        answers = peer.read_answers(2)
    assert text_of(answers[1]) == "wait"


def test_generic_service_is_intercepted_too() -> None:
    seen: list[Any] = []

    def watch(call: Any, proceed: Any) -> Iterator[Any]:
        seen.append(call.request.body)
        body = yield proceed()
        return body + b"!"

    with pybrpc.Server(interceptors=[watch]) as server:
        server.add_generic_service(lambda request, controller: request.body)
        with RawPeer(start(server)) as peer:
            answer = peer.call(service="any.Service", body=b"body")
    assert bytes(answer.body) == b"body!"
    assert seen == [b"body"]


def test_streams_are_told_and_accepted_behind_interceptors() -> None:
    seen: list[bool] = []

    def watch(call: Any, proceed: Any) -> Iterator[Any]:
        seen.append(call.is_stream)
        return (yield proceed())

    def accept(request: Any, controller: Any) -> Any:
        controller.accept_stream(body=lambda stream: stream.send(b"hello"))
        return EchoResponse(message="answer")

    with make_server(accept, interceptors=[watch]) as server:
        with pybrpc.Channel(start(server)) as channel:
            stub = pybrpc.Stub(SERVICE, channel)
            with stub.Echo.stream(EchoRequest(message="open")) as call:
                assert call.stream.recv(timeout=30) == b"hello"
    assert seen == [True]


def test_refused_options() -> None:
    async def async_generator(call: Any, proceed: Any) -> AsyncIterator[Any]:
        yield proceed()

    for wrong in ([3], [async_generator], echo, ["name"]):
        with pytest.raises(TypeError, match="interceptor"):
            pybrpc.Server(interceptors=wrong)  # type: ignore[arg-type]


def test_deadline_and_nested_calls_belong_to_the_request() -> None:
    """A call that an interceptor makes inherits the deadline of the request, as one of the
    handler does."""
    remaining: list[float | None] = []

    def far(request: Any, controller: Any) -> Any:
        remaining.append(controller.timeout_ms)
        return EchoResponse(message="answer")

    with make_server(far) as behind, pybrpc.Channel(start(behind), timeout=None) as channel:
        stub = pybrpc.Stub(SERVICE, channel)

        def ask(call: Any, proceed: Any) -> Any:
            stub.Echo(EchoRequest(message="ask"))
            return proceed()

        with serving(interceptors=[ask]) as peer:
            assert text_of(peer.call(timeout_ms=20_000)) == "hello"
    (timeout_ms,) = remaining
    assert timeout_ms is not None
    assert 0 < timeout_ms <= 20_000
