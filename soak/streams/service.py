"""The handlers' part: streams that a call of the soak, or a hostile peer, asks for."""

from __future__ import annotations

import asyncio
from typing import Any

import pybrpc
from pybrpc.rpc.stream_options import StreamOptions
from soak.on_purpose import ON_PURPOSE, raise_if
from soak.streams.book import Side, StreamBook, StreamedCall
from soak.streams.numbered import pack
from soak.streams.script import run_blocking
from soak.streams.sides import Functions, script_of

STREAMS = "streams "
"""Before the number of the call, in the message of a request."""
UNREAD = "streams that nobody reads"
UNREAD_OPTIONS = StreamOptions(max_unread_bytes=1 << 20, idle_timeout=1.0)


class StreamHandlers:
    """Accepts streams in plain or in async handlers."""

    def __init__(self, book: StreamBook, is_async: bool) -> None:
        self._book = book
        self._is_async = is_async

    def accept_if_asked(self, message: str, controller: pybrpc.Controller) -> None:
        """Accept the streams that a request with this message asks for, if it does. In a loop, if
        the handler is async. Raises what the plan says."""
        if message == UNREAD:
            controller.accept_streams(
                UNREAD_OPTIONS, body=read_nothing_async if self._is_async else read_nothing
            )
        elif message.startswith(STREAMS):
            call = self._book.find(int(message.removeprefix(STREAMS)))
            if call is None:
                raise ValueError(ON_PURPOSE)  # its client is gone for long
            self._accept(call, controller)

    def _accept(self, call: StreamedCall, controller: pybrpc.Controller) -> None:
        plan = call.plan.server
        options = Functions(call, is_client=False).options(self._is_async)
        sides: dict[int, Side] = {}
        body: Any = None
        if not plan.has_functions and plan.end != "leave":
            body = _async_body(sides) if self._is_async else _body(sides)
        streams = controller.accept_streams(options, body=body)
        for index, stream in enumerate(streams):
            side = sides[stream.id] = call.side(False, stream.id, index)
            side.loop = asyncio.get_running_loop() if self._is_async else None
            self._send_early(stream, side)
        if call.plan.handler_raises is not None or plan.end == "leave":
            for side in sides.values():
                side.may_reset = True
                if not plan.is_told_of_end:
                    self._book.over(side)
        raise_if(call.plan.handler_raises)

    def _send_early(self, stream: Any, side: Side) -> None:
        """Before the response; as much as the window takes."""
        for number in range(side.call.plan.early):
            assert side.index is not None
            message = pack(side.call.number, side.index, False, number, side.plan.sizes[number])
            side.tried += 1
            try:
                stream.send_nowait(message)
            except pybrpc.errors.OvercrowdedError:
                side.tried -= 1
                return
            except pybrpc.RpcError as error:
                side.on_error(error)
                side.may_reset = True
                stream.reset()
                return
            side.on_sent(1)


def _body(sides: dict[int, Side]) -> Any:
    def body(stream: Any) -> None:
        side = sides[stream.id]
        run_blocking(script_of(stream, side, False).run())
        _raise_at_end(side)

    return body


def _async_body(sides: dict[int, Side]) -> Any:
    async def body(stream: Any) -> None:
        side = sides[stream.id]
        await script_of(stream, side, True).run()
        _raise_at_end(side)

    return body


def _raise_at_end(side: Side) -> None:
    if side.plan.end == "raise":
        raise ValueError(ON_PURPOSE)


def read_nothing(stream: Any) -> None:
    stream.wait_closed(10)


async def read_nothing_async(stream: Any) -> None:
    await stream.wait_closed(10)
