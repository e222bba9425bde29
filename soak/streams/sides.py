"""Functions: options and functions of all streams that a call gives to one role."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from pybrpc.errors import RpcError
from pybrpc.rpc.stream_options import StreamOptions
from soak.on_purpose import raise_if
from soak.streams.book import Side, StreamedCall
from soak.streams.script import (
    BlockingStream,
    Script,
    blocking_pause,
    loop_pause,
    run_blocking,
)

IDLE_S = 5.0
"""A stream over which nothing comes for so long is reset; its connection may be stalled."""


class Functions:
    """The functions of the streams of one role of a call, which find their side by its id."""

    def __init__(self, call: StreamedCall, is_client: bool) -> None:
        self._call = call
        self._is_client = is_client
        self._plan = call.plan.client if is_client else call.plan.server
        self._replies = not is_client
        self._theirs = call.plan.server if is_client else call.plan.client

    def options(self, is_async: bool) -> StreamOptions:
        """Those of the plan, for threads or for tasks."""
        plan = self._plan
        on_messages = None
        if plan.has_functions:
            on_messages = self.on_messages_async if is_async else self.on_messages
        return StreamOptions(
            max_buf_size=plan.window,
            max_segment_size=plan.segment,
            messages_in_batch=plan.messages_in_batch,
            idle_timeout=IDLE_S,
            on_messages=on_messages,
            on_closed=self.on_closed if plan.is_told_of_end else None,
        )

    def on_messages(self, stream: Any, messages: list[bytes]) -> None:
        """For threads."""
        side = self._enter(stream, messages)
        time.sleep(side.plan.pause_s)
        if self._is_all(side):
            script = Script(BlockingStream(stream), side, stream.reset, blocking_pause)
            run_blocking(script.run_reply())

    async def on_messages_async(self, stream: Any, messages: list[bytes]) -> None:
        """For tasks."""
        side = self._enter(stream, messages)
        try:
            await loop_pause(side.plan.pause_s)
            if self._is_all(side):
                await Script(stream, side, stream.reset, loop_pause).run_reply()
        except asyncio.CancelledError:
            side.may_reset = True  # the loop of the server ends
            raise

    def on_closed(self, stream: Any, error: RpcError | None) -> None:
        self._call.side(self._is_client, stream.id).on_closed(error)
        raise_if(self._plan.raises_at_end)

    def _enter(self, stream: Any, messages: list[bytes]) -> Side:
        side = self._call.side(self._is_client, stream.id)
        side.on_received(messages)
        if self._plan.raises is not None:
            side.may_reset = True
            raise_if(self._plan.raises)
        return side

    def _is_all(self, side: Side) -> bool:
        """Whether all has come that the side has to reply to."""
        return self._replies and side.received == len(self._theirs.sizes)


def script_of(stream: Any, side: Side, is_async: bool) -> Script:
    """The script of one stream."""
    if is_async:
        return Script(stream, side, stream.reset, loop_pause)
    return Script(BlockingStream(stream), side, stream.reset, blocking_pause)
