"""The common parts of calls on combined channels: cancellation, iteration, nesting, wrong use."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from concurrent.futures import CancelledError
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    ChannelClosedError,
    ErrorCode,
    HandlerCanceledError,
    RpcError,
    WouldDeadlockError,
)
from tests.fakes.serving import no_later, serving_call
from tests.fakes.threads import wait_until
from tests.peers.clusters import REQUEST, cluster
from tests.peers.combos import FORMS, add_all, aio_channels, call_over, channels
from tests.peers.echo import ECHO

KINDS = ["ParallelChannel", "SelectiveChannel"]
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_cancel_ends_the_call_and_its_sub_calls(kind: str) -> None:
    go_on = threading.Event()
    with cluster(2) as servers, channels(servers.addresses) as made:
        for member in servers.members:
            member.behave = lambda request, controller: go_on.wait(30)
        controller = pybrpc.Controller()
        called = []
        combo = getattr(pybrpc, kind)(made, timeout=30)
        future = pybrpc.Stub(ECHO, combo).Echo.future(REQUEST, controller=controller)
        future.add_done_callback(lambda done: called.append(done.cancelled()))
        wait_until(lambda: sum(servers.calls) == (2 if kind == "ParallelChannel" else 1))
        assert future.cancel()
        assert called == [True]
        assert controller.error_code == ErrorCode.ECANCELED
        assert {sub.code for sub in controller.sub_calls} == {ErrorCode.ECANCELED}
        assert future.cancel()
        go_on.set()
        with pytest.raises(CancelledError):
            future.result(30)


@kinds
def test_handler_that_was_canceled_before_makes_no_sub_calls(kind: str) -> None:
    with cluster(1) as servers, channels(servers.addresses) as made:
        combo = getattr(pybrpc, kind)(made, timeout=30)
        with serving_call() as served:
            served.cancel("the peer left", no_later)
            with pytest.raises(HandlerCanceledError, match="because the peer left"):
                pybrpc.Stub(ECHO, combo).Echo(REQUEST)
        assert sum(servers.calls) == 0


@kinds
def test_cancel_after_the_end_has_no_effect(kind: str) -> None:
    with cluster(1) as servers, channels(servers.addresses) as made:
        combo = getattr(pybrpc, kind)(made, timeout=30)
        controller = pybrpc.Controller()
        future = pybrpc.Stub(ECHO, combo).Echo.future(REQUEST, controller=controller)
        assert future.result(30).message == "server 0"
        assert not future.cancel()
        assert not controller.failed


@kinds
def test_cancelling_a_task_ends_the_call(kind: str) -> None:
    go_on = threading.Event()

    async def call(addresses: list[str]) -> pybrpc.Controller:
        controller = pybrpc.Controller()
        async with (
            aio_channels(addresses) as made,
            getattr(pybrpc.aio, kind)(made, timeout=30) as combo,
        ):
            stub = pybrpc.Stub(ECHO, combo)
            task = asyncio.create_task(stub.Echo(REQUEST, controller=controller))
            while not sum(servers.calls):
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        return controller

    with cluster(1) as servers:
        servers[0].behave = lambda request, controller: go_on.wait(30)
        controller = asyncio.run(call(servers.addresses))
        go_on.set()
        assert controller.error_code == ErrorCode.ECANCELED
        assert controller.sub_calls[0].code == ErrorCode.ECANCELED


def test_sub_calls_are_seen_as_they_end() -> None:
    go_on = threading.Event()
    with cluster(2) as servers, channels(servers.addresses) as made:
        servers[0].behave = lambda request, controller: go_on.wait(30)
        future = pybrpc.Stub(ECHO, pybrpc.ParallelChannel(made, timeout=30)).Echo.future(REQUEST)
        seen = []
        for sub in future.as_completed():
            seen.append((sub.index, sub.response.message))
            go_on.set()
        assert seen == [(1, "server 1"), (0, "server 0")]
        assert [sub.index for sub in future.as_completed()] == [1, 0]


def test_sub_calls_are_seen_as_they_end_in_asyncio() -> None:
    go_on = threading.Event()

    async def call(addresses: list[str]) -> list[int]:
        async with aio_channels(addresses) as made:
            combo = pybrpc.aio.ParallelChannel(made, timeout=30)
            future = pybrpc.Stub(ECHO, combo).Echo(REQUEST)
            seen = []
            async for sub in future.as_completed():
                seen.append(sub.index)
                go_on.set()
            assert (await future).message == "server 1"
            return seen

    with cluster(2) as servers:
        servers[0].behave = lambda request, controller: go_on.wait(30)
        assert asyncio.run(call(servers.addresses)) == [1, 0]


def test_parallel_channels_nest() -> None:
    def merger(response: Any, sub_response: Any) -> None:
        response.message += f"({sub_response.message})"

    with cluster(2) as servers, channels(servers.addresses) as made:
        inner = pybrpc.ParallelChannel(made, merger=merger)
        outer = pybrpc.ParallelChannel([inner, made[0]], merger=merger, timeout=30)
        controller = pybrpc.Controller()
        answer = pybrpc.Stub(ECHO, outer).Echo(REQUEST, controller=controller)
        assert answer.message == "((server 0)(server 1))(server 0)"
        nested = controller.sub_calls[0].controller.sub_calls
        assert [str(sub.server) for sub in nested] == servers.addresses


def test_calls_of_a_handler_end_at_the_deadline_of_its_request() -> None:
    go_on = threading.Event()
    ends: list[Any] = []
    with cluster(2) as servers, channels(servers.addresses) as made:
        front, behind = servers.members
        combo = pybrpc.ParallelChannel([made[1]], timeout=30)

        def behave(request: Any, controller: Any) -> None:
            try:
                pybrpc.Stub(ECHO, combo).Echo(REQUEST)
            except RpcError as error:
                ends.append(error.code)

        front.behave = behave
        behind.behave = lambda request, controller: go_on.wait(30)
        with pytest.raises(RpcError):
            pybrpc.Stub(ECHO, made[0]).Echo(REQUEST, timeout=0.2)
        wait_until(lambda: ends == [ErrorCode.ERPCTIMEDOUT])
        go_on.set()


def test_wrong_use_is_refused_where_it_happens() -> None:
    with cluster(1) as servers, channels(servers.addresses) as made:
        combo = pybrpc.ParallelChannel(made, timeout=30)
        stub = pybrpc.Stub(ECHO, combo)
        with pytest.raises(ValueError, match="channel of itself"):
            combo.add_channel(pybrpc.ParallelChannel([combo]))
        with pytest.raises(TypeError, match="channels of pybrpc"):
            combo.add_channel(pybrpc.aio.Channel("127.0.0.1:1"))
        with pytest.raises(TypeError, match="mapper is called as"):
            combo.add_channel(made[0], mapper=lambda request: request)
        with pytest.raises(TypeError, match="plain function"):
            combo.add_channel(made[0], merger=_async_merger)
        with pytest.raises(TypeError, match="opens no streams"):
            stub.Echo.stream(REQUEST)
        refused: list[BaseException] = []

        def call_in_callback(done: Any) -> None:
            try:
                stub.Echo(REQUEST)
            except WouldDeadlockError as error:
                refused.append(error)

        future = stub.Echo.future(REQUEST)
        future.add_done_callback(call_in_callback)
        future.result(30)
        combo.close()
        with pytest.raises(ChannelClosedError):
            stub.Echo(REQUEST)
        assert not made[0].is_closed


async def _async_merger(response: Any, sub_response: Any) -> None: ...


@kinds
def test_closed_channel_of_it_fails_as_a_sub_call(kind: str) -> None:
    with cluster(1) as servers, channels(servers.addresses) as made:
        made[0].close()
        combo = getattr(pybrpc, kind)(made, timeout=30)
        with pytest.raises(RpcError) as caught:
            pybrpc.Stub(ECHO, combo).Echo(REQUEST)
        assert caught.value.code == ErrorCode.ECLOSE


def test_ended_calls_leave_nothing() -> None:
    with cluster(1) as servers, channels(servers.addresses) as made:
        stub = pybrpc.Stub(ECHO, pybrpc.ParallelChannel(made, timeout=30))
        future = stub.Echo.future(REQUEST)
        future.result(30)
        call = weakref.ref(future._combo)
        del future
        gc.collect()
        wait_until(lambda: call() is None)


def call_intercepted(form: str, kind: str, addresses: list[str], interceptor: Any) -> None:
    options = {"interceptors": [interceptor]}
    call_over(form, kind, addresses, REQUEST, add_all, channel_options=options)


def fails_after(call: pybrpc.InterceptedCall, proceed: Any) -> Any:
    yield proceed()
    raise ValueError("after the call")


async def fails_after_in_loop(call: pybrpc.InterceptedCall, proceed: Any) -> Any:
    await proceed()
    raise ValueError("after the call")


@kinds
@pytest.mark.parametrize("form", FORMS)
def test_call_may_have_run_if_an_interceptor_raises_after_it(form: str, kind: str) -> None:
    interceptor = fails_after_in_loop if form == "asyncio" else fails_after
    with cluster(1) as servers:
        with pytest.raises(RpcError) as caught:
            call_intercepted(form, kind, servers.addresses, interceptor)
        assert sum(servers.calls) == 1
    assert (caught.value.code, caught.value.may_have_run) == (ErrorCode.EINTERNAL, True)


class NoSuchUserError(RpcError):
    """As users write their errors: with a constructor of its own."""

    def __init__(self, user: int) -> None:
        super().__init__(f"no user {user}", code=20001)


def knows_nobody(call: pybrpc.InterceptedCall, proceed: Any) -> Any:
    raise NoSuchUserError(7)


async def knows_nobody_in_loop(call: pybrpc.InterceptedCall, proceed: Any) -> Any:
    raise NoSuchUserError(7)


@kinds
@pytest.mark.parametrize("form", FORMS)
def test_error_of_a_users_class_ends_the_call(form: str, kind: str) -> None:
    interceptor = knows_nobody_in_loop if form == "asyncio" else knows_nobody
    with cluster(1) as servers, pytest.raises(RpcError, match="no user 7") as caught:
        call_intercepted(form, kind, servers.addresses, interceptor)
    assert caught.value.code == 20001
