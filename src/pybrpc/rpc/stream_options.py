"""StreamOptions: how one side uses a stream."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from pybrpc.base.checked_options import checked_count, is_number
from pybrpc.errors import RpcError

DEFAULT_MAX_BUF_SIZE = 2 * 1024 * 1024
DEFAULT_MIN_BUF_SIZE = 1024 * 1024
"""Bytes; the defaults of C++ bRPC."""

DEFAULT_MESSAGES_IN_BATCH = 128
"""The default of C++ bRPC."""

DEFAULT_MAX_UNREAD_BYTES = 160 * 1024 * 1024
"""More than a default window of messages of one byte, which count 65 bytes each."""

DEFAULT_MAX_MESSAGE_SIZE = 64 * 1024 * 1024
DEFAULT_MAX_SEGMENT_SIZE = 32 * 1024 * 1024

OnMessages = Callable[[Any, list[bytes]], Any]
OnClosed = Callable[[Any, RpcError | None], Any]
OnIdle = Callable[[Any], Any]


def _check_seconds(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, int | float) or not is_number(value) or not 0 < value < 1e9:
        raise ValueError(f"{name} must be None or seconds > 0, not {value!r}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """How this side uses a stream. The other side has options of its own.

    max_buf_size       bytes that this side may have sent and the other side has not consumed; the
                       message that reaches it is still sent. 0 or less: no limit
    min_buf_size       the least that `max_buf_size` is lowered to while the streams of the
                       connection together hold more than its `max_streams_unconsumed_bytes`;
                       one above `max_buf_size` counts as 0, as in C++: no least
    max_unread_bytes   bytes that were received and not yet taken, and 64 for each message; over it
                       the stream is reset. Should be more than what fits in the window of the
                       sender: of messages of one byte, 65 times its `max_buf_size`
    max_message_size   bytes of one received message; over it the stream is reset
    idle_timeout       seconds without a received message after which `on_idle_timeout` is called,
                       again and again; without that function the stream is reset. `None`: never
    lifetime           seconds after which the stream is reset, whatever it does; `None`: never
    max_segment_size   bytes of one frame; a longer message is sent in segments, which the other
                       side joins. C++ bRPC closes a connection that sends frames over 64 MiB
    messages_in_batch  the most messages that `on_messages` gets at once
    on_messages        on_messages(stream, messages): called with the messages, instead of `recv`
    on_closed          on_closed(stream, error): the end, once; `None` if the peer, or this side,
                       has closed the stream
    on_idle_timeout    on_idle_timeout(stream)

    The functions of one stream never run at the same time. For threads they are plain functions,
    and run in threads made for this; in asyncio they may be async functions, and run in the loop.
    What `on_messages` raises is logged and resets the stream; an RpcError after the end of the
    stream, because the peer is gone, is neither.
    """

    max_buf_size: int = DEFAULT_MAX_BUF_SIZE
    min_buf_size: int = DEFAULT_MIN_BUF_SIZE
    max_unread_bytes: int = DEFAULT_MAX_UNREAD_BYTES
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE
    max_segment_size: int = DEFAULT_MAX_SEGMENT_SIZE
    idle_timeout: float | None = None
    lifetime: float | None = None
    messages_in_batch: int = DEFAULT_MESSAGES_IN_BATCH
    on_messages: OnMessages | None = None
    on_closed: OnClosed | None = None
    on_idle_timeout: OnIdle | None = None

    def __post_init__(self) -> None:
        most = 2**62
        checked_count("max_buf_size", self.max_buf_size, -most, most)
        checked_count("min_buf_size", self.min_buf_size, -most, most)
        checked_count("max_unread_bytes", self.max_unread_bytes, 1)
        checked_count("max_message_size", self.max_message_size, 1)
        checked_count("max_segment_size", self.max_segment_size, 1, 2**30)
        checked_count("messages_in_batch", self.messages_in_batch, 1)
        _check_seconds("idle_timeout", self.idle_timeout)
        _check_seconds("lifetime", self.lifetime)
        for name in ("on_messages", "on_closed", "on_idle_timeout"):
            function = getattr(self, name)
            if function is not None and not callable(function):
                raise TypeError(f"{name} must be a function or None, not {function!r}")
        if self.on_idle_timeout is not None and self.idle_timeout is None:
            raise ValueError("on_idle_timeout needs idle_timeout, in seconds")

    @property
    def functions(self) -> tuple[Any, ...]:
        """The functions that were given."""
        given = (self.on_messages, self.on_closed, self.on_idle_timeout)
        return tuple(function for function in given if function is not None)


DEFAULT_OPTIONS = StreamOptions()
