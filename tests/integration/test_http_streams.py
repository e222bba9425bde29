"""Bodies of responses that are read as they come.

bRPC's cases are in test/brpc_http_rpc_protocol_unittest.cpp, read_*_body_progressively and
progressive_read_timeout_*. There a reader is called with each part; here the user asks for it.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import pybrpc
from pybrpc.client.connections.http_body import MAX_UNREAD_BYTES
from pybrpc.errors import (
    BadResponseError,
    ConnectionFailedError,
    ErrorCode,
    RpcCanceledError,
    RpcError,
    RpcTimeoutError,
)
from tests.fakes.threads import wait_until
from tests.peers.http_scripts import HttpPeer, answer, answering, http_script, http_server, saying
from tests.peers.scripted_server import ScriptedServer

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def channel(address: str, **options: Any) -> pybrpc.Channel:
    return pybrpc.Channel(address, protocol="http", timeout=30, **options)


class Steps:
    """A server that sends a part each time when it is told to."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts
        self._next = threading.Semaphore(0)
        self.sent = 0

    def serve(self, peer: HttpPeer) -> None:
        peer.read()
        peer.send(HEAD)
        for part in self._parts:
            self._next.acquire()
            peer.send(part)
            self.sent += 1
        peer.peer.wait_closed()

    def go_on(self) -> None:
        self._next.release()


def serving(serve: Callable[[HttpPeer], object], *later: Any) -> ScriptedServer:
    return http_server(http_script(serve), *later)


def test_parts_come_while_the_server_still_sends() -> None:
    """bRPC's read_long_body_progressively, with an end."""
    steps = Steps(chunk(b"one"), chunk(b"two"), LAST)
    with serving(steps.serve) as server, channel(server.address) as each:
        with each.http("GET", "/", stream=True) as response:
            assert (response.status, response.reason) == (200, "OK")
            assert response.headers["transfer-encoding"] == "chunked"
            seen = []
            steps.go_on()
            for part in response.body:
                seen.append(part)
                steps.go_on()
            assert seen == [b"one", b"two"]
            assert response.body.is_over
            assert list(response.body) == []
        assert "over" in repr(response)


def test_parts_come_to_a_task() -> None:
    async def run(address: str, steps: Steps, share_with_threads: bool) -> list[bytes]:
        async with pybrpc.aio.Channel(
            address, protocol="http", timeout=30, share_with_threads=share_with_threads
        ) as each:
            async with each.http("GET", "/", stream=True) as response:
                steps.go_on()
                seen = []
                async for part in response.body:
                    seen.append(part)
                    steps.go_on()
                return seen

    for share_with_threads in (False, True):
        steps = Steps(chunk(b"one"), chunk(b"two"), LAST)
        with serving(steps.serve) as server:
            assert asyncio.run(run(server.address, steps, share_with_threads)) == [b"one", b"two"]


def test_short_body_is_read_whole_and_its_connection_used_again() -> None:
    """bRPC's read_short_body_progressively."""
    said = HEAD + chunk(b"a") + chunk(b"b") + b"0\r\nT: t\r\n\r\n"
    with http_server(saying(said, answer(b"next"))) as server, channel(server.address) as each:
        with each.http("GET", "/", stream=True) as response:
            assert response.body.read() == b"ab"
            assert response.body.trailers is not None
            assert response.body.trailers["t"] == "t"
        assert each.http("GET", "/").body == b"next"
        assert server.connections == 1


def test_connection_serves_no_other_call_until_the_body_is_read() -> None:
    said = HEAD + chunk(b"a") + LAST
    with http_server(saying(said), saying(answer(b"next"))) as server:
        with channel(server.address) as each, each.http("GET", "/", stream=True) as response:
            assert each.http("GET", "/").body == b"next"
            assert response.body.read() == b"a"
        assert server.connections == 2


def test_body_that_is_not_read_closes_its_connection() -> None:
    """bRPC's skip_progressive_reading."""
    closed = threading.Event()

    def serve(peer: HttpPeer) -> None:
        peer.read()
        peer.send(HEAD + chunk(b"a"))
        peer.peer.wait_closed()
        closed.set()

    with serving(serve) as server, channel(server.address) as each:
        with each.http("GET", "/", stream=True) as response:
            pass
        assert closed.wait(30)
        with pytest.raises(RpcCanceledError, match="closed before its end"):
            next(response.body)


def test_body_that_nobody_keeps_closes_its_connection() -> None:
    """bRPC's read_progressively_after_cntl_destroys has no like here: the body is lost."""
    closed = threading.Event()

    def serve(peer: HttpPeer) -> None:
        peer.read()
        peer.send(HEAD + chunk(b"a"))
        peer.peer.wait_closed()
        closed.set()

    with serving(serve) as server, channel(server.address) as each:
        each.http("GET", "/", stream=True).__enter__()
        gc.collect()
        assert closed.wait(30)


@pytest.mark.parametrize("cut", [b"", chunk(b"a"), b"5\r\nab"])
def test_body_that_breaks_gives_what_came_and_then_the_error(cut: bytes) -> None:
    """bRPC's broken_socket_stops_progressive_reading."""
    with http_server(saying(HEAD + cut, keeps_open=False)) as server:
        with channel(server.address) as each, each.http("GET", "/", stream=True) as response:
            seen = []
            with pytest.raises(ConnectionFailedError) as raised:
                seen.extend(response.body)
            assert raised.value.code == ErrorCode.EEOF
            assert b"".join(seen) == {b"": b"", b"5\r\nab": b"ab"}.get(cut, b"a")
            with pytest.raises(ConnectionFailedError):
                next(response.body)


def test_body_that_makes_no_sense_is_an_error() -> None:
    with http_server(saying(HEAD + b"x\r\n")) as server, channel(server.address) as each:
        with each.http("GET", "/", stream=True) as response, pytest.raises(RpcError) as raised:
            response.body.read()
    assert raised.value.code == ErrorCode.EINVAL


def test_body_until_the_end_of_the_connection() -> None:
    said = b"HTTP/1.1 200 OK\r\n\r\nall of it"
    with http_server(saying(said, keeps_open=False)) as server, channel(server.address) as each:
        with each.http("GET", "/", stream=True) as response:
            assert response.body.read() == b"all of it"


def test_status_is_no_error_and_the_body_is_there() -> None:
    with http_server(saying(answer(b"why", "500 Broken"))) as server:
        with channel(server.address) as each, each.http("GET", "/", stream=True) as response:
            assert (response.status, response.body.read()) == (500, b"why")


def test_head_has_no_body() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
    with http_server(saying(head, answer(b"x"))) as server, channel(server.address) as each:
        with each.http("HEAD", "/", stream=True) as response:
            assert response.body.read() == b""
        assert each.http("GET", "/").body == b"x"


# --- progressive_read_timeout ---


@pytest.mark.parametrize("sent", [b"", chunk(b"a")])
def test_progressive_read_timeout_ends_a_silent_body(sent: bytes) -> None:
    """bRPC's progressive_read_timeout_closes_an_idle_one and ..._before_first_part."""
    with http_server(saying(HEAD + sent), answering(lambda _: answer(b"next"))) as server:
        with channel(server.address) as each:
            with each.http("GET", "/", stream=True, progressive_read_timeout=0.05) as response:
                for _ in range(2):
                    with pytest.raises(RpcTimeoutError) as raised:
                        response.body.read()
                    assert raised.value.code == ErrorCode.EPROGREADTIMEOUT
            assert each.http("GET", "/").body == b"next"
        assert server.connections == 2


def test_progressive_read_timeout_of_a_task() -> None:
    async def run(address: str) -> None:
        async with pybrpc.aio.Channel(address, protocol="http", timeout=30) as each:
            async with each.http(
                "GET", "/", stream=True, progressive_read_timeout=0.05
            ) as response:
                assert await anext(response.body) == b"a"
                with pytest.raises(RpcTimeoutError, match="no part of the body has come"):
                    await response.body.read()

    with http_server(saying(HEAD + chunk(b"a"))) as server:
        asyncio.run(run(server.address))


def test_a_slow_reader_is_not_timed_out() -> None:
    """bRPC's progressive_read_timeout_slow_callback: only waiting for a part counts."""
    steps = Steps(chunk(b"a"), chunk(b"b"), LAST)
    with serving(steps.serve) as server, channel(server.address) as each:
        with each.http("GET", "/", stream=True, progressive_read_timeout=5) as response:
            for _ in range(3):
                steps.go_on()
            wait_until(lambda: steps.sent == 3)
            time.sleep(0.01)
            assert response.body.read() == b"ab"


# --- limits ---


def test_reading_pauses_while_much_is_unread() -> None:
    sent: list[int] = []

    def serve(peer: HttpPeer) -> None:
        peer.read()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        peer.peer.sock.setblocking(True)
        for _ in range(500):
            peer.send(bytes(100_000))
            sent.append(100_000)

    with serving(serve) as server, channel(server.address) as each:
        with each.http("GET", "/", stream=True) as response:
            first = next(response.body)
            stands_still(sent)
            assert sum(sent) < 40_000_000, "the kernel's buffers, and not much more"
            core = response.body._core
            unread = sum(len(part) for part in list(core._parts))
            assert unread < MAX_UNREAD_BYTES + 1_000_000
            total = sum(len(part) for part in response.body)
            assert len(first) + total == 50_000_000
            assert len(sent) == 500


def stands_still(sent: list[int]) -> None:
    """Wait until the server sends no more."""
    before = -1
    while before != len(sent):
        before = len(sent)
        time.sleep(0.1)


def test_read_is_bounded_by_max_body_size() -> None:
    said = answer(bytes(2000))
    with http_server(saying(said)) as server, channel(server.address, max_body_size=1000) as each:
        with each.http("GET", "/", stream=True) as response:
            with pytest.raises(BadResponseError, match="longer than max_body_size=1000"):
                response.body.read()


def test_call_is_made_once() -> None:
    with http_server(saying(answer(b"x"))) as server, channel(server.address) as each:
        call = each.http("GET", "/", stream=True)
        assert "not begun" in repr(call)
        with call as response:
            assert response.body.read() == b"x"
        with pytest.raises(RuntimeError, match="opened before"):
            call.__enter__()


def test_upload_and_body_at_once() -> None:
    def mirror(peer: HttpPeer) -> None:
        request = peer.read()
        assert request is not None
        peer.send(HEAD + chunk(request.body) + LAST)

    with serving(mirror) as server, channel(server.address) as each:
        with each.http("POST", "/", body=iter([b"a", b"b"]), stream=True) as response:
            assert response.body.read() == b"ab"


def test_timeout_of_the_call_is_until_the_head() -> None:
    steps = Steps(chunk(b"a"), LAST)
    with serving(steps.serve) as server, channel(server.address) as each:
        with each.http("GET", "/", stream=True, timeout=1.0) as response:
            time.sleep(1.05)
            steps.go_on()
            steps.go_on()
            assert response.body.read() == b"a"
    with http_server(saying(b"")) as server, channel(server.address) as each:
        with pytest.raises(RpcTimeoutError):
            each.http("GET", "/", stream=True, timeout=0.05).__enter__()


def test_canceled_task_loses_no_connection() -> None:
    closed = threading.Event()

    def serve(peer: HttpPeer) -> None:
        peer.read()
        peer.send(HEAD + chunk(b"a"))
        peer.peer.wait_closed()
        closed.set()

    async def run(address: str) -> None:
        async with pybrpc.aio.Channel(address, protocol="http", timeout=30) as each:

            async def read() -> None:
                async with each.http("GET", "/", stream=True) as response:
                    await response.body.read()

            task = asyncio.create_task(read())
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with serving(serve) as server:
        asyncio.run(run(server.address))
        assert closed.wait(30)


def test_closing_the_channel_ends_a_body() -> None:
    with http_server(saying(HEAD)) as server:
        each = channel(server.address)
        with each.http("GET", "/", stream=True) as response:
            each.close()
            with pytest.raises(ConnectionFailedError):
                response.body.read()


def test_reading_inside_a_callback_is_refused() -> None:
    seen: list[BaseException] = []
    done = threading.Event()

    def serve(peer: HttpPeer) -> None:
        peer.read()
        peer.send(HEAD)
        peer.peer.wait_closed()

    with serving(serve, saying(answer(b"{}", content_type="application/json"))) as server:
        with channel(server.address) as each, each.http("GET", "/", stream=True) as response:

            def on_done(_: Any, error: Any) -> None:
                try:
                    response.body.read()
                except BaseException as raised:
                    seen.append(raised)
                done.set()

            raw: Any = each.raw_method("a.B", "C")
            raw.with_callback(b"", on_done)
            assert done.wait(30)
    assert isinstance(seen[0], pybrpc.errors.WouldDeadlockError)


def test_asynchronous_parts_that_do_not_come_outlive_no_call() -> None:
    ended = threading.Event()
    errors: list[type[BaseException]] = []

    async def parts() -> AsyncIterator[bytes]:
        yield b"a"
        try:
            await asyncio.sleep(60)
        except BaseException as error:
            errors.append(type(error))
            raise

    def silent(peer: HttpPeer) -> None:
        peer.read_head()
        ended.wait(30)

    def early(peer: HttpPeer) -> None:
        peer.read_head()
        peer.send(answer(b"enough"))
        ended.wait(30)

    async def run(address: str) -> bytes:
        async with pybrpc.aio.Channel(address, protocol="http") as each:
            response = await asyncio.wait_for(each.http("POST", "/", body=parts(), timeout=0.2), 20)
            return response.body

    with serving(silent) as server:
        with pytest.raises(RpcTimeoutError):
            asyncio.run(run(server.address))
        ended.set()
    ended.clear()
    with serving(early) as server:
        try:
            assert asyncio.run(run(server.address)) == b"enough"
        finally:
            ended.set()
    assert errors == [asyncio.CancelledError] * 2


def test_error_of_asynchronous_parts_is_that_of_the_call() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.sleep(0)
        raise LookupError("no more parts")

    async def run(address: str) -> None:
        async with pybrpc.aio.Channel(address, protocol="http", timeout=30) as each:
            with pytest.raises(LookupError, match="no more parts"):
                await each.http("POST", "/", body=parts())

    with serving(lambda peer: peer.read()) as server:
        asyncio.run(run(server.address))
