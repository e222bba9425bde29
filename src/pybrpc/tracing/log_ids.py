"""CallIds: the numbers by which logs and traces of one call are found; and a filter for `logging`.

log_id and request_id are those of the request that the running handler serves, whether it is traced
or not. They are found where the handler's own calls find the ServedCall (see rpc.serving). The ids
of the trace, and the log_id where no ServedCall is found, come from the span.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from pybrpc.base.checked_options import checked_text_or_none
from pybrpc.base.guard import escaped
from pybrpc.rpc.serving import current_ids
from pybrpc.tracing.switch import current_span

MAX_REQUEST_ID_CHARS = 128
"""Characters of a request id that a log shows: the peer has chosen it."""


class CallIds(NamedTuple):
    """The ids of the running call; `None`: it has none."""

    log_id: int | None = None
    request_id: str | None = None
    trace_id: str | None = None
    """Hexadecimal, as bRPC shows it."""
    span_id: str | None = None


def call_ids() -> CallIds:
    """The ids of the call whose handler the running code is part of. Never raises."""
    log_id, request_id = current_ids()
    span = current_span()
    if span is None:
        return CallIds(log_id, request_id)
    if log_id is None:
        log_id = span.log_id
    return CallIds(log_id, request_id, span.shown_trace_id, span.shown_span_id)


class CallIdsFilter(logging.Filter):
    """Gives each record `log_id`, `request_id`, `trace_id` and `span_id`, as texts.

        handler.addFilter(CallIdsFilter())
        handler.setFormatter(logging.Formatter("%(message)s log_id=%(log_id)s trace=%(trace_id)s"))

    A handler of `logging` takes it for all loggers, a logger only for its own records. `missing`
    stands for an id that the call does not have, and in records of other code. A request id is the
    caller's: its control characters are escaped, and it is cut off after 128 characters.
    """

    def __init__(self, missing: str | None = "-") -> None:
        super().__init__()
        self._missing = checked_text_or_none("missing", missing)

    def filter(self, record: logging.LogRecord) -> bool:
        """Set the fields; keep the record."""
        ids = call_ids()
        missing = self._missing
        record.log_id = missing if ids.log_id is None else str(ids.log_id)
        record.request_id = missing if ids.request_id is None else shown_id(ids.request_id)
        record.trace_id = missing if ids.trace_id is None else ids.trace_id
        record.span_id = missing if ids.span_id is None else ids.span_id
        return True


def shown_id(request_id: str) -> str:
    """A request id in one line of bounded length."""
    if len(request_id) > MAX_REQUEST_ID_CHARS:
        request_id = f"{request_id[:MAX_REQUEST_ID_CHARS]}..."
    return escaped(request_id)
