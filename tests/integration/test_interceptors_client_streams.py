"""Interceptors of channels around calls that open streams, in threads and in a loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from tests.fakes.threads import wait_until
from tests.peers.intercepting import (
    HELLO,
    async_shout,
    plain_shout,
    shout,
)
from tests.peers.raw_peer import SERVICE, EchoResponse
from tests.peers.serving import make_server, start


def accept(request: Any, controller: Any) -> Any:
    controller.accept_stream(body=lambda stream: stream.send(b"hello"))
    return EchoResponse(message=request.message)


def test_streams_in_threads() -> None:
    seen: list[bool] = []

    def watch(call: Any, proceed: Any) -> Any:
        seen.append(call.is_stream)
        return plain_shout(call, proceed)

    with make_server(accept) as server:
        with pybrpc.Channel(start(server), timeout=20, interceptors=[watch]) as channel:
            with pybrpc.Stub(SERVICE, channel).Echo.stream(HELLO) as call:
                assert call.response.message == "HELLO!"
                assert call.stream.recv(timeout=30) == b"hello"
    assert seen == [True]


def test_streams_in_a_loop() -> None:
    async def main(address: Any) -> None:
        options: Any = {"timeout": 20, "interceptors": [async_shout, shout]}
        async with pybrpc.aio.Channel(address, **options) as channel:
            async with pybrpc.Stub(SERVICE, channel).Echo.stream(HELLO) as call:
                assert call.response.message == "HELLO!!"
                assert await call.stream.recv(timeout=30) == b"hello"

    with make_server(accept) as server:
        asyncio.run(main(start(server)))


def at_once(call: Any, proceed: Any) -> Iterator[Any]:
    return EchoResponse(message="at once")
    yield


def spoil(call: Any, proceed: Any) -> Iterator[Any]:
    yield proceed()
    raise ValueError("spoiled")


@pytest.mark.parametrize(
    ("interceptor", "error", "text"),
    [(at_once, TypeError, "opens streams, without them"), (spoil, ValueError, "spoiled")],
)
def test_streams_that_are_not_there_or_are_given_up(
    interceptor: Any, error: Any, text: str
) -> None:
    async def main(address: Any) -> None:
        async with pybrpc.aio.Channel(address, timeout=20, interceptors=[interceptor]) as channel:
            with pytest.raises(error, match=text):
                async with pybrpc.Stub(SERVICE, channel).Echo.stream(HELLO):
                    pass

    with make_server(accept) as server:
        address = start(server)
        with pybrpc.Channel(address, timeout=20, interceptors=[interceptor]) as channel:
            with pytest.raises(error, match=text):
                with pybrpc.Stub(SERVICE, channel).Echo.stream(HELLO):
                    pass
        asyncio.run(main(address))
        wait_until(lambda: server.statistics().streams == 0)
