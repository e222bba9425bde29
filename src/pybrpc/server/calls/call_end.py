"""CallEnd: the place that each admitted call passes once, when it is over.

However a call ends, it ends here: answered, failed, dropped because its peer is gone, refused after
it was admitted. Everything that counts calls, or waits for them, does it here. The end has two
moments:

1. The outcome is certain. The call leaves the limits, so that a client that has its response is
   under the limit again. The first one that makes a call leave ends it; later ones do nothing.
2. The response is queued for writing. The connection counts the memory of the request no more, and
   may be closed when it has no calls left.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

from pybrpc.base.atomic import AtomicCounter
from pybrpc.base.guard import SERVER
from pybrpc.errors import ErrorCode, RpcError, make_rpc_error
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.server.access_log.access_line import HttpSummary
from pybrpc.server.calls.admission import Admission
from pybrpc.server.calls.call_span import end_span
from pybrpc.server.calls.interfaces import CallConnection
from pybrpc.server.calls.ordered_replies import OrderedReplies
from pybrpc.server.calls.server_call import NO_ANSWER, ServerCall
from pybrpc.transport.socket.socket import Socket


class EndListener(Protocol):
    """An object that wants to know how each call went: a limiter, metrics, a trace."""

    def on_call_end(self, call: ServerCall, latency_s: float) -> None:
        """`call` has ended, `latency_s` after it was read. Any thread; must not block.

        `call` has its `error_code`, which is NO_ANSWER if nobody gets a response, and the bytes of
        its request and response.
        What this raises is logged.
        """


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """A request that was answered with an error and never became a call."""

    connection: CallConnection
    message: Any
    """The RpcRequest, BadMessage or OversizedMessage."""
    error_code: int
    sent_bytes: int
    """Bytes of the response."""
    latency_s: float
    """Seconds since it was read."""
    http: HttpSummary | None = None
    """Set for a request of HTTP."""


@dataclass(frozen=True, slots=True)
class ServedRequest:
    """A request of HTTP that is no call: a page or a mounted application has answered it."""

    connection: CallConnection
    http: HttpSummary
    error_code: int
    """0: success; NO_ANSWER: nobody got a whole response."""
    received_bytes: int
    """Bytes of the body."""
    sent_bytes: int
    """Bytes of the response."""
    latency_s: float
    """Seconds since its head was read."""
    log_id: int | None = None
    request_id: str | None = None


class ServedListener(Protocol):
    """An object that wants to know of the requests that are no calls."""

    def on_served(self, served: ServedRequest) -> None:
        """Any thread; must not block. What this raises is logged."""


class RefusalListener(Protocol):
    """An object that wants to know of the requests that are refused."""

    def on_refused(self, refused: RefusedRequest) -> None:
        """In a turn; must not block. What this raises is logged."""


class CallEnd:
    """Ends the calls of one server. Any thread; nothing here raises."""

    __slots__ = ("_admission", "_errors", "listeners", "refusal_listeners", "served_listeners")

    def __init__(self, admission: Admission, errors: AtomicCounter) -> None:
        """`errors` counts the requests that are answered with an error."""
        self._admission = admission
        self._errors = errors
        self.listeners: tuple[EndListener, ...] = ()
        self.refusal_listeners: tuple[RefusalListener, ...] = ()
        self.served_listeners: tuple[ServedListener, ...] = ()

    def end(self, connection: CallConnection, calls: list[ServerCall], data: IOBuf | None) -> None:
        """End `calls` of `connection`, of which some may have ended already.

        `data` are the bytes of their responses; `None` if nobody would read them.
        """
        now = monotonic()
        replies = connection.replies
        if replies is not None:
            _note_dropped(replies, calls)
        ended = self._leave(calls, now)
        if not ended:
            return
        try:
            self._note(connection, ended, now)
        except BaseException as error:
            SERVER.caught("%r can't count its calls", connection, error=error)
        try:
            if replies is not None:
                if data is not None:
                    replies.write()
                else:
                    _fail_missing(replies, ended)
            elif data is not None:
                write_answer(connection.socket, data)
        finally:
            # First the listeners: once the calls are forgotten, a stop may end what these use.
            try:
                if self.listeners:
                    self._notify(ended)
            finally:
                self._forget(connection, ended)

    def _leave(self, calls: list[ServerCall], now: float) -> list[ServerCall]:
        """The first moment. Return the calls that had not ended before."""
        admission = self._admission
        ended: list[ServerCall] = []
        for call in calls:
            if admission.leave(call, now):
                ended.append(call)
                if call.entry.enable_progressive_read:
                    _count_body(call)
                if call.error_code and call.error_code != NO_ANSWER:
                    self._errors.increment_and_get(1)
        return ended

    def _note(self, connection: CallConnection, calls: list[ServerCall], now: float) -> None:
        """Count `calls` in the variables of their methods, before a client has its response."""
        protocol = connection.protocol
        for call in calls:
            times = call.entry.times
            if times is not None:
                times.note(protocol, call.error_code, now - call.received_at)

    def _forget(self, connection: CallConnection, calls: list[ServerCall]) -> None:
        """The second moment."""
        size_bytes = 0
        for call in calls:
            size_bytes += call.size_bytes
            if call.streams is not None:
                _open_streams(call)
            if call.span is not None:
                end_span(call.span, call.error_code, call.sent_bytes)
        connection.calls.difference_update(calls)
        connection.unanswered.remove(size_bytes, len(calls))
        try:
            connection.on_calls_ended()
        except BaseException as error:
            SERVER.caught("%r raised when its calls ended", connection, error=error)

    def _notify(self, calls: list[ServerCall]) -> None:
        now = monotonic()
        for call in calls:
            for listener in self.listeners:
                try:
                    listener.on_call_end(call, now - call.received_at)
                except BaseException as error:
                    SERVER.caught("%r raised at the end of a call", listener, error=error)

    def note_refused(self, refused: RefusedRequest) -> None:
        """A request was refused. For a server with `refusal_listeners`."""
        for listener in self.refusal_listeners:
            try:
                listener.on_refused(refused)
            except BaseException as error:
                SERVER.caught("%r raised at a refusal", listener, error=error)

    def note_served(self, served: ServedRequest) -> None:
        """A request was answered that is no call. For a server with `served_listeners`."""
        for listener in self.served_listeners:
            try:
                listener.on_served(served)
            except BaseException as error:
                SERVER.caught("%r raised at the end of a request", listener, error=error)


def _fail_missing(replies: OrderedReplies, calls: list[ServerCall]) -> None:
    """`calls` have no responses: unless nobody was to get them, none can be written behind."""
    for call in calls:
        if not replies.drops(call.position):
            replies.fail_missing()
            return


def received_bytes_of(call: ServerCall) -> int:
    """Bytes of the request that have come. Of a body that its handler reads in parts, so far."""
    form = call.form
    if form is None or not call.entry.enable_progressive_read:
        return call.received_bytes
    return form.received_bytes(call)


def _count_body(call: ServerCall) -> None:
    call.received_bytes = received_bytes_of(call)
    if call.span is not None:
        call.span.request_size = call.received_bytes


def _note_dropped(replies: OrderedReplies, calls: list[ServerCall]) -> None:
    """An earlier response ends the connection, so nobody gets those of some calls."""
    for call in calls:
        if replies.drops(call.position):
            call.error_code = NO_ANSWER


def _open_streams(call: ServerCall) -> None:
    """The answer of `call` was given to the socket, or there is none."""
    try:
        assert call.streams is not None
        call.streams.on_answered(not call.error_code)
    except BaseException as error:
        SERVER.caught("%r can't open its streams", call, error=error)


def write_answer(socket: Socket, data: IOBuf) -> None:
    """Queue the bytes of one or more responses. They are lost if the connection is gone."""
    try:
        socket.start_write(data, ignore_eovercrowded=True)
    except RpcError:
        return
    except BaseException as error:
        SERVER.caught("%r can't write a response", socket, error=error)
        # Some of its bytes may be lost; and its client must not wait for them.
        text = f"Fail to write a response: {type(error).__name__}"
        socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, text))
