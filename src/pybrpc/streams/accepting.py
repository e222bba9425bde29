"""RequestedStreams: the streams that a request asks for, as the handler on the server accepts them.

The answer of the call tells the client the ids of the server's streams. Until it is on its way,
what the handler sends on them waits.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from pybrpc.base.checked_options import shown
from pybrpc.base.guard import SERVER, deliver_interrupt
from pybrpc.errors import (
    BadRequestError,
    InternalServerError,
    RpcCanceledError,
    RpcError,
)
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.message import StreamSettings
from pybrpc.protocols.streaming.stream_frame import NO_STREAM, data_meta, pack_data
from pybrpc.rpc.serving import set_current_call
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.streams.base import StreamBase
from pybrpc.streams.core import StreamCore
from pybrpc.streams.making import begin_stream, checked_options, make_stream
from pybrpc.streams.table import MAX_STREAMS_PER_REQUEST, StreamTable

Body = Callable[[Any], Any]


class RequestedStreams:
    """The streams of one request. Used by its handler; the answer may be sent by any thread."""

    __slots__ = (
        "_bodies",
        "_get_table",
        "_is_answered",
        "_is_async",
        "_settings",
        "_streams",
        "cores",
    )

    def __init__(
        self, settings: StreamSettings, get_table: Callable[[], StreamTable], is_async: bool
    ) -> None:
        self._settings = settings
        self._get_table = get_table
        self._is_async = is_async
        self._is_answered = False
        self._bodies: list[tuple[Body, StreamBase, Any]] = []
        self._streams: list[StreamBase] = []
        """Those of `cores`, until the answer: if the handler fails, they are not the user's to
        close."""
        self.cores: list[StreamCore] = []
        """The streams that were accepted."""

    @property
    def remote_ids(self) -> tuple[int, ...]:
        """The ids of the client's streams."""
        return (self._settings.stream_id, *self._settings.extra_stream_ids)

    # --- for the handler ---

    def accept(self, options: StreamOptions | None, body: Body | None) -> Any:
        """Accept the one stream that is asked for."""
        count = len(self.remote_ids)
        if count != 1:
            raise BadRequestError(
                f"the request asks for {count} streams, and the handler takes one"
            )
        return self.accept_all(options, body)[0]

    def accept_all(self, options: StreamOptions | None, body: Body | None) -> list[Any]:
        """Accept all streams. RuntimeError if they are accepted already, or the answer was sent."""
        checked = checked_options(options, self._is_async)
        self._check_body(checked, body)
        if self._is_answered:
            raise RuntimeError("the request is answered: its streams can't be accepted any more")
        if self.cores:
            raise RuntimeError("the streams of the request are accepted already")
        remote_ids = self.remote_ids
        if len(remote_ids) > MAX_STREAMS_PER_REQUEST:
            raise BadRequestError(
                f"the request asks for {len(remote_ids)} streams, more than "
                f"{MAX_STREAMS_PER_REQUEST}"
            )
        if len(set(remote_ids)) != len(remote_ids):
            raise BadRequestError("the request asks for two streams with one id")
        table = self._get_table()
        cores: list[StreamCore] = []
        try:
            for remote_id in remote_ids:
                core = table.new_stream(checked)
                cores.append(core)
                settings = self._settings
                core.connect(remote_id, bool(settings.need_feedback), bool(settings.writable))
            streams = [make_stream(core, self._is_async) for core in cores]
            for stream in streams:
                stream.note_handler()
        except BaseException:
            for core in cores:
                table.forget(core)
            raise
        self.cores = cores
        self._streams = streams
        if body is not None:
            loop = asyncio.get_running_loop() if self._is_async else None
            self._bodies = [(body, stream, loop) for stream in streams]
        return streams

    def _check_body(self, options: StreamOptions, body: Body | None) -> None:
        if body is None:
            return
        if not callable(body):
            raise TypeError(f"the body of a stream is a function, not {shown(body)}")
        if inspect.iscoroutinefunction(body) != self._is_async:
            kind = "an async function" if self._is_async else "a plain function"
            raise TypeError(f"the body of this stream must be {kind}, as the handler is: {body!r}")
        if options.on_messages is not None:
            raise TypeError("give on_messages or a body, not both")

    # --- for the answer ---

    def settings_of_answer(self) -> StreamSettings | None:
        """The part of a successful answer that is about streams; `None` if none were accepted."""
        if not self.cores:
            return None
        first, *others = (core.id for core in self.cores)
        return StreamSettings(first, self.cores[0].options.max_buf_size > 0, True, tuple(others))

    def wrapped(self, answer: IOBuf, has_succeeded: bool) -> IOBuf:
        """The frame that carries `answer` to the client: no answer comes after it."""
        self._is_answered = True
        source = self.cores[0].id if has_succeeded and self.cores else NO_STREAM
        return pack_data(data_meta(self._settings.stream_id, source), answer)

    def on_answered(self, has_succeeded: bool) -> None:
        """The answer was given to the socket, or is lost with it. Never raises; any thread."""
        self._is_answered = True
        if not has_succeeded:
            self._fail()
            return
        for core in self.cores:
            core.open()
            begin_stream(core)
        for body, stream, loop in self._bodies:
            try:
                if loop is None:
                    _BodyThread(body, stream).start()
                else:
                    loop.call_soon_threadsafe(_start_task, body, stream)
            except BaseException as error:
                SERVER.raised("the body of %r can't be started", stream, error=error)
                stream._core.reset(InternalServerError("its body can't be started"))
        self._bodies, self._streams = [], []

    def _fail(self) -> None:
        text = "the call that was to open the stream has failed"
        for core in self.cores:
            core.fail(RpcCanceledError(text, peer=core.table.peer))
            if core.consumer is not None:
                core.consumer.begin()
        self._bodies, self._streams = [], []  # last: they have ended now, so that nobody is warned

    def __repr__(self) -> str:
        state = "answered" if self._is_answered else "accepted" if self.cores else "asked for"
        return f"<RequestedStreams {len(self.remote_ids)} {state}>"


def _start_task(body: Body, stream: Any) -> None:
    context = copy_context()
    context.run(set_current_call, None)
    task = asyncio.get_running_loop().create_task(_run_body(body, stream), context=context)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


_tasks: set[asyncio.Task[None]] = set()
"""Tasks that nobody else refers to."""


async def _run_body(body: Body, stream: Any) -> None:
    had_ended = False
    try:
        async with stream:
            try:
                await body(stream)
            finally:
                had_ended = stream._core.has_ended
    except RpcError as error:
        _note_end(stream, error, had_ended)
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        SERVER.raised("the body of %s raised", stream._core.described, error=error)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise


class _BodyThread(threading.Thread):
    """Runs the body of one stream."""

    def __init__(self, body: Body, stream: Any) -> None:
        super().__init__(name=f"pybrpc-stream-{stream.id}", daemon=True)
        self._body = body
        self._stream = stream

    def run(self) -> None:
        body, stream = self._body, self._stream
        had_ended = False
        try:
            with stream:
                try:
                    body(stream)
                finally:
                    had_ended = stream._core.has_ended
        except RpcError as error:
            _note_end(stream, error, had_ended)
        except BaseException as error:
            SERVER.raised("the body of %s raised", stream._core.described, error=error)
            deliver_interrupt(error)
        finally:
            del self._body, self._stream


def _note_end(stream: Any, error: RpcError, had_ended: bool) -> None:
    """A body let out an RpcError. If its stream had ended before, that mostly says so."""
    if had_ended:
        SERVER.debug("the body of %s has ended: %s", stream._core.described, error)
    else:
        SERVER.raised("the body of %s raised", stream._core.described, error=error)
