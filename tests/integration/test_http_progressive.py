"""Bodies in parts: a handler reads one while it comes, and writes one after it has returned."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest, EchoResponse
from pybrpc.errors import BadRequestError, ConnectionFailedError, OvercrowdedError, RpcCanceledError
from pybrpc.server.http.body_queue import WINDOW_BYTES
from pybrpc.server.http.progressive import MAX_EARLY_BYTES
from tests.fakes.threads import wait_until
from tests.peers.http_peer import HttpPeer, Response, read_response

ECHO = "/EchoService/Echo"
PART = b"x" * 16 * 1024
FOREVER_S = 1000.0
HEAD = b"POST /EchoService/Echo HTTP/1.1\r\nHost: a\r\n"

Handler = Callable[[Any, Any], Any]


class Service:
    """A service whose method is a function that a test gives."""

    def __init__(self, handler: Handler) -> None:
        self.Echo = handler


class Served:
    """A running server with one handler, which reads bodies in parts if `reads`."""

    def __init__(self, handler: Handler, reads: bool, **options: Any) -> None:
        self.server = pybrpc.Server(**options)
        self.server.add_service(SERVICE, Service(handler))
        if reads:
            self.server.set_method_options("EchoService.Echo", enable_progressive_read=True)
        self.address = self.server.start("127.0.0.1:0")

    def call(self, body: bytes = b"{}", **headers: str) -> Response:
        with HttpPeer(self.address) as peer:
            peer.request("POST", ECHO, body, **headers)
            return read_response(peer, "POST")

    def is_idle(self) -> bool:
        connections = self.server.unfinished_connections()
        return not self.server.unfinished() and all(each.holds == 0 for each in connections)


Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    made: list[Served] = []

    def start(handler: Handler, reads: bool = False, **options: Any) -> Served:
        made.append(Served(handler, reads, **options))
        return made[-1]

    yield start
    for each in made:
        each.server.stop(0)
        assert each.server.join(20)


# --- reading ---


def count(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
    assert controller.http_request is not None
    size = sum(len(part) for part in controller.http_request.body)
    return EchoResponse(message=str(size))


async def count_async(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
    assert controller.http_request is not None
    size = sum([len(part) async for part in controller.http_request.body])
    return EchoResponse(message=str(size))


def read(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
    assert controller.http_request is not None
    return EchoResponse(message=str(len(controller.http_request.body.read())))


async def read_async(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
    assert controller.http_request is not None
    return EchoResponse(message=str(len(await controller.http_request.body.read())))


READERS = [count, count_async, read, read_async]


@pytest.mark.parametrize("handler", READERS)
@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_a_handler_reads_the_body(serve: Serve, handler: Handler, size: int) -> None:
    served = serve(handler, reads=True)
    with HttpPeer(served.address) as peer:
        for _ in range(2):
            peer.request("POST", ECHO, b"a" * size)
            assert read_response(peer, "POST").body == b'{"message":"%d"}' % size
    wait_until(served.is_idle)


@pytest.mark.parametrize("handler", READERS)
def test_a_handler_reads_a_chunked_body_as_it_comes(serve: Serve, handler: Handler) -> None:
    served = serve(handler, reads=True)
    with HttpPeer(served.address) as peer:
        peer.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        wait_until(lambda: bool(served.server.unfinished()))
        for _ in range(3):
            peer.send(b"2\r\nab\r\n")
        peer.send(b"0\r\n\r\n")
        assert read_response(peer, "POST").body == b'{"message":"6"}'


@pytest.mark.parametrize("handler", READERS)
def test_the_word_to_send_comes_when_the_handler_reads(serve: Serve, handler: Handler) -> None:
    with HttpPeer(serve(handler, reads=True).address) as peer:
        peer.send(HEAD + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert peer.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.send(b"abc")
        assert read_response(peer, "POST").body == b'{"message":"3"}'


@pytest.mark.parametrize("is_async", [0, 1])
def test_fields_of_the_message_come_from_the_url(serve: Serve, is_async: int) -> None:
    def echo(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        assert controller.http_request is not None
        return EchoResponse(message=request.message, payload=controller.http_request.body.read())

    async def echo_async(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        assert controller.http_request is not None
        return EchoResponse(
            message=request.message, payload=await controller.http_request.body.read()
        )

    served = serve([echo, echo_async][is_async], reads=True)
    with HttpPeer(served.address) as peer:
        peer.request("POST", f"{ECHO}?message=hi", b"{not json", Content_Encoding="gzip")
        assert b'"message":"hi"' in read_response(peer, "POST").body


@pytest.mark.parametrize("is_async", [0, 1])
@pytest.mark.parametrize("limit", [3, None])
def test_a_body_that_is_longer_than_allowed_is_an_error(
    serve: Serve, is_async: int, limit: int | None
) -> None:
    def echo(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        assert controller.http_request is not None
        return EchoResponse(payload=controller.http_request.body.read(limit))

    async def echo_async(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        assert controller.http_request is not None
        return EchoResponse(payload=await controller.http_request.body.read(limit))

    served = serve([echo, echo_async][is_async], reads=True, max_body_size=3)
    response = served.call(b"abcd")
    assert response.status == 400
    assert b"longer than max_bytes=3" in response.body


@pytest.mark.parametrize("is_async", [0, 1])
def test_a_body_that_nobody_reads_ends_the_connection(serve: Serve, is_async: int) -> None:
    def echo(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        return EchoResponse(message="no")

    async def echo_async(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        return EchoResponse(message="no")

    served = serve([echo, echo_async][is_async], reads=True)
    with HttpPeer(served.address) as peer:
        peer.send(HEAD + b"Content-Length: 1000000\r\n\r\nabc")
        assert read_response(peer, "POST").body == b'{"message":"no"}'
        assert peer.read_all() == b""
    wait_until(served.is_idle)


@pytest.mark.parametrize("is_async", [0, 1])
@pytest.mark.parametrize(
    ("rest", "kind"), [(b"no chunk\r\n", BadRequestError), (b"", ConnectionFailedError)]
)
def test_a_reader_gets_to_know_that_no_more_comes(
    serve: Serve, is_async: int, rest: bytes, kind: type[BaseException]
) -> None:
    raised: list[BaseException] = []

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        assert controller.http_request is not None
        try:
            controller.http_request.body.read()
        except BaseException as error:
            raised.append(error)
            raise
        return EchoResponse()

    async def echo_async(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        assert controller.http_request is not None
        try:
            await controller.http_request.body.read()
        except BaseException as error:
            raised.append(error)
            raise
        return EchoResponse()

    served = serve([echo, echo_async][is_async], reads=True, cancel_handlers=False)
    with HttpPeer(served.address) as peer:
        peer.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        wait_until(lambda: bool(served.server.unfinished()))
        peer.send(rest)
        if not rest:
            peer.close()
        wait_until(lambda: bool(raised))
    assert isinstance(raised[0], kind)
    wait_until(served.is_idle)


@pytest.mark.parametrize("is_async", [0, 1])
def test_a_client_waits_for_the_handler_that_reads(serve: Serve, is_async: int) -> None:
    goes_on = threading.Event()

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        goes_on.wait(FOREVER_S)
        return count(request, controller)

    async def echo_async(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        await asyncio.to_thread(goes_on.wait, FOREVER_S)
        return await count_async(request, controller)

    served = serve(
        [echo, echo_async][is_async],
        reads=True,
        options=pybrpc.SocketOptions(receive_buffer_bytes=65536),
    )
    size, sent = 16 * WINDOW_BYTES, [0]

    def upload(peer: HttpPeer) -> None:
        peer.send(HEAD + b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(PART)):
            peer.send(PART)
            sent[0] += len(PART)

    with HttpPeer(served.address) as peer:
        thread = threading.Thread(target=upload, args=(peer,))
        thread.start()
        before = -1
        while before != sent[0] or not sent[0]:
            before = sent[0]
            threading.Event().wait(0.2)
        assert sent[0] < size // 2
        goes_on.set()
        assert read_response(peer, "POST").body == b'{"message":"%d"}' % size
        thread.join(20)


def test_what_is_unread_when_the_connection_fails_does_not_count_for_ever(serve: Serve) -> None:
    goes_on = threading.Event()

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        goes_on.wait(FOREVER_S)
        return EchoResponse()

    served = serve(echo, reads=True)
    run: Any = served.server._run
    with HttpPeer(served.address) as peer:
        peer.send(HEAD + b"Content-Length: 1000000\r\n\r\n" + PART * 20)
        wait_until(lambda: run.unanswered.size_bytes >= 0 and bool(served.server.unfinished()))
        (connection,) = list(run.connections)
        wait_until(lambda: connection.unanswered.size_bytes > len(PART))
        connection.socket.dispatcher.post(connection.socket.close)
    wait_until(lambda: not run.connections)
    goes_on.set()
    wait_until(lambda: connection.unanswered.size_bytes == 0)
    assert connection.unanswered.is_empty()


@pytest.mark.slow
def test_a_body_of_which_no_part_comes_is_given_up(serve: Serve) -> None:
    sizes: list[int] = []
    raised: list[BaseException] = []

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        assert controller.http_request is not None
        try:
            for part in controller.http_request.body:
                sizes.append(len(part))
        except BaseException as error:
            raised.append(error)
        return EchoResponse()

    served = serve(echo, reads=True, message_timeout=1.0)
    with HttpPeer(served.address) as peer:
        peer.send(HEAD + b"Content-Length: 1000\r\n\r\n")
        for _ in range(8):
            threading.Event().wait(0.25)
            peer.send(b"a")
        wait_until(lambda: sum(sizes) == 8)
        assert raised == []
        wait_until(lambda: bool(raised))
    assert isinstance(raised[0], pybrpc.RpcError)
    wait_until(served.is_idle)


def test_the_option_of_a_method_is_checked(serve: Serve) -> None:
    server = serve(read).server
    with pytest.raises(TypeError, match="enable_progressive_read"):
        server.set_method_options("EchoService.Echo", enable_progressive_read=1)  # type: ignore[arg-type]


def test_a_method_that_is_full_refuses_before_the_body_comes(serve: Serve) -> None:
    goes_on = threading.Event()

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        goes_on.wait(FOREVER_S)
        return EchoResponse()

    served = serve(echo, reads=True, max_concurrency=1)
    with HttpPeer(served.address) as first, HttpPeer(served.address) as second:
        first.request("POST", ECHO, b"a")
        wait_until(lambda: bool(served.server.unfinished()))
        second.send(HEAD + b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n")
        assert read_response(second, "POST").status == 503
        goes_on.set()
        assert read_response(first, "POST").status == 200


# --- writing ---


class Writer:
    """Handlers that give their attachment away, with threads and tasks that write it."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts
        self.attachment: Any = None
        self.content_type = ""
        self.written = 0
        self.errors: list[BaseException] = []

    def begin(self, controller: pybrpc.Controller) -> None:
        self.attachment = controller.create_progressive_attachment()
        assert controller.http_response is not None
        if self.content_type:
            controller.http_response.content_type = self.content_type

    def plain(self, request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        self.begin(controller)
        threading.Thread(target=self.write).start()
        return EchoResponse()

    def write(self) -> None:
        try:
            with self.attachment:
                for part in self.parts:
                    self.attachment.write(part)
                    self.written += 1
        except BaseException as error:
            self.errors.append(error)

    async def task(self, request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        self.begin(controller)
        self.running = asyncio.ensure_future(self.write_async())
        return EchoResponse()

    async def write_async(self) -> None:
        try:
            async with self.attachment:
                for part in self.parts:
                    await self.attachment.write(part)
                    self.written += 1
        except BaseException as error:
            self.errors.append(error)


KINDS = ["plain", "task"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_attachment_is_the_body(serve: Serve, kind: str) -> None:
    writer = Writer(b"bytes", "text \xe4", pybrpc.ServerSentEvent("a"))
    served = serve(getattr(writer, kind))
    response = served.call()
    assert (response.status, response.is_whole) == (200, True)
    assert response.body == "bytestext \xe4data: a\n\n".encode()
    assert response.headers["content-type"] == "application/octet-stream"
    wait_until(served.is_idle)
    with pytest.raises(ValueError, match="closed"):
        writer.attachment._put(b"late")


@pytest.mark.parametrize("kind", KINDS)
def test_an_attachment_of_events_is_not_stored(serve: Serve, kind: str) -> None:
    writer = Writer(pybrpc.ServerSentEvent("a"))
    writer.content_type = "text/event-stream"
    response = serve(getattr(writer, kind)).call()
    assert response.headers["cache-control"] == "no-store"
    assert response.body == b"data: a\n\n"


def test_what_is_written_in_the_handler_is_sent_when_it_returns(serve: Serve) -> None:
    def echo(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        attachment = controller.create_progressive_attachment()
        attachment.write(b"early")
        assert controller.http_response is not None
        controller.http_response.status_code = 201
        with pytest.raises(RuntimeError, match="already"):
            controller.create_progressive_attachment()
        return EchoResponse()  # nothing refers to the attachment any more: it is closed

    response = serve(echo).call()
    assert (response.status, response.body, response.is_whole) == (201, b"early", True)


def test_what_is_written_in_the_handler_is_bounded(serve: Serve) -> None:
    def echo(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        attachment = controller.create_progressive_attachment()
        for _ in range(MAX_EARLY_BYTES // len(PART)):
            attachment.write(PART)
        with pytest.raises(OvercrowdedError, match="before the handler returned"):
            attachment.write(PART)
        attachment.close()
        return EchoResponse()

    assert len(serve(echo).call().body) == MAX_EARLY_BYTES


@pytest.mark.parametrize("kind", KINDS)
def test_an_attachment_of_a_call_that_fails_is_not_sent(serve: Serve, kind: str) -> None:
    kept: list[Any] = []

    def plain(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        kept.append(controller.create_progressive_attachment())
        raise ValueError("no")

    async def task(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        kept.append(controller.create_progressive_attachment())
        raise ValueError("no")

    served = serve({"plain": plain, "task": task}[kind])
    assert served.call().status == 500
    with pytest.raises(RpcCanceledError):
        kept[0]._put(b"a")
    kept[0].close()
    wait_until(served.is_idle)


@pytest.mark.parametrize("kind", KINDS)
def test_a_writer_waits_for_the_client_and_learns_that_it_is_gone(serve: Serve, kind: str) -> None:
    writer = Writer(*[PART] * 10_000)
    served = serve(getattr(writer, kind), options=pybrpc.SocketOptions(send_buffer_bytes=65536))
    with HttpPeer(served.address, 65536) as peer:
        peer.request("POST", ECHO, b"{}")
        peer.read_until(b"\r\n\r\n")
        before = -1
        while before != writer.written:
            before = writer.written
            threading.Event().wait(0.2)
        assert before < 1000
    wait_until(lambda: bool(writer.errors))
    assert isinstance(writer.errors[0], ConnectionFailedError)
    wait_until(served.is_idle)


def test_a_call_with_an_attachment_goes_on_until_that_is_closed(serve: Serve) -> None:
    kept: list[Any] = []

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        kept.append(controller.create_progressive_attachment())
        return EchoResponse()

    served = serve(echo, max_concurrency=1)
    with HttpPeer(served.address) as peer:
        peer.request("POST", ECHO, b"{}")
        peer.read_until(b"\r\n\r\n")
        assert served.call().status == 503
        kept.pop().close()
        assert peer.read_until(b"\r\n\r\n") == b"0\r\n\r\n"
        wait_until(served.is_idle)
    with HttpPeer(served.address) as peer:
        peer.request("POST", ECHO, b"{}")
        peer.read_until(b"\r\n\r\n")
    wait_until(served.is_idle)


def test_a_caller_of_another_protocol_gets_an_error(serve: Serve) -> None:
    served = serve(Writer().plain)
    with (
        pybrpc.Channel(str(served.address)) as channel,
        pytest.raises(BadRequestError, match="only HTTP carries"),
    ):
        pybrpc.Stub(SERVICE, channel).Echo(EchoRequest())


def test_a_handler_reads_and_writes_at_once(serve: Serve) -> None:
    async def echo(request: EchoRequest, controller: pybrpc.Controller) -> Any:
        assert controller.http_request is not None
        async for part in controller.http_request.body:
            yield part.upper()

    with HttpPeer(serve(echo, reads=True).address) as peer:
        peer.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            peer.send(b"3\r\nabc\r\n")
            peer.read_until(b"3\r\nABC\r\n")
        peer.send(b"0\r\n\r\n")
        peer.read_until(b"0\r\n\r\n")
        peer.request("POST", ECHO, b"next")
        assert read_response(peer, "POST").body == b"NEXT"
