"""StreamCall: a call that opens streams, from its request to their end. For threads."""

from __future__ import annotations

import dataclasses
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self

from pybrpc.base.checked_options import checked_count
from pybrpc.client.calls.sync_calls import new_blocking_call
from pybrpc.client.channel.options import Timeout
from pybrpc.errors import BadResponseError, ErrorCode, RpcCanceledError, RpcError
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.controller_values import NO_LIMIT_MS
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.streams.making import begin_stream, checked_options, make_stream
from pybrpc.streams.opening import StreamBody, StreamOpening
from pybrpc.streams.stream import CLOSE_TIMEOUT_S, Stream
from pybrpc.streams.table import MAX_STREAMS_PER_REQUEST

if TYPE_CHECKING:
    # The default, of Python 3.13, is for type checkers alone: a bare StreamCall is one of Any.
    from typing_extensions import TypeVar

    from pybrpc.client.calls.call_options import CalledMethod, CallOptions

    Resp = TypeVar("Resp", default=Any)
else:
    from typing import TypeVar

    Resp = TypeVar("Resp")


class StreamCallBase(Generic[Resp]):
    """The part that both forms have in common."""

    __slots__ = (
        "_channel",
        "_is_begun",
        "_method",
        "_options",
        "_request",
        "_streams",
        "_timeout",
        "controller",
        "response",
    )

    _is_async: ClassVar[bool] = False
    """Whether tasks use the streams, not threads."""

    def __init__(
        self,
        channel: Any,
        method: CalledMethod,
        request: Any,
        streams: int,
        options: StreamOptions | None,
        timeout: Timeout,
        controller: Controller | None,
    ) -> None:
        count = checked_count("streams", streams, 1, MAX_STREAMS_PER_REQUEST)
        self._channel = channel
        self._method = method
        self._request = request
        self._streams: Any = count
        self._options = checked_options(options, self._is_async)
        self._timeout = timeout
        self._is_begun = False
        self.controller = Controller() if controller is None else controller
        """Options and results of the call."""
        self.response: Resp = None  # type: ignore[assignment]
        """The response of the call, once it is open."""
        if controller is not None and controller.backup_request_ms not in (None, NO_LIMIT_MS):
            raise ValueError("a call that opens streams can't have a backup request")

    def _opening(self) -> StreamOpening:
        if self._is_begun:
            raise RuntimeError(f"{self!r} was opened before; make another call")
        self._is_begun = True
        return StreamOpening(self._options, self._streams)

    def _call_options(self) -> CallOptions:
        """Those of the channel, without what could open the streams twice."""
        options: CallOptions = self._channel.call_options
        retry = dataclasses.replace(options.retry, may_have_run=False)
        return dataclasses.replace(options, backup=None, retry=retry)

    def _timeout_s(self) -> float | None:
        timeout_s: float | None = self._channel.timeout_of_call(self._timeout, self.controller)
        return timeout_s

    def _opened(
        self,
        opening: StreamOpening,
        response: Any,
        crosses_threads: bool = False,
    ) -> None:
        """The call was answered: give its streams to the user."""
        if not opening.is_open:
            error = BadResponseError(
                f"the server of {self._method.full_name} didn't accept the stream",
                code=ErrorCode.EREQUEST,
                peer=str(self.controller.remote_side),
            )
            opening.fail(error)
            raise error
        self.response = response
        self._streams = [make_stream(core, self._is_async) for core in opening.cores]
        for core in opening.cores:
            begin_stream(core, crosses_threads)

    def _all(self) -> list[Any]:
        if not isinstance(self._streams, list):
            raise RuntimeError(f"{self!r} is not open yet: use `with`, or call open()")
        return self._streams

    def reset(self) -> None:
        """Reset all streams. Never blocks."""
        if isinstance(self._streams, list):
            for stream in self._streams:
                stream.reset()

    def __repr__(self) -> str:
        if isinstance(self._streams, list):
            count = len(self._streams)
            what = f"{count} stream{'' if count == 1 else 's'}"
        else:
            what = "opening" if self._is_begun else "not begun"
        return f"<{type(self).__name__} {self._method.full_name}, {what}>"


class StreamCall(StreamCallBase[Resp]):
    """A call that opens streams: `with stub.Chat.stream(request) as call:`.

    `with` makes the call, and waits for the answer: `call.response`. The streams live until the end
    of the block, which closes them; if it raised, they are reset. The call is sent again only if
    nothing of it was sent, or its method is idempotent. Its timeout is over with the answer.
    """

    __slots__ = ()

    @property
    def stream(self) -> Stream:
        """The first stream."""
        stream: Stream = self._all()[0]
        return stream

    @property
    def streams(self) -> list[Stream]:
        """All streams."""
        return self._all()

    def open(self) -> Self:
        """Make the call, and wait for the answer. Raises its RpcError. For use without `with`."""
        opening = self._opening()
        try:
            call = new_blocking_call(
                self._channel.source_of_blocking(self._method),
                self._method,
                self._request,
                self._timeout_s(),
                self._call_options(),
                self.controller,
            )
            call.body = StreamBody(call.body, opening)
            response = call.wait()
        except BaseException as error:
            opening.fail(as_rpc_error(error))
            raise
        self._opened(opening, response)
        return self

    def close(self, timeout: float | None = CLOSE_TIMEOUT_S) -> None:
        """Close all streams, as `Stream.close`."""
        raised: BaseException | None = None
        for stream in self._all():
            try:
                stream.close(timeout)
            except BaseException as error:
                raised = raised or error
        if raised is not None:
            raise raised

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.reset()


def as_rpc_error(error: BaseException) -> RpcError:
    """The error of the streams of a call that was ended by `error`."""
    if isinstance(error, RpcError):
        return error.copy()
    return RpcCanceledError(f"the call that was to open the stream raised {type(error).__name__}")
