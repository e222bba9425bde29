"""make_stream: a stream for its user, with what its options ask for."""

from __future__ import annotations

import inspect
from typing import Any

from pybrpc.base.checked_options import checked_instance_or_none
from pybrpc.rpc.stream_options import DEFAULT_OPTIONS, StreamOptions
from pybrpc.streams.aio_stream import AioStream
from pybrpc.streams.base import StreamBase
from pybrpc.streams.consumers import ConsumerBase, LoopConsumer, ThreadConsumer
from pybrpc.streams.core import StreamCore
from pybrpc.streams.stream import Stream
from pybrpc.streams.timers import StreamTimers


def make_stream(core: StreamCore, is_async: bool) -> StreamBase:
    """The stream of `core`. In the loop of its tasks, if `is_async`."""
    stream: StreamBase = AioStream(core) if is_async else Stream(core)
    if core.options.functions:
        consumer: ConsumerBase
        consumer = LoopConsumer(core, stream) if is_async else ThreadConsumer(core, stream)
        core.consumer = consumer
    return stream


def begin_stream(core: StreamCore, crosses_threads: bool = False) -> None:
    """The stream is open, and its user has it: call its functions, start its timers. Any thread.

    `crosses_threads`: tasks of a loop wait for what the dispatcher of the threads reads.
    """
    options = core.options
    if core.consumer is not None:
        core.consumer.begin()
    if core.consumer is not None or crosses_threads:
        core.require_polling()  # events are expected that no blocked thread waits for
    if options.idle_timeout is not None or options.lifetime is not None:
        StreamTimers(core).start()


def checked_options(options: Any, is_async: bool) -> StreamOptions:
    """The options that a user gave, or the defaults; TypeError if they don't fit."""
    checked = checked_instance_or_none("options", options, StreamOptions)
    if checked is None:
        return DEFAULT_OPTIONS
    if not is_async:
        for function in checked.functions:
            if inspect.iscoroutinefunction(function):
                raise TypeError(
                    f"{function!r} is an async function: here streams are for threads, and call "
                    "plain ones"
                )
    return checked
