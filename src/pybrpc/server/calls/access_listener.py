"""AccessListener: tells the access log of each request that has ended, or was refused.

It listens to CallEnd and is no interceptor: interceptors see the calls that reach a handler, and
the access log shows also those that have not, as their limit was reached, say.
"""

from __future__ import annotations

import time
from typing import Protocol

from pybrpc.protocols.message import RpcRequest
from pybrpc.server.access_log.access_line import AccessRecord, cut_id
from pybrpc.server.calls.call_end import RefusedRequest, ServedRequest
from pybrpc.server.calls.raw_request import NO_SERVICE, called_name
from pybrpc.server.calls.server_call import NO_ANSWER, ServerCall
from pybrpc.tracing.ids import as_unsigned


class RecordQueue(Protocol):
    """The AccessWriter, as this module sees it."""

    def put(self, record: AccessRecord) -> None:
        """Have `record` logged soon, or dropped. Never blocks."""


class AccessListener:
    """An EndListener, a RefusalListener and a ServedListener. Any thread; never blocks."""

    __slots__ = ("_queue",)

    def __init__(self, queue: RecordQueue) -> None:
        self._queue = queue

    def on_call_end(self, call: ServerCall, latency_s: float) -> None:
        request, connection, code = call.request, call.connection, call.error_code
        http = None if call.form is None else call.form.http_summary()
        if http is not None and code == NO_ANSWER:
            http = http._replace(status=0)  # the response was made, and dropped
        self._queue.put(
            AccessRecord(
                time.time(),
                connection.socket.remote_side,
                connection.protocol.name,
                call.full_name(),
                None if code == NO_ANSWER else code,
                latency_s,
                call.received_bytes,
                0 if code == NO_ANSWER else call.sent_bytes,
                _log_id_of(request),
                cut_id(request.request_id),
                http,
            )
        )

    def on_served(self, served: ServedRequest) -> None:
        connection, code = served.connection, served.error_code
        self._queue.put(
            AccessRecord(
                time.time(),
                connection.socket.remote_side,
                connection.protocol.name,
                "",
                None if code == NO_ANSWER else code,
                served.latency_s,
                served.received_bytes,
                served.sent_bytes,
                served.log_id,
                cut_id(served.request_id),
                served.http,
            )
        )

    def on_refused(self, refused: RefusedRequest) -> None:
        message, connection = refused.message, refused.connection
        method, received_bytes = "", 0
        log_id: int | None = None
        request_id: str | None = None
        if isinstance(message, RpcRequest):
            # Of HTTP, the line has the path anyway.
            has_method = refused.http is None or message.service != NO_SERVICE
            method = called_name(message) if has_method else ""
            received_bytes = len(message.body)
            if message.attachment is not None:
                received_bytes += len(message.attachment)
            log_id, request_id = _log_id_of(message), cut_id(message.request_id)
        self._queue.put(
            AccessRecord(
                time.time(),
                connection.socket.remote_side,
                connection.protocol.name,
                method,
                refused.error_code,
                refused.latency_s,
                received_bytes,
                refused.sent_bytes,
                log_id,
                request_id,
                refused.http,
            )
        )

    def __repr__(self) -> str:
        return f"<AccessListener to {self._queue!r}>"


def _log_id_of(request: RpcRequest) -> int | None:
    """It is unsigned, as in C++; the field that carries it is not."""
    log_id = request.log_id
    return None if log_id is None else as_unsigned(log_id)
