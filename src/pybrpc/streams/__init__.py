"""Streams: ordered messages in both directions over the connection of a call that opened them.

`core` is a stream without any form of waiting, `stream` and `aio_stream` are its forms for threads
and for asyncio. `table` has the streams of one connection, `send_queue` gives their messages to its
socket. `opening` is for clients, `accepting` for servers. Nothing here knows a channel or a server.
"""

from __future__ import annotations

from pybrpc.streams.aio_stream import AioStream, AioTypedStream
from pybrpc.streams.stream import Stream, TypedStream

__all__ = ["AioStream", "AioTypedStream", "Stream", "TypedStream"]


def __dir__() -> list[str]:
    return __all__
