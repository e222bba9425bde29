"""AioStream: the forms of waiting for tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from pybrpc.errors import StreamClosedError, StreamResetError, StreamTimeoutError
from pybrpc.protocols.streaming.stream_frame import CLOSE, DATA, RST
from pybrpc.streams.aio_stream import AioStream
from tests.fakes.streams import StreamSide


def opened(side: StreamSide, **options: Any) -> AioStream:
    return AioStream(side.open(**{"min_buf_size": 0, **options}))


async def begun(waiting: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A task that has come to its wait."""
    task = asyncio.create_task(waiting)
    await asyncio.sleep(0)
    assert not task.done()
    return task


def test_send_waits_for_the_window(side: StreamSide) -> None:
    async def main() -> None:
        stream = opened(side, max_buf_size=1)
        await stream.send(b"1")
        sending = await begun(stream.send(b"2"))
        many = await begun(stream.send_many([b"3", b"4"]))
        draining = await begun(stream.drain())
        for consumed in range(1, 5):
            side.feedback(stream._core, consumed)
        await asyncio.gather(sending, many, draining)
        assert side.sent_data() == [b"1", b"2", b"3", b"4"]
        await stream.drain()
        await stream.wait_consumed()
        stream.reset()

    asyncio.run(main())


def test_timeouts(side: StreamSide) -> None:
    async def main() -> None:
        stream = opened(side, max_buf_size=2)
        with pytest.raises(StreamTimeoutError) as caught:
            await stream.send_many([b"1", b"2", b"3"], 0.001)
        assert caught.value.sent == 2
        waits: list[Coroutine[Any, Any, Any]] = [
            stream.send(b"x", 0.001),
            stream.drain(0.001),
            stream.wait_consumed(0.001),
            stream.recv(0.001),
            stream.wait_closed(0.001),
        ]
        for wait in waits:
            with pytest.raises(StreamTimeoutError):
                await wait
        core = stream._core
        assert not any((core._received_waits, core._ended_waits, core.consumed_waits))
        with pytest.raises(StreamTimeoutError):
            await AioStream.close(blocked(side), 0.001)
        stream.reset()

    asyncio.run(main())


def blocked(side: StreamSide) -> AioStream:
    """A stream on which a message waits that is never sent."""
    stream = opened(side, max_buf_size=1)
    assert stream._core.try_send(b"1")
    side.table.queue.unwritten += 1 << 30
    return stream


def test_cancelled_recv_loses_no_message(side: StreamSide) -> None:
    async def main() -> None:
        stream = opened(side)
        receiving = await begun(stream.recv())
        receiving.cancel()
        side.data(stream._core, b"1")
        await asyncio.wait([receiving])
        assert await stream.recv() == b"1"
        stream.reset()

    asyncio.run(main())


def test_cancelled_send_is_not_sent(side: StreamSide) -> None:
    async def main() -> None:
        stream = opened(side, max_buf_size=1)
        await stream.send(b"1")
        sending = await begun(stream.send(b"2"))
        sending.cancel()
        await asyncio.wait([sending])
        assert sending.cancelled()
        side.feedback(stream._core, 1)
        assert side.sent_data() == [b"1"]
        stream.reset()

    asyncio.run(main())


def test_iteration_and_batches(side: StreamSide) -> None:
    async def main() -> None:
        closed, failed = opened(side), opened(side)
        for stream in (closed, failed):
            side.data(stream._core, b"1", b"2", b"3")
        side.close_by_peer(closed._core)
        side.reset_by_peer(failed._core)
        assert [message async for message in closed] == [b"1", b"2", b"3"]
        batches = failed.batches(2)
        assert [await anext(batches), await anext(batches)] == [[b"1", b"2"], [b"3"]]
        with pytest.raises(StreamResetError):
            await anext(batches)
        with pytest.raises(StreamClosedError):
            await closed.recv()
        assert [batch async for batch in closed.batches()] == []
        with pytest.raises(ValueError, match="batches"):
            failed.batches(0)
        side.sent()
        side.check_idle()

    asyncio.run(main())


def test_ends(side: StreamSide) -> None:
    async def main() -> None:
        stream = opened(side)
        waiting = await begun(stream.wait_closed())
        closing = asyncio.create_task(stream.close())
        await asyncio.sleep(0)
        assert side.sent_kinds() == [CLOSE]
        await closing
        assert await waiting is None
        another = opened(side)
        with pytest.raises(ZeroDivisionError):
            async with another:
                raise ZeroDivisionError
        assert side.sent_kinds() == [RST]
        assert isinstance(await another.wait_closed(), StreamResetError)
        side.check_idle()

    asyncio.run(main())


def test_waits_hear_of_the_end(side: StreamSide) -> None:
    async def main() -> None:
        stream = opened(side, max_buf_size=1)
        await stream.send(b"1")
        tasks = [
            await begun(wait)
            for wait in (stream.send(b"2"), stream.drain(), stream.recv(), stream.wait_consumed())
        ]
        side.reset_by_peer(stream._core)
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, StreamResetError)
        assert side.sent_kinds() == [DATA]

    asyncio.run(main())
