"""Each call has a context and a task of its own."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import time
from typing import Any

import pytest

import pybrpc
from tests.cases.peers import PATIENT_S
from tests.peers.echo import ECHO, echo_request
from tests.peers.raw_peer import RawPeer, text_of
from tests.peers.serving import make_server, serving_in_loop, start
from tests.protos import conformance_pb2 as pb

user = contextvars.ContextVar("user", default="nobody")


def tell_and_set(request: Any, controller: Any) -> Any:
    """Answers who the user is; then it is the one of the request."""
    found = user.get()
    user.set(request.message)
    return pb.EchoResponse(message=found)


def tell_and_set_slowly(request: Any, controller: Any) -> Any:
    """Too slow to run in the dispatcher's thread: in that of a worker."""
    time.sleep(0.01)
    return tell_and_set(request, controller)


async def tell(request: Any, controller: Any) -> Any:
    return pb.EchoResponse(message=user.get())


def users_seen(server: pybrpc.Server, *methods: str) -> set[str]:
    """By calls of these methods, one after the other, each over a connection of its own."""
    endpoint, seen = start(server), set()
    for number, method in enumerate(methods):
        with RawPeer(endpoint) as peer:
            seen.add(text_of(peer.call(method, message=f"user {number}")))
    return seen


@pytest.mark.parametrize("handler", [tell_and_set, tell_and_set_slowly])
def test_context_variable_that_a_plain_handler_sets_is_not_seen_by_others(handler: Any) -> None:
    with make_server(handler, max_workers=1) as server:
        assert users_seen(server, *["Echo"] * 20) == {"nobody"}


def test_context_variable_that_a_plain_handler_sets_is_not_seen_by_async_ones() -> None:
    with make_server(tell_and_set, tell) as server:
        assert users_seen(server, *["Echo", "Stream"] * 5) == {"nobody"}


async def tell_and_mark_task(request: Any, controller: Any) -> Any:
    task: Any = asyncio.current_task()
    found = getattr(task, "user", "nobody")
    task.user = request.message
    return pb.EchoResponse(message=found)


async def stub_to(stack: contextlib.AsyncExitStack, server: pybrpc.Server) -> Any:
    channel = pybrpc.aio.Channel(str(server.endpoint), timeout=PATIENT_S)
    return pybrpc.Stub(ECHO, await stack.enter_async_context(channel))


def test_attribute_of_the_task_of_a_handler_is_not_seen_by_others() -> None:
    async def call() -> set[str]:
        async with contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(serving_in_loop(tell_and_mark_task))
            stub = await stub_to(stack, server)
            calls = [stub.Echo(echo_request(f"user {i}")) for i in range(20)]
            return {answer.message for answer in await asyncio.gather(*calls)}

    assert asyncio.run(call()) == {"nobody"}


def test_done_callback_of_the_task_of_a_handler_runs_when_that_is_answered() -> None:
    cleaned: list[str] = []
    slow_may_end = asyncio.Event()

    async def quick(request: Any, controller: Any) -> Any:
        task: Any = asyncio.current_task()
        task.add_done_callback(lambda _: cleaned.append(request.message))
        return pb.EchoResponse(message="")

    async def slow(request: Any, controller: Any) -> Any:
        await slow_may_end.wait()
        return pb.EchoResponse(message="")

    async def call() -> list[str]:
        async with contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(serving_in_loop(quick, slow))
            stub = await stub_to(stack, server)
            calls = [stub.Echo(echo_request("quick")), stub.Stream(echo_request())]
            await calls[0]
            await asyncio.sleep(0.1)
            found = list(cleaned)
            slow_may_end.set()
            await calls[1]
            return found

    assert asyncio.run(call()) == ["quick"]
