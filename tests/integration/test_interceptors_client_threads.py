"""Interceptors of channels: the threads they run in, and calls that are cancelled meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.client.channel.intercepted import future_run
from tests.fakes.threads import wait_until
from tests.peers.intercepting import (
    HELLO,
    call,
    plain_shout,
    serving_fields,
    shout,
)
from tests.peers.raw_peer import SERVICE, EchoResponse
from tests.peers.serving import Gate, make_server, start


@pytest.fixture
def address() -> Iterator[str]:
    with serving_fields() as address:
        yield address


@pytest.mark.parametrize("form", ["future", "callback"])
def test_none_runs_in_the_thread_that_polls_and_blocking_ones_not_in_the_caller_s(
    form: str, address: str
) -> None:
    names: list[str] = []

    def where(call: Any, proceed: Any) -> Iterator[Any]:
        names.append(threading.current_thread().name)
        response = yield proceed()
        names.append(threading.current_thread().name)
        return response

    caller = threading.current_thread().name
    call(form, address, [where])
    call(form, address, [plain_shout, where])
    threads = "pybrpc-streams"
    assert names == [caller, threads, threads, threads]


def test_many_futures_need_no_thread_each() -> None:
    gate = Gate()
    count = 300
    with make_server(gate, max_workers=1) as server:
        with pybrpc.Channel(start(server), timeout=None, interceptors=[shout]) as channel:
            stub = pybrpc.Stub(SERVICE, channel)
            before = threading.active_count()
            futures = [stub.Echo.future(HELLO) for _ in range(count)]
            gate.wait_entered()
            assert threading.active_count() < before + 20
            gate.open()
            assert {future.result(30).message for future in futures} == {"HELLO!"}


@pytest.mark.parametrize("interceptor", [shout, plain_shout])
def test_cancel_of_a_future_ends_the_call(interceptor: Any) -> None:
    seen: list[str] = []

    def watch(call: Any, proceed: Any) -> Iterator[Any]:
        try:
            return (yield proceed())
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    gate = Gate()
    with make_server(gate) as server:
        options: Any = {"timeout": None, "interceptors": [interceptor, watch]}
        with pybrpc.Channel(start(server), **options) as channel:
            future = pybrpc.Stub(SERVICE, channel).Echo.future(HELLO)
            called: list[bool] = []
            future.add_done_callback(lambda each: called.append(each.cancelled()))
            gate.wait_entered()
            assert not future.done()
            assert future.cancel()
            assert future.cancel()
            assert future.cancelled()
            assert called == [True]
            wait_until(lambda: seen == ["CancelledError"])
            gate.open()


def test_cancel_of_an_awaited_call_ends_the_call() -> None:
    seen: list[str] = []

    async def watch(call: Any, proceed: Any) -> Any:
        try:
            return await proceed()
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    async def main(gate: Gate, address: Any) -> None:
        async with pybrpc.aio.Channel(address, timeout=None, interceptors=[watch]) as channel:
            task = asyncio.create_task(pybrpc.Stub(SERVICE, channel).Echo(HELLO))
            await asyncio.to_thread(gate.wait_entered)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            gate.open()

    gate = Gate()
    with make_server(gate) as server:
        asyncio.run(main(gate, start(server)))
    assert seen == ["CancelledError"]


def test_deadline_of_a_served_request_reaches_calls_of_futures() -> None:
    """Also if they are started in another thread."""
    seen: list[Any] = []

    def far(request: Any, controller: Any) -> Any:
        seen.append(controller.timeout_ms)
        return EchoResponse(message="far")

    with make_server(far) as behind:
        options: Any = {"timeout": None, "interceptors": [plain_shout]}
        with pybrpc.Channel(start(behind), **options) as nested:
            stub = pybrpc.Stub(SERVICE, nested)

            def ask(request: Any, controller: Any) -> Any:
                return stub.Echo.future(HELLO).result(30)

            with make_server(ask) as server, pybrpc.Channel(start(server), timeout=20) as channel:
                assert pybrpc.Stub(SERVICE, channel).Echo(HELLO).message == "far!"
    (timeout_ms,) = seen
    assert 0 < timeout_ms <= 20_000


def test_future_in_a_callback_would_wait_for_itself(address: str) -> None:
    """The thread that polls must not wait for it."""
    raised: list[BaseException] = []
    with (
        pybrpc.Channel(address, timeout=20) as plain,
        pybrpc.Channel(address, timeout=20, interceptors=[shout]) as channel,
    ):
        ended = threading.Event()

        def wait_inside(response: Any, error: Any) -> None:
            try:
                pybrpc.Stub(SERVICE, channel).Echo.future(HELLO).result()
            except BaseException as would_deadlock:
                raised.append(would_deadlock)
            ended.set()

        pybrpc.Stub(SERVICE, plain).Echo.with_callback(HELLO, wait_inside)
        assert ended.wait(30)
    assert [type(error) for error in raised] == [pybrpc.errors.WouldDeadlockError]


def test_interceptors_run_if_no_thread_can_be_started(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their last parts run in the thread that has the response: better than never."""

    def refuse(function: Any, owner: Any = None) -> None:
        raise RuntimeError("can't start new thread")

    threads = type("Full", (), {"put": staticmethod(refuse)})()
    monkeypatch.setattr(future_run, "callback_threads", lambda: threads)
    assert call("future", address, [shout]).message == "HELLO!"
    with pytest.raises(RuntimeError, match="can't start new thread"):
        call("future", address, [plain_shout])
