"""Many threads and tasks over one connection."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import RpcTimeoutError, WouldDeadlockError
from tests.fakes.threads import wait_until
from tests.peers.callers import LOOPS, THREAD_FORMS, caller
from tests.peers.echo import ECHO, echo_frame, echo_request
from tests.peers.scripted_server import Peer, ScriptedServer, never_answer


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run `work(index)` in `count` threads that start together; raise what one of them raised."""
    together = threading.Barrier(count)

    def run(index: int) -> None:
        together.wait()
        work(index)

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(run, index) for index in range(count)]:
            future.result()


@pytest.mark.parametrize("form", THREAD_FORMS)
def test_64_threads_share_one_connection(form: str) -> None:
    def work(index: int) -> None:
        for i in range(20):
            message = f"{index}/{i}"
            controller = pybrpc.Controller(log_id=index)
            controller.request_attachment.append(message.encode())
            response = client.call(echo_request(message), controller=controller)
            assert response.message == message
            assert controller.response_attachment == message.encode()

    with ScriptedServer() as server, caller(form, server.address) as client:
        in_threads(64, work)
        assert client.statistics().in_flight == 0
    assert server.connections == 1
    assert len(server.requests) == 64 * 20


def test_multiple_threads_multiple_channels() -> None:
    """bRPC: multiple_threads_multiple_channels, scaled."""

    def work(index: int) -> None:
        for i in range(200):
            with pybrpc.Channel(server.address, timeout=30) as channel:
                response = pybrpc.Stub(ECHO, channel).Echo(echo_request(f"{index}/{i}"))
            assert response.message == f"{index}/{i}"

    with ScriptedServer() as server:
        in_threads(10, work)
    assert len(server.requests) == 2000


def test_multiple_threads_single_channel() -> None:
    """bRPC: multiple_threads_single_channel, scaled."""

    def work(index: int) -> None:
        for i in range(1000):
            assert stub.Echo(echo_request(f"{index}/{i}")).message == f"{index}/{i}"

    with ScriptedServer() as server, pybrpc.Channel(server.address, timeout=30) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        in_threads(10, work)
    assert server.connections == 1


@pytest.mark.parametrize("loop", LOOPS)
def test_threads_and_tasks_share_one_connection(loop: str) -> None:
    def blocking(index: int) -> None:
        for i in range(50):
            assert stub.Echo(echo_request(f"{index}/{i}")).message == f"{index}/{i}"

    async def main() -> None:
        async with pybrpc.aio.Channel(
            server.address, timeout=30, share_with_threads=True
        ) as aio_channel:
            aio_stub = pybrpc.Stub(ECHO, aio_channel)

            async def call(index: int) -> None:
                for i in range(50):
                    message = f"task {index}/{i}"
                    assert (await aio_stub.Echo(echo_request(message))).message == message

            async with asyncio.TaskGroup() as group:
                threads = asyncio.to_thread(in_threads, 8, blocking)
                group.create_task(threads)
                for index in range(50):
                    group.create_task(call(index))

    with ScriptedServer() as server, pybrpc.Channel(server.address, timeout=30) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(main())
    assert server.connections == 1
    assert len(server.requests) == 8 * 50 + 50 * 50


def test_broken_connection_reaches_every_thread() -> None:
    """All wait on one connection that breaks; all are answered over the next one."""
    count = 16

    def break_when_all_are_here(peer: Peer) -> None:
        for _ in range(count):
            peer.expect_request()

    def work(index: int) -> None:
        controller = pybrpc.Controller()
        response = stub.Echo(echo_request(str(index)), controller=controller)
        assert (response.message, controller.retried_count) == (str(index), 1)

    def echo(peer: Peer) -> None:
        peer.echo_until_closed()

    with ScriptedServer(break_when_all_are_here, echo) as server:
        with pybrpc.Channel(server.address, timeout=30) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            in_threads(count, work)
    assert server.connections == 2


def test_blocking_call_inside_a_callback_is_refused() -> None:
    ends: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def done(response: Any, error: Any) -> None:
        try:
            stub.Echo(echo_request())
        except BaseException as refused:
            ends.put(refused)
        else:
            ends.put(None)

    with ScriptedServer() as server, pybrpc.Channel(server.address, timeout=30) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo.with_callback(echo_request(), done)
        refused = ends.get()
        assert isinstance(refused, WouldDeadlockError)
        assert "use .future or .with_callback there" in str(refused)
        assert stub.Echo(echo_request("next")).message == "next"


def test_callback_starts_the_next_call() -> None:
    """A chain, each call started by the end of the one before."""
    ends: queue.SimpleQueue[Any] = queue.SimpleQueue()
    length = 2000

    def done(response: Any, error: Any) -> None:
        if error is not None or response.message == str(length):
            ends.put(error)
        else:
            stub.Echo.with_callback(echo_request(str(int(response.message) + 1)), done)

    with ScriptedServer() as server, pybrpc.Channel(server.address, timeout=30) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo.with_callback(echo_request("1"), done)
        assert ends.get() is None
    assert len(server.requests) == length


@pytest.mark.parametrize("kind", [ZeroDivisionError, SystemExit])
def test_callback_that_raises_is_logged_and_harms_nobody(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def done(response: Any, error: Any) -> None:
        raise kind

    with ScriptedServer() as server, pybrpc.Channel(server.address, timeout=30) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo.with_callback(echo_request(), done)
        assert stub.Echo(echo_request("next")).message == "next"
        wait_until(lambda: bool(caplog.records))
    (record,) = caplog.records
    assert record.getMessage() == "the callback of a call of conformance.EchoService.Echo raised"
    assert record.exc_info is not None
    assert record.exc_info[0] is kind


@pytest.mark.parametrize("kind", [ZeroDivisionError, SystemExit])
def test_callback_that_raises_keeps_no_other_call_from_its_timeout(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def done(response: Any, error: Any) -> None:
        raise kind

    with ScriptedServer(never_answer) as server, pybrpc.Channel(server.address) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo.with_callback(echo_request(), done, timeout=0.02)
        stub.Echo.future(echo_request(), timeout=0.02).add_done_callback(lambda _: done(0, 0))
        futures = [stub.Echo.future(echo_request(), timeout=0.02) for _ in range(5)]
        for future in futures:
            with pytest.raises(RpcTimeoutError):
                future.result()
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [kind, kind]


@pytest.mark.parametrize("kind", [ZeroDivisionError, SystemExit])
def test_callback_that_raises_keeps_no_other_call_from_its_answer(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """All answers come in one read."""

    def script(peer: Peer) -> None:
        requests = [peer.expect_request() for _ in range(6)]
        peer.send(b"".join(map(echo_frame, requests)))
        peer.wait_closed()

    def done(response: Any, error: Any) -> None:
        raise kind

    with ScriptedServer(script) as server, pybrpc.Channel(server.address, timeout=30) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo.with_callback(echo_request(), done)
        stub.Echo.future(echo_request()).add_done_callback(lambda _: done(0, 0))
        futures = [stub.Echo.future(echo_request(str(i))) for i in range(4)]
        assert [future.result().message for future in futures] == ["0", "1", "2", "3"]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [kind, kind]


def test_done_callback_of_a_future_starts_the_next_call() -> None:
    second: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with ScriptedServer() as server, pybrpc.Channel(server.address, timeout=30) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        first = stub.Echo.future(echo_request("first"))
        first.add_done_callback(lambda _: second.put(stub.Echo.future(echo_request("second"))))
        assert second.get().result().message == "second"


def test_callback_is_told_of_a_timeout_once() -> None:
    ends: list[Any] = []
    over = threading.Event()

    def done(response: Any, error: Any) -> None:
        ends.append(error)
        over.set()

    with ScriptedServer(never_answer) as server, pybrpc.Channel(server.address) as channel:
        pybrpc.Stub(ECHO, channel).Echo.with_callback(echo_request(), done, timeout=0.02)
        over.wait()
    (error,) = ends
    assert isinstance(error, RpcTimeoutError)


def test_controller_is_filled_before_the_callback() -> None:
    ends: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    controller = pybrpc.Controller()
    controller.request_attachment.append(b"attached")
    with ScriptedServer() as server, pybrpc.Channel(server.address, timeout=30) as channel:
        pybrpc.Stub(ECHO, channel).Echo.with_callback(
            echo_request(),
            lambda response, error: ends.put(bytes(controller.response_attachment)),
            controller=controller,
        )
        assert ends.get() == b"attached"


@pytest.mark.parametrize("form", THREAD_FORMS)
def test_controller_serves_one_call_after_another(form: str) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.expect_request(), error_code=2001, error_text="no", body=b"")
        peer.echo_until_closed()

    controller = pybrpc.Controller(log_id=7, request_id="seven")
    with ScriptedServer(script) as server, caller(form, server.address) as client:
        with pytest.raises(pybrpc.RpcError):
            client.call(echo_request(), controller=controller)
        assert controller.failed
        client.call(echo_request(), controller=controller)
    assert not controller.failed
    assert controller.error_text == ""
    assert [(r.log_id, r.request_id) for r in server.requests] == [(7, "seven")] * 2
