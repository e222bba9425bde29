"""Handlers that are generators, called by HTTP: what they yield is the body of the response."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest, EchoResponse
from pybrpc.rpc.serving import current_call
from pybrpc.server.http.response_stream import WINDOW_BYTES
from tests.fakes.threads import wait_until
from tests.peers.http_peer import HttpPeer, Response, read_response

ECHO = "/EchoService/Echo"
PART = b"x" * 16 * 1024
FOREVER_S = 1000.0

Handler = Callable[[Any, Any], Any]


class Service:
    """A service whose method is a function that a test gives."""

    def __init__(self, handler: Handler) -> None:
        self.Echo = handler


class Served:
    """A running server with one handler."""

    def __init__(self, handler: Handler, **options: Any) -> None:
        self.server = pybrpc.Server(**options)
        self.server.add_service(SERVICE, Service(handler))
        self.address = self.server.start("127.0.0.1:0")

    def call(self, method: str = "POST", **headers: str) -> Response:
        with HttpPeer(self.address) as peer:
            peer.request(method, ECHO, b'{"message":"hi"}' if method == "POST" else b"", **headers)
            return read_response(peer, method)

    def is_idle(self) -> bool:
        return not self.server.unfinished()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    made: list[Served] = []

    def start(handler: Handler, **options: Any) -> Served:
        made.append(Served(handler, **options))
        return made[-1]

    yield start
    for each in made:
        each.server.stop(0)
        assert each.server.join(20)


Serve = Callable[..., Served]


def plain(*items: object) -> Handler:
    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        yield from items

    return echo


def in_task(*items: object) -> Handler:
    async def echo(request: EchoRequest, controller: pybrpc.Controller) -> AsyncIterator[object]:
        for item in items:
            yield item

    return echo


def returned(*items: object) -> Handler:
    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Any:
        return in_task(*items)(request, controller)

    return echo


def returned_later(*items: object) -> Handler:
    async def echo(request: EchoRequest, controller: pybrpc.Controller) -> Any:
        await asyncio.sleep(0)
        return plain(*items)(request, controller)

    return echo


KINDS = [plain, in_task, returned, returned_later]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("items", "content_type", "body"),
    [
        ([b"a", b"b"], "application/octet-stream", b"ab"),
        (["a", "\xe4"], "text/plain; charset=utf-8", "a\xe4".encode()),
        ([EchoResponse(message="a")] * 2, "application/x-ndjson", b'{"message":"a"}\n' * 2),
        (
            [pybrpc.ServerSentEvent("a\nb", id="7")],
            "text/event-stream",
            b"id: 7\ndata: a\ndata: b\n\n",
        ),
        ([], "text/plain; charset=utf-8", b""),
    ],
)
def test_what_a_handler_yields_is_the_body(
    serve: Serve, kind: Any, items: list[object], content_type: str, body: bytes
) -> None:
    response = serve(kind(*items)).call()
    assert (response.status, response.body, response.is_whole) == (200, body, True)
    assert response.headers["content-type"] == content_type
    assert response.headers["transfer-encoding"] == "chunked"


@pytest.mark.parametrize("kind", KINDS)
def test_messages_are_events_for_a_client_that_asks_for_events(serve: Serve, kind: Any) -> None:
    response = serve(kind(EchoResponse(message="a"))).call(Accept="text/event-stream")
    assert response.body == b'data: {"message":"a"}\n\n'
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"


def test_a_generator_says_what_its_head_is(serve: Serve) -> None:
    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        assert controller.http_response is not None
        controller.http_response.status_code = 202
        controller.http_response.content_type = "text/csv"
        controller.http_response.headers["X-Of"] = "me"
        yield f"{request.message},1\n"

    response = serve(echo).call()
    assert (response.status, response.body) == (202, b"hi,1\n")
    assert (response.headers["content-type"], response.headers["x-of"]) == ("text/csv", "me")


def test_the_head_of_events_is_sent_before_the_first_one(serve: Serve) -> None:
    goes_on = threading.Event()

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        goes_on.wait(FOREVER_S)
        yield "data: 1\n\n"

    served = serve(echo)
    with HttpPeer(served.address) as peer:
        peer.request("POST", ECHO, b"{}", Accept="text/event-stream")
        assert b"200 OK" in peer.read_until(b"\r\n\r\n")
        goes_on.set()
        assert peer.read_until(b"0\r\n\r\n").endswith(b"data: 1\n\n\r\n0\r\n\r\n")


def failing(after: int, error: BaseException) -> tuple[Handler, Handler]:
    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        yield from [b"part"] * after
        raise error

    async def echo_async(
        request: EchoRequest, controller: pybrpc.Controller
    ) -> AsyncIterator[object]:
        for _ in range(after):
            yield b"part"
        raise error

    return echo, echo_async


ERRORS = [
    (ValueError("no"), 500, "2001"),
    (SystemExit(1), 500, "2001"),
    (pybrpc.RpcError("no", code=pybrpc.ErrorCode.ELIMIT), 503, "2004"),
]


@pytest.mark.parametrize("is_async", [0, 1])
@pytest.mark.parametrize(("error", "status", "code"), ERRORS)
def test_an_error_before_the_first_item_is_a_proper_response(
    serve: Serve, is_async: int, error: BaseException, status: int, code: str
) -> None:
    served = serve(failing(0, error)[is_async])
    response = served.call()
    assert (response.status, response.is_whole) == (status, True)
    assert response.headers["x-bd-error-code"] == code
    wait_until(served.is_idle)
    assert served.server.statistics().errors == 1


@pytest.mark.parametrize("is_async", [0, 1])
@pytest.mark.parametrize(("error", "status", "code"), ERRORS)
def test_an_error_in_the_middle_cuts_the_body_off(
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    is_async: int,
    error: BaseException,
    status: int,
    code: str,
) -> None:
    served = serve(failing(1, error)[is_async])
    response = served.call()
    assert (response.status, response.body, response.is_whole) == (200, b"part", False)
    wait_until(served.is_idle)
    assert "is cut off" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("item", [None, 7, [b"a"]])
def test_what_can_be_no_part_of_a_body_is_an_error(serve: Serve, kind: Any, item: object) -> None:
    response = serve(kind(item)).call()
    assert response.status == 500
    assert b"a handler yielded" in response.body


@pytest.mark.parametrize("is_async", [0, 1])
def test_a_failure_that_is_set_before_the_first_item_is_the_response(
    serve: Serve, is_async: int
) -> None:
    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        controller.set_failed(pybrpc.ErrorCode.ELIMIT, "full")
        yield b"not sent"

    async def echo_async(request: EchoRequest, controller: pybrpc.Controller) -> AsyncIterator[Any]:
        controller.set_failed(pybrpc.ErrorCode.ELIMIT, "full")
        yield b"not sent"

    response = serve([echo, echo_async][is_async]).call()
    assert (response.status, response.is_whole) == (503, True)
    assert b"full" in response.body


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_of_http_1_0_gets_the_body_up_to_the_end(serve: Serve, kind: Any) -> None:
    served = serve(kind(b"a", b"b"))
    with HttpPeer(served.address) as peer:
        peer.request("POST", ECHO, b"{}", minor=0, Connection="keep-alive")
        peer.request("POST", ECHO, b"{}", minor=0, Connection="keep-alive")
        head, _, body = peer.read_all().partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body == b"ab"


@pytest.mark.parametrize("kind", KINDS)
def test_responses_stay_in_the_order_of_requests(serve: Serve, kind: Any) -> None:
    with HttpPeer(serve(kind(b"a", b"b")).address) as peer:
        for _ in range(20):
            peer.request("POST", ECHO, b"{}")
        responses = [read_response(peer) for _ in range(20)]
    assert [each.body for each in responses] == [b"ab"] * 20


def test_a_response_waits_for_the_generator_before_it(serve: Serve) -> None:
    goes_on = threading.Event()

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        yield request.message
        if request.message == "first":
            goes_on.wait(FOREVER_S)
            yield "!"

    with HttpPeer(serve(echo).address) as peer:
        peer.request("POST", ECHO, b'{"message":"first"}')
        peer.request("POST", ECHO, b'{"message":"second"}')
        peer.read_until(b"first\r\n")
        goes_on.set()
        assert peer.read_until(b"0\r\n\r\n") == b"1\r\n!\r\n0\r\n\r\n"
        assert read_response(peer).body == b"second"


class Endless:
    """Generators that yield for ever, and count."""

    def __init__(self) -> None:
        self.yielded = 0
        self.ended: list[BaseException] = []
        self.pause: float | None = None

    def plain(self, request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        try:
            while True:
                yield PART
                self.yielded += 1
        except BaseException as error:
            self.ended.append(error)
            raise

    async def task(
        self, request: EchoRequest, controller: pybrpc.Controller
    ) -> AsyncIterator[object]:
        try:
            while True:
                yield PART
                self.yielded += 1
                if self.pause is not None:
                    await asyncio.sleep(self.pause)
        except BaseException as error:
            self.ended.append(error)
            raise


@pytest.mark.parametrize("name", ["plain", "task"])
def test_a_generator_makes_no_more_than_the_client_takes(serve: Serve, name: str) -> None:
    endless = Endless()
    served = serve(getattr(endless, name), options=pybrpc.SocketOptions(send_buffer_bytes=65536))
    with HttpPeer(served.address, 65536) as peer:
        peer.request("POST", ECHO, b"{}")
        peer.read_until(b"\r\n\r\n")
        before = -1
        while before != endless.yielded:
            before = endless.yielded
            threading.Event().wait(0.2)
        (connection,) = served.server.unfinished_connections()
        assert connection.unwritten_bytes <= WINDOW_BYTES + len(PART)
        for _ in range(100):
            peer.read()
        wait_until(lambda: endless.yielded > before)
    wait_until(served.is_idle)
    assert [type(error) for error in endless.ended] in ([GeneratorExit], [asyncio.CancelledError])


@pytest.mark.parametrize("pause", [0.0, FOREVER_S])
def test_an_async_generator_ends_when_the_client_goes_away(serve: Serve, pause: float) -> None:
    endless = Endless()
    endless.pause = pause
    served = serve(endless.task)
    with HttpPeer(served.address) as peer:
        peer.request("POST", ECHO, b"{}")
        peer.read_until(b"\r\n\r\n")
    wait_until(served.is_idle)
    assert type(endless.ended[0]) in (GeneratorExit, asyncio.CancelledError)


@pytest.mark.parametrize("name", ["plain", "task"])
def test_a_generator_behind_others_waits_for_its_turn_and_its_client(
    serve: Serve, name: str
) -> None:
    """The first one never ends, so the response of the second is kept, and bounded."""
    endless, goes_on = Endless(), threading.Event()
    kept = getattr(endless, name)

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Any:
        if request.message == "first":
            return first()
        return kept(request, controller)

    def first() -> Iterator[object]:
        yield "first"
        goes_on.wait(FOREVER_S)

    served = serve(echo)
    with HttpPeer(served.address) as peer:
        peer.request("POST", ECHO, b'{"message":"first"}')
        peer.request("POST", ECHO, b"{}")
        wait_until(lambda: endless.yielded >= WINDOW_BYTES // len(PART) - 1)
        assert endless.yielded <= WINDOW_BYTES // len(PART)
        goes_on.set()
        wait_until(lambda: peer.read() != b"" and endless.yielded > 2 * WINDOW_BYTES // len(PART))
    wait_until(served.is_idle)


def test_a_stop_waits_for_generators_up_to_the_grace(serve: Serve) -> None:
    goes_on = threading.Event()

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        yield b"a"
        goes_on.wait(FOREVER_S)
        yield b"b"

    served = serve(echo)
    with HttpPeer(served.address) as peer:
        peer.request("POST", ECHO, b"{}")
        peer.read_until(b"a\r\n")
        served.server.stop(None)
        goes_on.set()
        assert peer.read_all() == b"1\r\nb\r\n0\r\n\r\n"
    assert served.server.join(20)


@pytest.mark.parametrize("pause", [0.0, FOREVER_S])
def test_a_stop_cancels_generators_at_the_end_of_the_grace(serve: Serve, pause: float) -> None:
    endless = Endless()
    endless.pause = pause
    served = serve(endless.task)
    with HttpPeer(served.address) as peer:
        peer.request("POST", ECHO, b"{}")
        peer.read_until(b"\r\n\r\n")
        served.server.stop(0.05)
        assert served.server.join(20)
        assert not peer.read_all().endswith(b"0\r\n\r\n")
    wait_until(lambda: bool(endless.ended))


@pytest.mark.parametrize("kind", [plain, in_task])
def test_head_gets_the_head_alone_and_ends_the_generator(serve: Serve, kind: Any) -> None:
    served = serve(kind(b"a", b"b"))
    served.server.stop(0)
    assert served.server.join(20)
    server = served.server
    server.remove_service(SERVICE)
    server.add_service(SERVICE, Service(kind(b"a", b"b")), restful_mappings="/echo => Echo")
    address = server.start("127.0.0.1:0")
    with HttpPeer(address) as peer:
        for accept in ("*/*", "text/event-stream"):
            peer.request("HEAD", "/echo", Accept=accept)
            response = read_response(peer, "HEAD")
            assert (response.status, response.body, response.is_whole) == (200, b"", True)
        peer.request("GET", "/echo")
        assert read_response(peer).body == b"ab"


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


def test_a_generator_can_raise_anything_when_it_is_closed(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def echo(request: EchoRequest, controller: pybrpc.Controller) -> AsyncIterator[Any]:
        try:
            while True:
                yield PART
                await asyncio.sleep(0)
        finally:
            raise SystemExit(3)

    served = serve(echo)
    with HttpPeer(served.address) as peer:
        peer.request("POST", ECHO, b"{}")
        peer.read_until(b"\r\n\r\n")
    wait_until(served.is_idle)
    assert served.is_idle()


@pytest.mark.parametrize("kind", KINDS)
def test_a_caller_of_another_protocol_gets_an_error(serve: Serve, kind: Any) -> None:
    served = serve(kind(b"a"))
    with (
        pybrpc.Channel(str(served.address)) as channel,
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
