"""The context of a call is a copy of the one in which the server was started."""

from __future__ import annotations

import asyncio
import contextvars
import time
from typing import Any

import pytest

from pybrpc.rpc.controller import Controller
from tests.peers.raw_peer import EchoResponse, RawPeer, request, text_of
from tests.peers.serving import as_async, make_server, serving_in_loop, start

settings = contextvars.ContextVar("settings", default="nothing")
user = contextvars.ContextVar("user", default="nobody")

COUNT = 12


def look(request: Any, controller: Controller) -> Any:
    """Tell what it sees, then change it."""
    found = f"{settings.get()}, {user.get()}"
    settings.set("spoilt")
    user.set(request.message)
    return EchoResponse(message=found)


def look_slowly(request: Any, controller: Controller) -> Any:
    time.sleep(0.002)
    return look(request, controller)


async def look_twice(request: Any, controller: Controller) -> Any:
    answer = look(request, controller)
    await asyncio.sleep(0)
    assert (settings.get(), user.get()) == ("spoilt", request.message)
    return answer


async def look_in_a_task(request: Any, controller: Controller) -> Any:
    """A task that a handler starts has a copy of the handler's context."""

    async def inner() -> Any:
        return look(request, controller)

    answer = await asyncio.create_task(inner())
    assert user.get() == "nobody"
    return answer


HANDLERS = {
    "plain": look,
    "slow": look_slowly,
    "async": as_async(look),
    "waits": look_twice,
    "task": look_in_a_task,
}


def seen_by_calls(endpoint: Any) -> set[str]:
    """By many calls: one after the other, and together."""
    with RawPeer(endpoint) as peer:
        seen = {text_of(peer.call(message=f"{number}")) for number in range(COUNT)}
        peer.send(*(request(number, message=f"{number}") for number in range(COUNT)))
        return seen | set(map(text_of, peer.read_answers(COUNT).values()))


@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS)
def test_handlers_see_what_was_set_when_the_server_was_started(handler: Any) -> None:
    server = make_server(handler, max_workers=2)

    def set_and_start() -> Any:
        settings.set("the server's")
        return start(server)

    with server:
        endpoint = contextvars.copy_context().run(set_and_start)
        assert seen_by_calls(endpoint) == {"the server's, nobody"}
        settings_before = settings.get()
        assert settings_before == "nothing"


@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS)
def test_handlers_in_a_loop_see_what_was_set_when_the_server_was_started(handler: Any) -> None:
    async def main() -> None:
        settings.set("the server's")
        async with serving_in_loop(handler, max_workers=2) as server:
            # Later changes belong to this task.
            settings.set("the task's")
            user.set("somebody")
            seen = await asyncio.to_thread(seen_by_calls, server.endpoint)
            assert seen == {"the server's, nobody"}

    asyncio.run(main())
