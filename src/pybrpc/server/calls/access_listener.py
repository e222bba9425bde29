"""AccessListener: tells the access log of each call that has ended, and of each that was refused.

It listens to CallEnd and is no interceptor: interceptors see the calls that reach a handler, and
the access log shows also those that have not, as their limit was reached, say.
"""

from __future__ import annotations

import time
from typing import Protocol

from pybrpc.protocols.message import RpcRequest
from pybrpc.server.access_log.access_line import AccessRecord, cut_id
from pybrpc.server.calls.call_end import RefusedRequest
from pybrpc.server.calls.raw_request import called_name
from pybrpc.server.calls.server_call import NO_ANSWER, ServerCall
from pybrpc.tracing.ids import as_unsigned


class RecordQueue(Protocol):
    """The AccessWriter, as this module sees it."""

    def put(self, record: AccessRecord) -> None:
        """Have `record` logged soon, or dropped. Never blocks."""


class AccessListener:
    """An EndListener and a RefusalListener. Any thread; never blocks."""

    __slots__ = ("_queue",)

    def __init__(self, queue: RecordQueue) -> None:
        self._queue = queue

    def on_call_end(self, call: ServerCall, latency_s: float) -> None:
        request, connection, code = call.request, call.connection, call.error_code
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
            )
        )

    def on_refused(self, refused: RefusedRequest) -> None:
        message, connection = refused.message, refused.connection
        method, received_bytes = "", 0
        log_id: int | None = None
        request_id: str | None = None
        if isinstance(message, RpcRequest):
            method = called_name(message)
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
            )
        )

    def __repr__(self) -> str:
        return f"<AccessListener to {self._queue!r}>"


def _log_id_of(request: RpcRequest) -> int | None:
    """It is unsigned, as in C++; the field that carries it is not."""
    log_id = request.log_id
    return None if log_id is None else as_unsigned(log_id)
