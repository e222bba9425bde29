"""The deadline of a request reaches its handler, and the calls that the handler makes."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ErrorCode, RpcTimeoutError
from pybrpc.rpc.controller import Controller
from tests.fakes.threads import WAIT_S
from tests.peers.echo import ECHO, echo_request
from tests.peers.nested_calls import (
    ASYNC_FORMS,
    OWN_S,
    PLACES,
    PLAIN_FORMS,
    SERVING,
    Nesting,
    behind,
)
from tests.peers.raw_peer import EchoResponse, RawPeer, request
from tests.peers.scripted_server import echo as echo_script
from tests.peers.serving import make_server, serving, start

REDIS = ("redis", "aio_redis")
"""Forms whose server gets no timeout."""

in_each_place = pytest.mark.parametrize(("place", "form"), PLACES)
in_each_form_with_a_timeout = pytest.mark.parametrize(
    "form", [form for form in (*PLAIN_FORMS, *ASYNC_FORMS) if form not in REDIS]
)


@in_each_place
def test_nested_call_ends_at_the_deadline_of_the_request(place: str, form: str) -> None:
    with behind() as server:
        nesting = Nesting(server, form)
        with SERVING[place](nesting.handler, cancel_handlers=False) as front:
            with RawPeer(front.endpoint) as peer:
                peer.send(request(1, timeout_ms=200))
                error = nesting.next_end()
                assert type(error) is RpcTimeoutError
                assert "Reached the deadline of the request that the handler serves" in error.text
                assert peer.read_answer().error_code == ErrorCode.EINTERNAL
    assert all(timeout_ms <= 200 for timeout_ms in server.timeouts_ms if timeout_ms is not None)
    assert len(server.timeouts_ms) == (form not in REDIS)


@in_each_place
def test_own_deadline_of_a_nested_call_holds_if_it_is_earlier(place: str, form: str) -> None:
    with behind() as server:
        nesting = Nesting(server, form, timeout=0.1)
        with SERVING[place](nesting.handler) as front, RawPeer(front.endpoint) as peer:
            peer.send(request(1, timeout_ms=30_000))
            error = nesting.next_end()
            assert type(error) is RpcTimeoutError
            assert "Reached timeout=100ms @" in error.text
            peer.read_answer()
    assert server.timeouts_ms == ([] if form in REDIS else [100])


@in_each_place
@pytest.mark.parametrize("timeout_ms", [None, 0, -1])
def test_request_without_a_timeout_limits_no_nested_call(
    place: str, form: str, timeout_ms: int | None
) -> None:
    """As stock C++ clients send them."""
    with behind() as server:
        nesting = Nesting(server, form, timeout=0.3)
        with SERVING[place](nesting.handler) as front, RawPeer(front.endpoint) as peer:
            peer.send(request(1, timeout_ms=timeout_ms))
            assert "Reached timeout=300ms @" in nesting.next_end().text
            peer.read_answer()
    assert server.timeouts_ms == ([] if form in REDIS else [300])


@in_each_form_with_a_timeout
def test_nested_call_is_answered_as_any_other(form: str) -> None:
    with behind(echo_script) as server:
        nesting = Nesting(server, form)
        with serving(nesting.handler) as peer:
            assert peer.call(timeout_ms=20_000).error_code == 0
            assert nesting.next_end().message == "hello"
    (timeout_ms,) = server.timeouts_ms
    assert timeout_ms is not None
    assert 0 < timeout_ms <= 20_000


def test_deadline_is_passed_on_through_several_servers() -> None:
    with behind() as server:
        last = Nesting(server, "blocking")
        with make_server(last.handler) as second:
            with pybrpc.Channel(str(start(second)), timeout=OWN_S) as channel:
                stub = pybrpc.Stub(ECHO, channel)
                with serving(lambda request, controller: stub.Echo(request)) as peer:
                    began_at = time.monotonic()
                    peer.send(request(1, timeout_ms=300))
                    assert "the deadline of the request" in last.next_end().text
                    assert time.monotonic() - began_at < OWN_S / 2
                    peer.read_answer()
    (timeout_ms,) = server.timeouts_ms
    assert timeout_ms is not None
    assert timeout_ms <= 300


@in_each_form_with_a_timeout
def test_detached_call_has_its_own_timeout_only(form: str) -> None:
    with behind(echo_script) as server:
        nesting = Nesting(server, form)
        plain = nesting.handler

        def detach(request: Any, controller: Controller) -> Any:
            with pybrpc.detached():
                return plain(request, controller)

        async def detach_async(request: Any, controller: Controller) -> Any:
            with pybrpc.detached():
                return await plain(request, controller)

        with serving(detach if form in PLAIN_FORMS else detach_async) as peer:
            assert peer.call(timeout_ms=5_000).error_code == 0
    assert server.timeouts_ms == [int(OWN_S * 1000)]


def test_task_that_outlives_its_handler_calls_without_its_deadline() -> None:
    is_answered = asyncio.Event()
    tasks: list[asyncio.Task[Any]] = []

    with behind(echo_script) as server:

        async def later() -> Any:
            await is_answered.wait()
            return await server.aio_stub.Echo(echo_request())

        async def handle(request: Any, controller: Controller) -> Any:
            if request.message == "begin":
                tasks.append(asyncio.create_task(later()))
            else:
                is_answered.set()
                await tasks[0]
            return EchoResponse(message="")

        with serving(handle) as peer:
            assert peer.call(message="begin", timeout_ms=5_000).error_code == 0
            assert peer.call(message="wait", timeout_ms=5_000).error_code == 0
    assert server.timeouts_ms == [int(OWN_S * 1000)]


def test_thread_that_outlives_its_handler_calls_without_its_deadline() -> None:
    """A blocking call in flight when its handler ends keeps the deadline that it has got."""
    go_on, ends = threading.Event(), []
    threads: list[threading.Thread] = []

    with behind(echo_script) as server:

        def later() -> None:
            go_on.wait(WAIT_S)
            ends.append(server.stub.Echo(echo_request()))

        def handle(request: Any, controller: Controller) -> Any:
            context = contextvars.copy_context()
            threads.append(threading.Thread(target=context.run, args=(later,)))
            threads[0].start()
            return EchoResponse(message="")

        with serving(handle) as peer:
            assert peer.call(timeout_ms=5_000).error_code == 0
            go_on.set()
            threads[0].join(WAIT_S)
    assert server.timeouts_ms == [int(OWN_S * 1000)]
    assert len(ends) == 1


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(("timeout_ms", "is_known"), [(20_000, True), (None, False), (0, False)])
def test_handler_sees_its_deadline(is_async: bool, timeout_ms: int | None, is_known: bool) -> None:
    seen: list[Any] = []

    def look(request: Any, controller: Controller) -> Any:
        left_s = controller.time_remaining_s
        seen.append((controller.deadline, left_s, controller.is_canceled, time.monotonic()))
        return EchoResponse(message="")

    async def look_async(request: Any, controller: Controller) -> Any:
        return look(request, controller)

    before = time.monotonic()
    with serving(look_async if is_async else look) as peer:
        peer.call(timeout_ms=timeout_ms)
    ((deadline, left_s, is_canceled, after),) = seen
    assert not is_canceled
    if is_known:
        assert before + 20 <= deadline <= after + 20
        assert 0 < left_s <= 20
    else:
        assert (deadline, left_s) == (None, None)


def test_plain_handler_sees_that_its_deadline_has_passed() -> None:
    seen: list[Any] = []

    def look(request: Any, controller: Controller) -> Any:
        while not controller.is_canceled:
            time.sleep(0.001)
        seen.append((time.monotonic() >= controller.deadline, controller.time_remaining_s))
        return EchoResponse(message="late")

    with serving(look) as peer:
        answer = peer.call(timeout_ms=30)
    assert answer.error_code == 0
    assert seen == [(True, 0.0)]
