"""Streams: ordered messages in both directions over the connection of a call that opened them.

`core` is a stream without any form of waiting, `stream` and `aio_stream` are its forms for threads
and for asyncio. `table` has the streams of one connection, `send_queue` gives their messages to its
socket. `opening` is for clients, `accepting` for servers. Nothing here knows a channel or a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybrpc.base.lazy_names import lazy_names

if TYPE_CHECKING:
    from pybrpc.streams.aio_stream import AioStream, AioTypedStream
    from pybrpc.streams.stream import Stream, TypedStream

__all__ = ["AioStream", "AioTypedStream", "Stream", "TypedStream"]

_DEFINED_IN = {
    "AioStream": "pybrpc.streams.aio_stream",
    "AioTypedStream": "pybrpc.streams.aio_stream",
    "Stream": "pybrpc.streams.stream",
    "TypedStream": "pybrpc.streams.stream",
}

if not TYPE_CHECKING:  # or any attribute would be known to type checkers
    __getattr__, __dir__ = lazy_names(__name__, _DEFINED_IN)
