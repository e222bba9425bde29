"""Cancelling a call, at every stage of it, and what it leaves: nothing."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import RpcCanceledError
from tests.peers.callers import LOOPS
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import Peer, ScriptedServer, deaf_port, echo, never_answer

every_loop = pytest.mark.parametrize("loop", LOOPS)
shared_or_not = pytest.mark.parametrize("share", [False, True], ids=["own", "shared"])


def run(loop: str, coroutine: Any) -> Any:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(coroutine)


def late_answer_then_echo(may_answer: threading.Event) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        request = peer.expect_request()
        may_answer.wait()
        peer.answer(request)
        peer.echo_until_closed()

    return script


def test_future_canceled_while_waiting() -> None:
    """bRPC: cancel_during_callmethod."""
    is_canceled = threading.Event()
    controller = pybrpc.Controller()
    ends: list[object] = []
    script = late_answer_then_echo(is_canceled)
    with ScriptedServer(script) as server, pybrpc.Channel(server.address, timeout=30) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        future = stub.Echo.future(echo_request(), controller=controller)
        future.add_done_callback(ends.append)
        assert future.cancel()
        assert future.cancelled()
        with pytest.raises(concurrent.futures.CancelledError):
            future.result()
        assert channel.statistics().in_flight == 0  # type: ignore[union-attr]
        is_canceled.set()
        assert stub.Echo(echo_request("next")).message == "next"
    assert ends == [future]
    assert controller.error_code == pybrpc.ErrorCode.ECANCELED
    assert "Canceled by the caller" in controller.error_text
    assert concurrent.futures.wait([future], timeout=0).done == {future}


def test_late_answer_to_a_canceled_call_is_counted() -> None:
    is_canceled = threading.Event()
    has_arrived = threading.Event()

    def script(peer: Peer) -> None:
        request = peer.expect_request()
        has_arrived.set()
        is_canceled.wait()
        peer.answer(request)
        peer.echo_until_closed()

    with ScriptedServer(script) as server, pybrpc.Channel(server.address, timeout=30) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        future = stub.Echo.future(echo_request())
        has_arrived.wait()
        future.cancel()
        is_canceled.set()
        stub.Echo(echo_request("next"))
        assert channel.statistics().late_answers == 1  # type: ignore[union-attr]


def test_future_canceled_after_its_end_stays_as_it_is() -> None:
    """bRPC: cancel_after_callmethod."""
    with ScriptedServer() as server, pybrpc.Channel(server.address, timeout=30) as channel:
        future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request("done"))
        assert future.result().message == "done"
        assert not future.cancel()
        assert not future.cancelled()
        assert future.result().message == "done"


def test_future_canceled_twice() -> None:
    with ScriptedServer(never_answer) as server:
        with pybrpc.Channel(server.address, timeout=30) as channel:
            future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request())
            assert future.cancel()
            assert future.cancel()


def test_future_canceled_while_connecting() -> None:
    with deaf_port() as address, pybrpc.Channel(address, timeout=30) as channel:
        future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request())
        assert future.cancel()
        assert future.cancelled()
        assert channel.statistics().in_flight == 0  # type: ignore[union-attr]


def test_remote_cancellation_error_is_an_error() -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.expect_request(), error_code=125, error_text="canceled there", body=b"")
        peer.wait_closed()

    with ScriptedServer(script) as server, pybrpc.Channel(server.address, timeout=30) as channel:
        future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request())
        with pytest.raises(RpcCanceledError, match="canceled there"):
            future.result()
        assert not future.cancelled()


@every_loop
@shared_or_not
def test_task_canceled_while_waiting(loop: str, share: bool) -> None:
    async def main() -> None:
        async with pybrpc.aio.Channel(address, timeout=30, share_with_threads=share) as channel:
            stub = pybrpc.Stub(ECHO, channel)

            async def call() -> None:
                await stub.Echo(echo_request())

            task = asyncio.create_task(call())
            await asyncio.get_running_loop().run_in_executor(None, has_arrived.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert channel.statistics().in_flight == 0  # type: ignore[union-attr]
            is_canceled.set()
            assert (await stub.Echo(echo_request("next"))).message == "next"
            assert channel.statistics().late_answers == 1  # type: ignore[union-attr]

    has_arrived, is_canceled = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        request = peer.expect_request()
        has_arrived.set()
        is_canceled.wait()
        peer.answer(request)
        peer.echo_until_closed()

    with ScriptedServer(script) as server:
        address = server.address
        run(loop, main())
    assert server.connections == 1


@every_loop
@shared_or_not
def test_asyncio_timeout_ends_a_call(loop: str, share: bool) -> None:
    async def main() -> None:
        controller = pybrpc.Controller()
        async with pybrpc.aio.Channel(address, timeout=30, share_with_threads=share) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stub.Echo(echo_request(), controller=controller), 0.05)
            assert channel.statistics().in_flight == 0  # type: ignore[union-attr]
        assert controller.error_code == pybrpc.ErrorCode.ECANCELED

    with ScriptedServer(never_answer) as server:
        address = server.address
        run(loop, main())


@every_loop
@shared_or_not
def test_failure_in_a_task_group_cancels_the_other_calls(loop: str, share: bool) -> None:
    async def main() -> None:
        async with pybrpc.aio.Channel(address, timeout=30, share_with_threads=share) as channel:
            stub = pybrpc.Stub(ECHO, channel)

            async def call(timeout: float) -> None:
                await stub.Echo(echo_request(), timeout=timeout)

            async def calls() -> None:
                async with asyncio.TaskGroup() as group:
                    for timeout in (30, 0.05, 30):
                        group.create_task(call(timeout))

            with pytest.raises(ExceptionGroup) as caught:
                await calls()
            assert caught.group_contains(pybrpc.errors.RpcTimeoutError)
            assert channel.statistics().in_flight == 0  # type: ignore[union-attr]

    with ScriptedServer(never_answer) as server:
        address = server.address
        run(loop, main())


@every_loop
def test_task_canceled_while_connecting(loop: str) -> None:
    async def main(address: str) -> None:
        async with pybrpc.aio.Channel(address, timeout=30, connect_timeout=None) as channel:
            future = pybrpc.Stub(ECHO, channel).Echo(echo_request())
            await asyncio.sleep(0)
            assert future.cancel()
            with pytest.raises(asyncio.CancelledError):
                await future
            assert channel.statistics().in_flight == 0  # type: ignore[union-attr]

    with deaf_port() as address:
        run(loop, main(address))


def test_call_that_is_canceled_while_its_answer_arrives_ends_once() -> None:
    """The first of the two wins; the future ends exactly once."""
    outcomes = {"canceled": 0, "answered": 0}
    with ScriptedServer(echo) as server, pybrpc.Channel(server.address, timeout=30) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        for i in range(1000):
            ends: list[object] = []
            future = stub.Echo.future(echo_request(str(i)))
            future.add_done_callback(ends.append)
            if i % 2:
                concurrent.futures.wait([future], timeout=0.0002)
            is_canceled = future.cancel()
            concurrent.futures.wait([future])
            assert is_canceled == future.cancelled()
            if not is_canceled:
                assert future.result().message == str(i)
            assert ends == [future]
            outcomes["canceled" if is_canceled else "answered"] += 1
        assert channel.statistics().in_flight == 0  # type: ignore[union-attr]
    assert sum(outcomes.values()) == 1000
