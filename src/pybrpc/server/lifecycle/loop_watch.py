"""LoopWatch: notices that an asyncio loop ends.

A loop has no callback for that. But `asyncio.run`, and all that work like it, close the
asynchronous generators that were begun in the loop before they close the loop. So one generator
waits for nothing else. A loop that is closed without `shutdown_asyncgens` is not noticed.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable


class LoopWatch:
    """Awaits a function when the running loop ends. Used in the loop, but for `stop`."""

    __slots__ = ("_generator",)

    def __init__(self, on_end: Callable[[], Awaitable[object]]) -> None:
        """`on_end` is awaited in the loop, while that can still run tasks."""
        self._generator = _wait_for_end(on_end)

    def start(self) -> None:
        """Begin to watch the running loop."""
        with contextlib.suppress(StopIteration):
            self._generator.__anext__().send(None)

    def stop(self) -> None:
        """Don't call the function any more. Any thread."""
        # Without a loop there is nothing to wait for; RuntimeError: the function runs just now.
        with contextlib.suppress(StopIteration, StopAsyncIteration, RuntimeError, _Stopped):
            self._generator.athrow(_Stopped()).send(None)


class _Stopped(Exception):
    """Ends the generator without its function."""


async def _wait_for_end(on_end: Callable[[], Awaitable[object]]) -> AsyncGenerator[None, None]:
    try:
        yield
    except _Stopped:
        return
    except GeneratorExit:
        await on_end()
        raise
