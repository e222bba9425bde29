"""MountCounts and ObservedRequest: the variables of a mounted application; the span and the line of
one request to it."""

from __future__ import annotations

import time

from pybrpc.base.flags import OnceFlag
from pybrpc.base.guard import SERVER
from pybrpc.errors import ErrorCode
from pybrpc.protocols.http1 import HttpHeaders
from pybrpc.protocols.message import RpcRequest
from pybrpc.server.calls.call_span import begin_span, end_span, note_answer
from pybrpc.server.calls.method_times import MethodTimes
from pybrpc.server.calls.raw_request import MAX_NAME, NO_SERVICE
from pybrpc.server.connections.server_connection import ServerConnection
from pybrpc.server.http.call_form import number_in
from pybrpc.server.http.request import HttpRequest
from pybrpc.server.http.served import note_served
from pybrpc.tracing.context import extract
from pybrpc.tracing.span import Span
from pybrpc.tracing.switch import wants_server_span

SWITCHED = 101
"""Status of a response behind which a websocket follows."""


class MountCounts:
    """The calls of one application in the variables of its server. Any thread."""

    __slots__ = ("full_name", "times")

    def __init__(self, prefix: str) -> None:
        """`prefix`: the path of the mount."""
        self.full_name = prefix or "/"
        """Its name in variables and on pages: "/app"."""
        self.times: MethodTimes | None = None
        """`None` while its server does not run."""

    def __repr__(self) -> str:
        return f"<MountCounts of {self.full_name}, {self.times!r}>"


class MountFacts:
    """All that the head of a request says beside its path. Kept with the head."""

    __slots__ = ("is_traced", "log_id", "request_id", "trace")

    def __init__(self, headers: HttpHeaders) -> None:
        self.log_id = number_in(headers.get("log-id"))
        self.request_id = headers.get("x-request-id")
        self.trace = extract(headers)
        self.is_traced = self.trace is not None and self.trace.is_traced


class ObservedRequest:
    """One request to an application. `begun` and `answered` are called once each, `ended` counts
    once; none of them raises."""

    __slots__ = ("_connection", "_counts", "_facts", "_has_ended", "_request", "span")

    def __init__(
        self, counts: MountCounts, connection: ServerConnection, request: HttpRequest
    ) -> None:
        """In a turn."""
        self._counts = counts
        self._connection = connection
        self._request = request
        self._has_ended = OnceFlag()
        resolved = request.resolved
        facts = resolved.facts
        if facts is None:
            facts = resolved.facts = MountFacts(resolved.head.headers)
        self._facts: MountFacts = facts
        self.span: Span | None = None
        """`None`: it is not traced, or its span has ended."""
        if wants_server_span(request.received_at, facts.is_traced):
            self.span = self._begin_span()

    def _begin_span(self) -> Span | None:
        request, facts = self._request, self._facts
        head, path = request.head, request.resolved.path
        name = f"{head.method} {path}"[:MAX_NAME]
        rpc = RpcRequest(request.position, NO_SERVICE, name)
        rpc.log_id = facts.log_id
        if facts.trace is not None:
            facts.trace.put_into(rpc)
        return begin_span(self._connection, rpc, name, request.received_at)

    def answered(self) -> None:
        """The head of the response is about to be sent."""
        if self.span is not None:
            note_answer(self.span)

    def end_span(self, error_code: int, received_bytes: int, sent_bytes: int) -> None:
        """End the span, if there is one."""
        span, self.span = self.span, None
        if span is not None:
            span.request_size = received_bytes
            end_span(span, error_code, sent_bytes)

    def ended(self, error_code: int | None, received_bytes: int, sent_bytes: int) -> None:
        """The response is complete, or nothing of it follows. `error_code`: `None` for what the
        status says; else why the response is not whole, NO_ANSWER if there is none."""
        if not self._has_ended.try_set():
            return
        request, facts = self._request, self._facts
        if error_code is None:
            error_code = int(ErrorCode.EHTTP) if request.status >= 500 else 0
        try:
            times = self._counts.times
            if times is not None and request.status != SWITCHED:
                seconds = time.monotonic() - request.received_at
                times.note(self._connection.protocol, error_code, seconds)
            self.end_span(error_code, received_bytes, sent_bytes)
            note_served(
                self._connection,
                request,
                sent_bytes,
                received_bytes,
                error_code,
                facts.log_id,
                facts.request_id,
            )
        except BaseException as error:
            SERVER.caught("%r can't be counted", request, error=error)
