"""Consumers: the functions of a stream's options, one at a time, the end last."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import Any

import pytest

from pybrpc.errors import RpcError, StreamResetError
from pybrpc.protocols.streaming.stream_frame import CLOSE, FEEDBACK, RST
from pybrpc.streams.making import make_stream
from tests.fakes.streams import StreamSide
from tests.fakes.threads import WAIT_S, wait_until


class Told:
    """Functions that note what they are called with."""

    def __init__(self, raises: dict[str, BaseException] | None = None) -> None:
        self.told: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.running = 0
        self.raises = raises or {}

    def options(self, **more: Any) -> dict[str, Any]:
        return {"on_messages": self.on_messages, "on_closed": self.on_closed, **more}

    def on_messages(self, stream: Any, messages: list[bytes]) -> None:
        self._note("messages", messages)

    def on_closed(self, stream: Any, error: RpcError | None) -> None:
        self._note("closed", error)

    def on_idle_timeout(self, stream: Any) -> None:
        self._note("idle", None)

    def _note(self, name: str, value: Any) -> None:
        self.running += 1
        assert self.running == 1, "two run at once"
        self.running -= 1
        self.told.put((name, value))
        if name in self.raises:
            raise self.raises[name]

    def take(self) -> tuple[str, Any]:
        return self.told.get(timeout=WAIT_S)


def begun(side: StreamSide, **options: Any) -> Any:
    core = side.open(**options)
    stream = make_stream(core, False)
    assert core.consumer is not None
    core.consumer.begin()
    return stream


def test_messages_then_the_end(side: StreamSide) -> None:
    told = Told()
    stream = begun(side, **told.options(messages_in_batch=2))
    side.data(stream._core, b"1", b"2", b"3")
    side.close_by_peer(stream._core)
    received: list[bytes] = []
    while (call := told.take())[0] == "messages":
        assert len(call[1]) <= 2
        received += call[1]
    assert received == [b"1", b"2", b"3"]
    assert call == ("closed", None)
    wait_until(lambda: stream._core.is_over)
    assert side.sent_kinds() in ([CLOSE], [FEEDBACK, CLOSE], [FEEDBACK, FEEDBACK, CLOSE])
    side.check_idle()


def test_feedback_comes_when_the_function_has_returned(side: StreamSide) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def on_messages(stream: Any, messages: list[bytes]) -> None:
        entered.set()
        assert go_on.wait(WAIT_S)

    stream = begun(side, on_messages=on_messages)
    side.data(stream._core, b"12345")
    assert entered.wait(WAIT_S)
    assert side.sent() == []
    go_on.set()
    wait_until(lambda: stream._core.consumed == 5)
    frames: list[Any] = []

    def has_come() -> bool:
        frames.extend(side.sent())
        return bool(frames)

    wait_until(has_come)
    assert [frame.consumed_size for frame in frames] == [5]
    stream.reset()


def test_nothing_is_called_before_the_answer(side: StreamSide) -> None:
    told = Told()
    core = side.open(**told.options())
    make_stream(core, False)
    side.data(core, b"1")
    side.close_by_peer(core)
    assert told.told.empty()
    assert core.consumer is not None
    core.consumer.begin()
    assert told.take() == ("messages", [b"1"])
    assert told.take() == ("closed", None)


def test_function_that_raises_resets_the_stream(
    side: StreamSide, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told({"messages": ZeroDivisionError(), "closed": ValueError()})
    stream = begun(side, **told.options())
    side.data(stream._core, b"1")
    assert told.take()[0] == "messages"
    name, error = told.take()
    assert name == "closed"
    assert isinstance(error, StreamResetError)
    assert "on_messages raised ZeroDivisionError" in error.text
    assert side.sent_kinds() == [RST]
    wait_until(lambda: "on_closed" in caplog.text)
    side.check_idle()


def test_async_function_is_refused_in_threads(
    side: StreamSide, caplog: pytest.LogCaptureFixture
) -> None:
    async def coroutine() -> None:
        """Never runs."""

    closed: queue.SimpleQueue[Any] = queue.SimpleQueue()
    stream = begun(
        side,
        on_messages=lambda stream, messages: coroutine(),
        on_closed=lambda stream, error: closed.put(error),
    )
    side.data(stream._core, b"1")
    assert "raised TypeError" in closed.get(timeout=WAIT_S).text
    assert "must be a plain function" in caplog.text


def test_idle_notices(side: StreamSide) -> None:
    told = Told()
    options = {"on_idle_timeout": told.on_idle_timeout, "idle_timeout": 1}
    stream = begun(side, **told.options(**options))
    consumer = stream._core.consumer
    for _ in range(3):
        consumer.on_idle()
        assert told.take() == ("idle", None)
    stream.reset()
    consumer.on_idle()
    assert told.take()[0] == "closed"


def test_many_streams_have_their_turns(side: StreamSide) -> None:
    told = [Told() for _ in range(40)]
    streams = [begun(side, **each.options(messages_in_batch=1)) for each in told]
    for stream in streams:
        side.data(stream._core, *[b"x"] * 20)
    for each in told:
        assert [each.take()[1] for _ in range(20)] == [[b"x"]] * 20
    for stream in streams:
        stream.reset()
    for each in told:
        assert each.take()[0] == "closed"


def test_no_thread_to_be_had_resets_the_stream(
    side: StreamSide, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def put(threads: object, function: object) -> None:
        raise RuntimeError("can't start new thread")

    told = Told()
    stream = begun(side, **told.options())
    with monkeypatch.context() as patch:
        patch.setattr("pybrpc.streams.callback_threads.CallbackThreads.put", put)
        side.data(stream._core, b"1")
    assert isinstance(stream.failure, StreamResetError)
    assert "no thread" in caplog.text
    assert side.sent_kinds() == [RST]
    side.check_idle()


def test_functions_in_a_loop(side: StreamSide) -> None:
    async def main() -> None:
        told: asyncio.Queue[Any] = asyncio.Queue()

        async def on_messages(stream: Any, messages: list[bytes]) -> None:
            await asyncio.sleep(0)
            told.put_nowait(messages)

        core = side.open(
            on_messages=on_messages, on_closed=lambda stream, error: told.put_nowait(error)
        )
        stream = make_stream(core, True)
        assert core.consumer is not None
        core.consumer.begin()
        side.data(core, b"1", b"2")
        assert await told.get() == [b"1", b"2"]
        await asyncio.to_thread(side.data, core, b"3")
        assert await told.get() == [b"3"]
        side.close_by_peer(core)
        assert await told.get() is None
        assert stream.is_closed

    asyncio.run(main())


def test_cancelled_task_of_a_function_resets_the_stream(side: StreamSide) -> None:
    async def main() -> None:
        entered = asyncio.Event()
        closed: asyncio.Queue[Any] = asyncio.Queue()

        async def on_messages(stream: Any, messages: list[bytes]) -> None:
            entered.set()
            await asyncio.Event().wait()

        core = side.open(
            on_messages=on_messages, on_closed=lambda stream, error: closed.put_nowait(error)
        )
        make_stream(core, True)
        consumer: Any = core.consumer
        consumer.begin()
        side.data(core, b"1")
        await entered.wait()
        consumer._task.cancel()
        assert isinstance(await closed.get(), StreamResetError)

    asyncio.run(main())


def test_end_is_told_though_the_task_that_was_to_tell_it_is_cancelled_before_it_ran(
    side: StreamSide,
) -> None:
    """As at the end of a loop, which cancels all tasks."""

    async def main() -> None:
        closed: asyncio.Queue[Any] = asyncio.Queue()
        core = side.open(on_closed=lambda stream, error: closed.put_nowait(error))
        make_stream(core, True)
        consumer: Any = core.consumer
        consumer.begin()
        side.close_by_peer(core)
        consumer._task.cancel()
        assert await closed.get() is None

    asyncio.run(main())


def test_messages_that_a_cancelled_function_has_not_taken_are_no_clean_end(
    side: StreamSide,
) -> None:
    async def main() -> None:
        entered = asyncio.Event()
        closed: asyncio.Queue[Any] = asyncio.Queue()

        async def on_messages(stream: Any, messages: list[bytes]) -> None:
            entered.set()
            await asyncio.Event().wait()

        core = side.open(
            on_messages=on_messages,
            on_closed=lambda stream, error: closed.put_nowait(error),
            messages_in_batch=1,
        )
        make_stream(core, True)
        consumer: Any = core.consumer
        consumer.begin()
        side.data(core, b"1", b"2")
        side.close_by_peer(core)
        await entered.wait()
        consumer._task.cancel()
        assert isinstance(await closed.get(), StreamResetError)

    asyncio.run(main())
