"""A method of a Stub in asyncio: its loop, and its timeout."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import RpcTimeoutError
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import ScriptedServer

shared_or_not = pytest.mark.parametrize("share_with_threads", [False, True])


async def words_of(method: Any, *words: str) -> list[str]:
    answers = await asyncio.gather(*[method(echo_request(word)) for word in words])
    return [answer.message for answer in answers]


@shared_or_not
def test_channel_serves_one_loop_after_another(share_with_threads: bool) -> None:
    with ScriptedServer() as server:
        channel = pybrpc.aio.Channel(
            server.address, timeout=30, share_with_threads=share_with_threads
        )
        method = pybrpc.Stub(ECHO, channel).Echo
        for words in (["a", "b"], ["c"]):
            assert asyncio.run(words_of(method, *words)) == words
        asyncio.run(channel.close())


@shared_or_not
def test_timeout_of_one_call(share_with_threads: bool) -> None:
    async def main(address: str) -> None:
        async with pybrpc.aio.Channel(address, share_with_threads=share_with_threads) as channel:
            method = pybrpc.Stub(ECHO, channel).Echo
            with pytest.raises(RpcTimeoutError):
                await method(echo_request("hello"), timeout=0)
            assert (await method(echo_request("hello"), timeout=None)).message == "hello"
            assert repr(method).startswith("<AioStubMethod conformance.EchoService.Echo on <Aio")

    with ScriptedServer() as server:
        asyncio.run(main(server.address))
