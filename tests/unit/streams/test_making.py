"""make_stream and begin_stream: which form, which consumer, which timers."""

from __future__ import annotations

import asyncio
import queue
from typing import Any

import pytest

from pybrpc.rpc.stream_options import DEFAULT_OPTIONS, StreamOptions
from pybrpc.streams.aio_stream import AioStream
from pybrpc.streams.consumers import LoopConsumer, ThreadConsumer
from pybrpc.streams.making import begin_stream, checked_options, make_stream
from pybrpc.streams.stream import Stream
from tests.fakes.streams import StreamSide
from tests.fakes.threads import WAIT_S


def plain(*arguments: object) -> None:
    """A function for the options."""


async def coroutine(*arguments: object) -> None:
    """A function for the options."""


def test_forms(side: StreamSide) -> None:
    stream = make_stream(side.open(), False)
    assert isinstance(stream, Stream)
    assert stream._core.consumer is None
    begin_stream(stream._core)
    assert side.step._timers == []
    stream.reset()
    with_functions = make_stream(side.open(on_closed=plain), False)
    assert isinstance(with_functions._core.consumer, ThreadConsumer)
    with_functions.reset()

    async def main() -> None:
        stream = make_stream(side.open(on_closed=coroutine), True)
        assert isinstance(stream, AioStream)
        assert isinstance(stream._core.consumer, LoopConsumer)
        stream.reset()

    asyncio.run(main())


def test_begun_stream_calls_its_functions_and_has_its_timers(side: StreamSide) -> None:
    closed: queue.SimpleQueue[Any] = queue.SimpleQueue()
    core = side.open(on_closed=lambda stream, error: closed.put(stream), lifetime=5)
    stream = make_stream(core, False)
    begin_stream(core)
    assert core._requires_polling
    assert len(side.step._timers) == 1
    core.reset()
    assert closed.get(timeout=WAIT_S) is stream
    assert not core._requires_polling


def test_options() -> None:
    assert checked_options(None, False) is DEFAULT_OPTIONS
    options = StreamOptions(on_closed=coroutine)
    assert checked_options(options, True) is options
    with pytest.raises(TypeError, match="async function"):
        checked_options(options, False)
    with pytest.raises(TypeError, match="options"):
        checked_options({"max_buf_size": 1}, False)
