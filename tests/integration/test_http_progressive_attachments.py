"""Bodies in parts: a handler writes one, also after it has returned."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest, EchoResponse
from pybrpc.errors import BadRequestError, ConnectionFailedError, OvercrowdedError, RpcCanceledError
from pybrpc.server.http.progressive import MAX_EARLY_BYTES
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.http_handlers import ECHO, PART, Serve
from tests.peers.http_peer import HttpPeer


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


def test_a_handler_that_waits_for_its_writer_ends_when_the_client_is_gone(serve: Serve) -> None:
    """Nobody makes room for the writer before the handler has returned."""
    writer = Writer(*[PART] * (MAX_EARLY_BYTES // len(PART) + 1))
    joined: list[bool] = []

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        writer.begin(controller)
        thread = threading.Thread(target=writer.write)
        thread.start()
        thread.join(WAIT_S)
        joined.append(not thread.is_alive())
        return EchoResponse()

    served = serve(echo)
    with HttpPeer(served.address) as peer:
        peer.request("POST", ECHO, b"{}")
        wait_until(lambda: writer.written == MAX_EARLY_BYTES // len(PART))
        assert served.server.statistics().running == 1
    wait_until(lambda: served.server.statistics().running == 0)
    assert joined == [True]
    assert [type(error) for error in writer.errors] == [RpcCanceledError]
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


def test_a_response_that_was_made_gets_no_attachment(serve: Serve) -> None:
    kept: list[pybrpc.Controller] = []

    def keep(request: EchoRequest, controller: pybrpc.Controller) -> EchoResponse:
        kept.append(controller)
        return EchoResponse(message="hi")

    served = serve(keep)
    assert served.call().body == b'{"message":"hi"}'
    with pytest.raises(RuntimeError, match="was made already"):
        kept[0].create_progressive_attachment()
