"""UvloopReader: a reader that uvloop calls as long as there is something to read.

libuv stops watching a descriptor when epoll tells of an error on it (`uv__poll_io`), after one
call. uvloop makes that one call of the reader and goes on as if it watched. When a reset arrives
together with data, the one call reads the data, and nobody would ever hear of the reset. So each
call is followed by a look for an error or a hang-up, which any other loop would tell of by itself.
"""

from __future__ import annotations

import asyncio
import select

from pybrpc.transport.event_dispatcher import Continuation


class UvloopReader:
    """What is given to `loop.add_reader`. Used in the loop's thread only."""

    __slots__ = ("_function", "_loop", "_poll", "is_removed")

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int, function: Continuation) -> None:
        self.is_removed = False
        self._loop = loop
        self._function = function
        self._poll = select.poll()
        self._poll.register(fd, 0)

    def __call__(self) -> None:
        if self.is_removed:
            return
        try:
            self._function()
        finally:
            if not self.is_removed and self._poll.poll(0):
                self._loop.call_soon(self)


def needs_it(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether `loop` is one of uvloop's."""
    return any(kind.__module__.partition(".")[0] == "uvloop" for kind in type(loop).__mro__)
