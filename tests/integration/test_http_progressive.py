"""Bodies in parts: a handler reads one while it comes."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import pybrpc
from bench.echo_messages import EchoRequest, EchoResponse
from pybrpc.errors import BadRequestError, ConnectionFailedError
from pybrpc.server.http.body_queue import WINDOW_BYTES
from pybrpc.server.pages_view import PagesView
from tests.fakes.spans import fresh_rpcz
from tests.fakes.threads import wait_until
from tests.peers.access_lines import AccessLines
from tests.peers.http_handlers import ECHO, FOREVER_S, PART, Handler, Serve
from tests.peers.http_peer import HttpPeer, read_response

HEAD = b"POST /EchoService/Echo HTTP/1.1\r\nHost: a\r\n"


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


def test_a_whole_body_of_a_client_that_is_gone_is_not_cut_short(serve: Serve) -> None:
    goes_on = threading.Event()
    seen: list[Any] = []

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        assert controller.http_request is not None
        body = controller.http_request.body
        goes_on.wait(FOREVER_S)
        try:
            seen.append(len(body.read()))
        except BaseException as error:
            seen.append(error)
        return EchoResponse()

    served = serve(echo, reads=True)
    run: Any = served.server._run
    with HttpPeer(served.address) as peer:
        peer.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(PART) + PART)
        wait_until(lambda: any(each.unanswered.size_bytes > len(PART) for each in run.connections))
        peer.reset()
        wait_until(lambda: not run.connections)
    goes_on.set()
    wait_until(lambda: bool(seen))
    assert isinstance(seen[0], ConnectionFailedError), seen


@pytest.mark.parametrize("handler", [count, read_async])
def test_bytes_of_a_body_in_parts_count_as_those_of_the_request(
    serve: Serve, handler: Handler
) -> None:
    """In the access log and in spans; on /ids those that have come so far."""
    lines = AccessLines()
    served = serve(handler, reads=True, access_log=lines.option)
    with fresh_rpcz() as rpcz, HttpPeer(served.address) as peer:
        peer.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n")
        run = served.server._run
        assert run is not None
        wait_until(lambda: [call.request_bytes for call in PagesView(run).calls(9)] == [4])
        peer.send(b"2\r\nef\r\n0\r\n\r\n")
        assert read_response(peer, "POST").body == b'{"message":"6"}'
        peer.request("POST", ECHO, b"")
        assert read_response(peer, "POST").body == b'{"message":"0"}'
        assert lines.wait(2, "request_bytes", "code") == [(6, 0), (0, 0)]
        wait_until(lambda: len(rpcz.store.newest()) == 2)
        assert sorted(span.request_size for span in rpcz.store.newest()) == [0, 6]
    wait_until(served.is_idle)
