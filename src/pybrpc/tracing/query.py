"""SpanQuery: which spans somebody wants to see. After the parameters of bRPC's /rpcz."""

from __future__ import annotations

from dataclasses import dataclass

from pybrpc.base.checked_options import checked_count, checked_count_or_none
from pybrpc.tracing.ids import MASK_64
from pybrpc.tracing.span import Span

MAX_SCAN = 10_000
"""Most spans that one query looks at."""

MAX_INT = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class SpanQuery:
    """Conditions for spans, all of which must hold. A wrong value is a ValueError.

    before_us          began at or before this time, in microseconds since 1970
    min_latency_us     took at least so many microseconds
    min_request_size   has a request of at least so many bytes
    min_response_size  has a response of at least so many bytes
    log_id             has this log id; 0 finds those without one too
    error_code         ended with this code; 0 is success
    max_scan           look at so many spans at most, from 1 to 10,000, however many of them fit
    limit              return so many spans at most

    A condition that is `None` or 0, and `error_code` and `log_id` that are `None`, holds for all.
    """

    before_us: int | None = None
    min_latency_us: int = 0
    min_request_size: int = 0
    min_response_size: int = 0
    log_id: int | None = None
    error_code: int | None = None
    max_scan: int = 100
    limit: int = MAX_SCAN

    def __post_init__(self) -> None:
        checked_count_or_none("before_us", self.before_us)
        checked_count("min_latency_us", self.min_latency_us)
        checked_count("min_request_size", self.min_request_size)
        checked_count("min_response_size", self.min_response_size)
        checked_count_or_none("log_id", self.log_id, 0, MASK_64)
        checked_count_or_none("error_code", self.error_code, -MAX_INT, MAX_INT)
        checked_count("max_scan", self.max_scan, 1, MAX_SCAN)
        checked_count("limit", self.limit, 1, MAX_SCAN)

    def fits(self, span: Span) -> bool:
        """Whether `span` fulfils all conditions but that of its time. A span without a log id has
        the log id 0, as in bRPC."""
        return (
            span.latency_us >= self.min_latency_us
            and span.request_size >= self.min_request_size
            and span.response_size >= self.min_response_size
            and (self.log_id is None or (span.log_id or 0) == self.log_id)
            and (self.error_code is None or span.error_code == self.error_code)
        )
