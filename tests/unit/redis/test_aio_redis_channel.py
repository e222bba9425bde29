"""RedisChannel of asyncio, over a connection to a server that is played."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pybrpc.redis import RedisError
from pybrpc.redis.aio import RedisChannel
from tests.fakes.redis import WAIT_S, echoes_last_words, words
from tests.peers.scripted_server import ScriptedServer

shared_or_not = pytest.mark.parametrize("share_with_threads", [False, True])


def run(task: Callable[[RedisChannel], Awaitable[None]], share_with_threads: bool) -> None:
    """With a channel to a server of its own."""

    async def main(address: str) -> None:
        options = {"protocol": 2, "client_name": "", "timeout": WAIT_S}
        async with RedisChannel(
            address, share_with_threads=share_with_threads, **options
        ) as channel:
            await task(channel)

    with ScriptedServer(echoes_last_words) as server:
        asyncio.run(main(server.address))


@shared_or_not
def test_execute_returns_the_reply_or_raises_it(share_with_threads: bool) -> None:
    async def task(channel: RedisChannel) -> None:
        assert await channel.execute("ECHO", "hello") == b"hello"
        with pytest.raises(RedisError, match="ERR no"):
            await channel.execute("ECHO", "FAIL")

    run(task, share_with_threads)


@shared_or_not
def test_requests_are_on_their_way_before_they_are_awaited(share_with_threads: bool) -> None:
    async def task(channel: RedisChannel) -> None:
        under_way = [channel.call(words(name, "FAIL")) for name in "abc"]
        for name, future in reversed(list(zip("abc", under_way, strict=True))):
            assert list(await future) == [name.encode(), RedisError("ERR no")]

    run(task, share_with_threads)
