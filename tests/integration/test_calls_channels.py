"""Connections shared by channels: how long one lives, and which channel closes it."""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    AddressError,
    ChannelClosedError,
    ConnectionFailedError,
    ErrorCode,
    RpcError,
)
from pybrpc.transport.runtime import default_runtime
from tests.peers.callers import FORMS, LOOPS, THREAD_FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import Peer, ScriptedServer, never_answer

every_loop = pytest.mark.parametrize("loop", LOOPS)


def run(loop: str, coroutine: Any) -> Any:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(coroutine)


def answer_when(event: threading.Event) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            event.wait()
            peer.answer(request)

    return script


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:12345:asdf", "127.0.0.1:99999", "127.0.0.1", "", ":1", "ftp://a:1", 8000],
)
@pytest.mark.parametrize("channel_class", [pybrpc.Channel, pybrpc.aio.Channel])
def test_senseless_address_is_refused(channel_class: type, address: object) -> None:
    """bRPC: init_as_single_server."""
    with pytest.raises(AddressError):
        channel_class(address)


def test_making_channels_connects_nothing() -> None:
    with ScriptedServer() as server:
        channels = [pybrpc.Channel(server.address, timeout=30) for _ in range(1000)]
        stubs = [pybrpc.Stub(ECHO, channel) for channel in channels]
        assert channels[0].statistics() is None
        assert stubs[-1].Echo(echo_request("last")).message == "last"
        for channel in channels:
            channel.close()
    assert server.connections == 1


def test_channels_to_one_endpoint_share_one_connection() -> None:
    """bRPC: init_as_single_server, success."""
    with ScriptedServer() as server:
        channels = [pybrpc.Channel(server.address, timeout=30) for _ in range(10)]
        for channel in channels:
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
        assert server.connections == 1
        for channel in channels[:-1]:
            channel.close()
        pybrpc.Stub(ECHO, channels[-1]).Echo(echo_request())
        assert server.connections == 1
        channels[-1].close()
    assert len(server.requests) == 11


@pytest.mark.parametrize(
    "options",
    [{"max_body_size": 1 << 20}, {"options": pybrpc.SocketOptions(send_buffer_bytes=1 << 16)}],
    ids=["max_body_size", "socket options"],
)
def test_channels_with_other_limits_have_their_own_connection(options: dict[str, Any]) -> None:
    with ScriptedServer() as server:
        with (
            pybrpc.Channel(server.address, timeout=30) as one,
            pybrpc.Channel(server.address, timeout=30, **options) as two,
        ):
            for channel in (one, two, one, two):
                pybrpc.Stub(ECHO, channel).Echo(echo_request())
    assert server.connections == 2


def test_last_close_closes_the_connection() -> None:
    has_ended = threading.Event()

    def script(peer: Peer) -> None:
        peer.echo_until_closed()
        has_ended.set()

    with ScriptedServer(script) as server:
        first, second = (
            pybrpc.Channel(server.address, timeout=30),
            pybrpc.Channel(server.address, timeout=30),
        )
        for channel in (first, second):
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
        first.close()
        first.close()
        pybrpc.Stub(ECHO, second).Echo(echo_request())
        assert not has_ended.is_set()
        second.close()
        assert has_ended.wait(30)
        assert len(default_runtime().connections) == 0


def test_collected_channel_closes_the_connection() -> None:
    has_ended = threading.Event()

    def script(peer: Peer) -> None:
        peer.echo_until_closed()
        has_ended.set()

    with ScriptedServer(script) as server:
        channel = pybrpc.Channel(server.address, timeout=30)
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo(echo_request())
        del channel
        stub.Echo(echo_request())
        assert not has_ended.is_set()
        del stub
        gc.collect()
        assert has_ended.wait(30)


@every_loop
def test_collected_aio_channel_closes_the_connection(loop: str) -> None:
    has_ended = threading.Event()

    def script(peer: Peer) -> None:
        peer.echo_until_closed()
        has_ended.set()

    async def main(address: str) -> None:
        await pybrpc.Stub(ECHO, pybrpc.aio.Channel(address, timeout=30)).Echo(echo_request())
        gc.collect()
        in_thread = asyncio.get_running_loop().run_in_executor
        assert await in_thread(None, has_ended.wait, 30)

    with ScriptedServer(script) as server:
        run(loop, main(server.address))


def test_future_outlives_its_channel() -> None:
    """bRPC: destroy_channel. The call still completes, then the connection is closed."""
    may_answer, has_ended = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        answer_when(may_answer)(peer)
        has_ended.set()

    with ScriptedServer(script) as server:
        channel = pybrpc.Channel(server.address, timeout=30)
        future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request("alive"))
        del channel
        gc.collect()
        may_answer.set()
        assert future.result().message == "alive"
        assert has_ended.wait(30)


def test_callback_outlives_its_channel() -> None:
    """bRPC: destroy_channel."""
    ends: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
    may_answer = threading.Event()
    with ScriptedServer(answer_when(may_answer)) as server:
        pybrpc.Stub(ECHO, pybrpc.Channel(server.address, timeout=30)).Echo.with_callback(
            echo_request("alive"), lambda response, error: ends.put((response, error))
        )
        gc.collect()
        may_answer.set()
        response, error = ends.get()
    assert error is None
    assert response.message == "alive"


@every_loop
@pytest.mark.parametrize("share", [False, True], ids=["own", "shared"])
def test_aio_call_outlives_its_channel(loop: str, share: bool) -> None:
    """bRPC: destroy_channel."""
    may_answer = threading.Event()

    async def main(address: str) -> str:
        channel = pybrpc.aio.Channel(address, timeout=30, share_with_threads=share)
        future = pybrpc.Stub(ECHO, channel).Echo(echo_request("alive"))
        del channel
        gc.collect()
        may_answer.set()
        return str((await future).message)

    with ScriptedServer(answer_when(may_answer)) as server:
        assert run(loop, main(server.address)) == "alive"


@pytest.mark.parametrize("form", FORMS)
def test_closed_channel_refuses_calls(form: str) -> None:
    with ScriptedServer() as server, caller(form, server.address) as client:
        client.call(echo_request())
        if form in THREAD_FORMS:
            client.channel.close()
        else:
            client.run(client.channel.close())
        assert client.channel.is_closed
        with pytest.raises(ChannelClosedError, match="make a new channel"):
            client.call(echo_request())


def test_close_ends_the_calls_in_flight() -> None:
    with ScriptedServer(never_answer) as server:
        channel = pybrpc.Channel(server.address, timeout=30)
        futures = [pybrpc.Stub(ECHO, channel).Echo.future(echo_request()) for _ in range(100)]
        channel.close()
        for future in futures:
            with pytest.raises(ConnectionFailedError) as caught:
                future.result()
            assert caught.value.code == ErrorCode.ECLOSE


@every_loop
def test_aio_close_ends_the_calls_in_flight(loop: str) -> None:
    async def main(address: str) -> None:
        channel = pybrpc.aio.Channel(address, timeout=30)
        futures = [pybrpc.Stub(ECHO, channel).Echo(echo_request()) for _ in range(100)]
        await channel.close()
        ends = await asyncio.gather(*futures, return_exceptions=True)
        assert [getattr(end, "code", end) for end in ends] == [ErrorCode.ECLOSE] * 100

    with ScriptedServer(never_answer) as server:
        run(loop, main(server.address))


def test_call_that_begins_while_its_channel_closes_makes_no_connection() -> None:
    """The thread is between taking the connection's place and using it."""
    with ScriptedServer() as server:
        channel = pybrpc.Channel(server.address, timeout=30)
        stub = pybrpc.Stub(ECHO, channel)
        taken = channel.source()
        channel.close()
        channel.source = lambda: taken  # type: ignore[method-assign]
        with pytest.raises(RpcError) as raised:
            stub.Echo(echo_request())
        assert raised.value.code == ErrorCode.ECLOSE
    assert server.connections == 0


@pytest.mark.parametrize("share", [False, True], ids=["own", "shared"])
@every_loop
def test_aio_channel_works_in_several_loops_one_after_another(loop: str, share: bool) -> None:
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def call() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        assert (await stub.Echo(echo_request("hello"))).message == "hello"

    with ScriptedServer() as server:
        channel = pybrpc.aio.Channel(server.address, timeout=30, share_with_threads=share)
        stub = pybrpc.Stub(ECHO, channel)
        for _ in range(20):
            run(loop, call())
        gc.collect()
        assert sum(ref() is not None for ref in loops) <= 2, "closed loops are kept"
        run(loop, channel.close())
    assert server.connections == (1 if share else 20)


@every_loop
def test_aio_channel_of_a_loop_that_is_gone_has_no_open_connection(loop: str) -> None:
    ended: queue.SimpleQueue[None] = queue.SimpleQueue()

    def script(peer: Peer) -> None:
        peer.echo_until_closed()
        ended.put(None)

    async def call() -> None:
        await stub.Echo(echo_request())

    with ScriptedServer(script) as server:
        channel = pybrpc.aio.Channel(server.address, timeout=30)
        stub = pybrpc.Stub(ECHO, channel)
        run(loop, call())
        run(loop, call())
        ended.get(timeout=30)
        run(loop, channel.close())


def test_loops_are_forgotten_with_their_channels() -> None:
    async def call() -> weakref.ref[asyncio.AbstractEventLoop]:
        async with pybrpc.aio.Channel(server.address, timeout=30) as channel:
            await pybrpc.Stub(ECHO, channel).Echo(echo_request())
        return weakref.ref(asyncio.get_running_loop())

    with ScriptedServer() as server:
        loops = [asyncio.run(call()) for _ in range(10)]
        gc.collect()
        assert sum(ref() is not None for ref in loops) <= 1


@every_loop
def test_aio_channel_works_in_several_loops_at_once(loop: str) -> None:
    count = 8
    everybody = threading.Barrier(count)
    failures: list[BaseException] = []

    async def call() -> None:
        everybody.wait()
        responses = await asyncio.gather(*[stub.Echo(echo_request(str(i))) for i in range(50)])
        assert [response.message for response in responses] == [str(i) for i in range(50)]
        everybody.wait()

    def in_thread() -> None:
        try:
            run(loop, call())
        except BaseException as error:
            failures.append(error)
            everybody.abort()

    with ScriptedServer() as server:
        channel = pybrpc.aio.Channel(server.address, timeout=30)
        stub = pybrpc.Stub(ECHO, channel)
        threads = [threading.Thread(target=in_thread) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        run(loop, channel.close())
    assert failures == []
    assert server.connections == count


@every_loop
def test_loop_that_ends_with_calls_in_flight_leaves_nothing(loop: str) -> None:
    async def main() -> None:
        for _ in range(10):
            stub.Echo(echo_request())

    with ScriptedServer(never_answer) as server:
        channel = pybrpc.aio.Channel(server.address, timeout=30)
        stub = pybrpc.Stub(ECHO, channel)
        run(loop, main())
        run(loop, channel.close())


def test_aio_call_outside_a_loop_is_refused() -> None:
    stub = pybrpc.Stub(ECHO, pybrpc.aio.Channel("127.0.0.1:1"))
    with pytest.raises(RuntimeError, match="no running event loop"):
        stub.Echo(echo_request())
