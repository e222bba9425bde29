"""Handlers that are generators, called by HTTP: clients that are slow or go away, and stops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import pybrpc
from bench.echo_messages import EchoRequest
from pybrpc.server.http.response_stream import WINDOW_BYTES
from tests.fakes.threads import wait_until
from tests.peers.http_handlers import ECHO, FOREVER_S, PART, Serve
from tests.peers.http_peer import HttpPeer


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
