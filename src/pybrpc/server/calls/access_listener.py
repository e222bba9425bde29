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
from pybrpc.server.calls.server_call import LOG_IDS, NO_ANSWER, ServerCall


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
                unsigned(request.log_id),
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
            log_id, request_id = unsigned(message.log_id), cut_id(message.request_id)
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


def unsigned(log_id: int | None) -> int | None:
    """A log id as C++ shows it; the field on the wire is signed."""
    return log_id if log_id is None or log_id >= 0 else log_id + LOG_IDS
