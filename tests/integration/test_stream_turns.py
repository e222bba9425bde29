"""A task that sends, or takes what is there, without a pause lets other tasks of its loop run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import pybrpc
from pybrpc.streams import AioStream
from tests.fakes.threads import WAIT_S
from tests.peers.echo import ECHO, echo_request
from tests.protos import conformance_pb2 as pb

MESSAGES = 2000


class StreamEcho:
    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        controller.accept_stream(body=echo)
        return pb.EchoResponse(message="")


async def echo(stream: AioStream) -> None:
    async for message in stream:
        await stream.send(message)


@asynccontextmanager
async def open_stream() -> AsyncIterator[AioStream]:
    """To a server of the same loop."""
    async with pybrpc.Server() as server:
        server.add_service(ECHO, StreamEcho(), partial=True)
        async with pybrpc.aio.Channel(server.start("127.0.0.1:0")) as channel:
            async with pybrpc.Stub(ECHO, channel).Echo.stream(echo_request()) as call:
                yield call.stream


async def rounds_while(use: Callable[[], Awaitable[object]]) -> int:
    """How many rounds of the loop another task has meanwhile."""
    rounds = 0

    async def count() -> None:
        nonlocal rounds
        while True:
            await asyncio.sleep(0)
            rounds += 1

    counting = asyncio.create_task(count())
    await use()
    counting.cancel()
    return rounds


async def wait_until_all_is_back(stream: AioStream, messages: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while stream.unread_bytes < messages:
            await asyncio.sleep(0.001)


def test_sending_without_a_pause_lets_others_run() -> None:
    async def main() -> None:
        async with open_stream() as stream:

            async def send_all() -> None:
                for _ in range(MESSAGES):
                    await stream.send(b"")

            assert await rounds_while(send_all) >= MESSAGES // 256

    asyncio.run(main())


@pytest.mark.parametrize("form", ["recv", "iteration", "batches"])
def test_taking_what_is_there_lets_others_run(form: str) -> None:
    async def main() -> None:
        async with open_stream() as stream:
            await stream.send_many([b"x"] * MESSAGES)
            await wait_until_all_is_back(stream, MESSAGES * 65)
            assert await rounds_while(lambda: take_all(stream, form)) >= MESSAGES // 256

    asyncio.run(main())


async def take_all(stream: AioStream, form: str) -> None:
    left = MESSAGES
    if form == "recv":
        for _ in range(MESSAGES):
            await stream.recv()
    elif form == "iteration":
        async for _ in stream:
            left -= 1
            if not left:
                break
    else:
        async for batch in stream.batches(100):
            left -= len(batch)
            if not left:
                break


def test_message_is_not_lost_when_the_task_that_would_take_it_is_cancelled() -> None:
    async def main() -> None:
        async with open_stream() as stream:
            sent = [b"%d" % number for number in range(MESSAGES)]
            await stream.send_many(sent)
            await wait_until_all_is_back(stream, MESSAGES * 65)
            taken: list[bytes] = []

            async def take() -> None:
                while True:
                    taken.append(await stream.recv())

            while len(taken) < MESSAGES:
                task = asyncio.create_task(take())
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            assert taken == sent

    asyncio.run(main())


class FailingEcho:
    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        controller.accept_stream(body=echo)
        raise ValueError("no")


def test_stream_of_a_handler_that_fails_is_no_unclosed_one() -> None:
    """A ResourceWarning would fail the test."""

    async def main() -> None:
        async with pybrpc.Server() as server:
            server.add_service(ECHO, FailingEcho(), partial=True)
            async with pybrpc.aio.Channel(server.start("127.0.0.1:0")) as channel:
                with pytest.raises(pybrpc.RpcError, match="ValueError"):
                    await pybrpc.Stub(ECHO, channel).Echo.stream(echo_request()).open()

    asyncio.run(main())


def test_body_that_sends_after_the_peer_has_closed_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It could not know: the error of its `send` ends it, and is not logged as one."""
    caplog.set_level("INFO", logger="pybrpc.server")
    ended = asyncio.Event()

    class SendsOn:
        async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
            controller.accept_stream(body=send_on)
            return pb.EchoResponse(message="")

    async def send_on(stream: AioStream) -> None:
        try:
            while True:
                await stream.send(b"more")
        finally:
            ended.set()

    async def main() -> None:
        async with pybrpc.Server() as server:
            server.add_service(ECHO, SendsOn(), partial=True)
            async with pybrpc.aio.Channel(server.start("127.0.0.1:0")) as channel:
                async with pybrpc.Stub(ECHO, channel).Echo.stream(echo_request()) as call:
                    await call.stream.recv()
                await asyncio.wait_for(ended.wait(), WAIT_S)

    asyncio.run(main())
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_sending_and_taking_have_turns_of_their_own() -> None:
    """Or the task that takes would get one message for each turn of the one that sends."""

    async def main() -> None:
        async with open_stream() as stream:
            await stream.send_many([b"x"] * MESSAGES)
            await wait_until_all_is_back(stream, MESSAGES * 65)

            async def send_on() -> None:
                while True:
                    for _ in range(100):
                        await stream.send(b"x")
                    await asyncio.sleep(0)

            sending = asyncio.create_task(send_on())
            assert await rounds_while(lambda: take_all(stream, "recv")) < MESSAGES // 32
            sending.cancel()

    asyncio.run(main())


def test_stream_that_this_side_has_closed_says_so() -> None:
    """Also if the CLOSE that answers is here before this side knows that its own was written."""

    class Accepts:
        def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
            controller.accept_stream(body=list)
            return pb.EchoResponse(message="")

    with pybrpc.Server() as server:
        server.add_service(ECHO, Accepts(), partial=True)
        with pybrpc.Channel(server.start("127.0.0.1:0"), timeout=WAIT_S) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            states: set[str] = set()
            for _ in range(100):
                with stub.Echo.stream(echo_request()) as call:
                    pass
                states.add(call.stream.state)
    assert states == {"closed"}
