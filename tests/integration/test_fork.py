"""Forked children make connections of their own and leave the parent's alone."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

import pybrpc
from tests.peers.echo import ECHO, echo_request
from tests.peers.forking import exit_code_of, fork
from tests.peers.scripted_server import ScriptedServer, never_answer

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


class Calling:
    """Threads that call and call until told to stop."""

    def __init__(self, stub: Any, count: int) -> None:
        self.errors: list[BaseException] = []
        self.calls = 0
        self._stub = stub
        self._is_over = False
        self._running = threading.Barrier(count + 1)
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]

    def __enter__(self) -> Calling:
        for thread in self._threads:
            thread.start()
        self._running.wait()
        return self

    def __exit__(self, *args: object) -> None:
        self._is_over = True
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        try:
            self._stub.Echo(echo_request("first"))
            self._running.wait()
            while not self._is_over:
                assert self._stub.Echo(echo_request("on")).message == "on"
                self.calls += 1
        except BaseException as error:
            self.errors.append(error)
            self._running.abort()


def test_fork_in_the_middle_of_calls_from_other_threads() -> None:
    def child() -> None:
        for i in range(10):
            assert stub.Echo(echo_request(str(i))).message == str(i)

    children = 10
    with ScriptedServer() as server:
        with pybrpc.Channel(server.address, timeout=30, max_retry=0) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            with Calling(stub, 4) as calling:
                codes = [exit_code_of(fork(child)) for _ in range(children)]
                after = calling.calls
                assert stub.Echo(echo_request("here")).message == "here"
            assert codes == [0] * children
            assert calling.errors == []
            assert calling.calls >= after
    assert server.connections == 1 + children


def test_multiprocessing_fork_in_the_middle_of_calls() -> None:
    context = multiprocessing.get_context("fork")

    def child(results: Any) -> None:
        results.put([stub.Echo(echo_request(str(i))).message for i in range(10)])

    with ScriptedServer() as server:
        with pybrpc.Channel(server.address, timeout=30, max_retry=0) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            with Calling(stub, 2) as calling:
                results = context.SimpleQueue()
                process = context.Process(target=child, args=(results,))
                process.start()
                assert results.get() == [str(i) for i in range(10)]
                process.join()
                results.close()
            assert process.exitcode == 0
            process.close()
            assert calling.errors == []
    assert server.connections == 2


def test_call_in_flight_is_answered_in_the_parent() -> None:
    may_answer = threading.Event()

    def script(peer: Any) -> None:
        request = peer.expect_request()
        has_arrived.set()
        may_answer.wait()
        peer.answer(request)
        peer.echo_until_closed()

    def echo(peer: Any) -> None:
        peer.echo_until_closed()

    def child() -> None:
        assert stub.Echo(echo_request("child")).message == "child"

    has_arrived = threading.Event()
    with ScriptedServer(script, echo) as server:
        with pybrpc.Channel(server.address, timeout=30, max_retry=0) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            future = stub.Echo.future(echo_request("parent"))
            has_arrived.wait()
            assert exit_code_of(fork(child)) == 0
            may_answer.set()
            assert future.result().message == "parent"
    assert server.connections == 2


def close_channel(channel: pybrpc.Channel) -> None:
    channel.close()


def do_nothing(channel: pybrpc.Channel) -> None:
    pass


def call_and_close(channel: pybrpc.Channel) -> None:
    pybrpc.Stub(ECHO, channel).Echo(echo_request())
    channel.close()


def call_another_channel(channel: pybrpc.Channel) -> None:
    with pybrpc.Channel(channel.endpoint, timeout=30) as other:
        pybrpc.Stub(ECHO, other).Echo(echo_request())


def share_with_another_channel(channel: pybrpc.Channel) -> None:
    pybrpc.Stub(ECHO, channel).Echo(echo_request())
    call_another_channel(channel)


def call_in_grandchild(channel: pybrpc.Channel) -> None:
    stub = pybrpc.Stub(ECHO, channel)
    stub.Echo(echo_request())
    assert exit_code_of(fork(lambda: stub.Echo(echo_request()))) == 0
    stub.Echo(echo_request())


def call_in_threads(channel: pybrpc.Channel) -> None:
    stub = pybrpc.Stub(ECHO, channel)
    with Calling(stub, 4) as calling:
        stub.Echo(echo_request())
    assert calling.errors == []


@pytest.mark.parametrize(
    ("work", "connections_of_children"),
    [
        (do_nothing, 0),
        (close_channel, 0),
        (call_and_close, 1),
        (call_another_channel, 1),
        (share_with_another_channel, 1),
        (call_in_grandchild, 2),
        (call_in_threads, 1),
    ],
)
def test_parent_keeps_its_connection_whatever_a_forked_child_does(
    work: Callable[[pybrpc.Channel], None], connections_of_children: int
) -> None:
    with ScriptedServer() as server:
        with pybrpc.Channel(server.address, timeout=30, max_retry=0) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            stub.Echo(echo_request("before"))
            assert exit_code_of(fork(lambda: work(channel))) == 0
            assert stub.Echo(echo_request("after")).message == "after"
            (connection,) = channel.source().connections
            assert connection.socket.statistics().messages_written == 2
    assert server.connections == 1 + connections_of_children


def test_child_that_exits_as_python_does_leaves_the_parent_its_connection() -> None:
    """With atexit functions and destructors, not by os._exit."""
    context = multiprocessing.get_context("fork")
    with ScriptedServer() as server:
        with pybrpc.Channel(server.address, timeout=30, max_retry=0) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            stub.Echo(echo_request("before"))
            process = context.Process(target=stub.Echo, args=(echo_request("child"),))
            process.start()
            process.join()
            assert process.exitcode == 0
            process.close()
            assert stub.Echo(echo_request("after")).message == "after"
    assert server.connections == 2


def test_child_of_a_channel_that_was_never_used() -> None:
    with ScriptedServer() as server:
        with pybrpc.Channel(server.address, timeout=30) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            assert exit_code_of(fork(lambda: stub.Echo(echo_request()))) == 0
            assert channel.statistics() is None
            stub.Echo(echo_request())
    assert server.connections == 2


def test_child_forgets_the_calls_of_its_parent() -> None:
    def child() -> None:
        assert not future.done()
        other = pybrpc.Channel(server.address, timeout=0.05)
        with pytest.raises(pybrpc.errors.RpcTimeoutError):
            pybrpc.Stub(ECHO, other).Echo(echo_request())
        other.close()
        assert not future.done()

    with ScriptedServer(never_answer) as server:
        with pybrpc.Channel(server.address, timeout=30) as channel:
            future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request())
            assert exit_code_of(fork(child)) == 0
            assert future.cancel()


def test_fork_inside_a_callback() -> None:
    """On the dispatcher thread, which in the child is an ordinary one."""
    pids: queue.SimpleQueue[int] = queue.SimpleQueue()

    def child() -> None:
        assert stub.Echo(echo_request("child")).message == "child"

    with ScriptedServer() as server:
        with pybrpc.Channel(server.address, timeout=30) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            stub.Echo.with_callback(echo_request(), lambda *_: pids.put(fork(child)))
            assert exit_code_of(pids.get()) == 0
            assert stub.Echo(echo_request("after")).message == "after"
    assert server.connections == 2


def test_aio_channel_works_in_parent_and_child() -> None:
    async def call(message: str) -> None:
        assert (await stub.Echo(echo_request(message))).message == message

    async def call_around_a_fork() -> None:
        await call("before")
        pid = fork(lambda: asyncio.run(call("child")))
        assert await asyncio.to_thread(exit_code_of, pid) == 0
        await call("after")
        await channel.close()

    with ScriptedServer() as server:
        channel = pybrpc.aio.Channel(server.address, timeout=30, max_retry=0)
        stub = pybrpc.Stub(ECHO, channel)
        asyncio.run(call_around_a_fork())
    assert server.connections == 2
