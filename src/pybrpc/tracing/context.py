"""TraceContext: what a request carries of its trace, and how each protocol carries it.

| where                | what                                                                     |
|----------------------|--------------------------------------------------------------------------|
| baidu_std, hulu      | trace_id, span_id, parent_span_id in the meta, 64 bits each              |
| HTTP, as bRPC        | x-bd-trace-id, x-bd-span-id, x-bd-parent-span-id, decimal                |
| HTTP, as others      | traceparent of W3C Trace Context: a trace id of 128 bits, one span id    |

The trace id of bRPC is the lower half of the one of 128 bits. The meta has no room for the upper
half: if there is one, a `traceparent` among the user fields carries it along.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pybrpc.protocols.message import RpcRequest
from pybrpc.tracing.ids import COUNT_64, MASK_64, as_signed, as_unsigned
from pybrpc.tracing.span import Span

if TYPE_CHECKING:
    from pybrpc.protocols.http1.headers import HttpHeaders

TRACE_ID = "x-bd-trace-id"
SPAN_ID = "x-bd-span-id"
PARENT_SPAN_ID = "x-bd-parent-span-id"
TRACEPARENT = "traceparent"

_DECIMAL = re.compile(r"[0-9]{1,20}", re.ASCII)
_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-([0-9a-f]{16})([0-9a-f]{16})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?",
    re.ASCII | re.DOTALL,
)
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The ids that came with a request.

    trace_id        the lower 64 bits of the id of the trace; not 0
    trace_id_high   the upper 64 bits; 0 if the id has no more than 64
    span_id         that of the call on the side of the caller; 0 if it is not known
    parent_span_id  that of the span in which the caller made the call; 0 if there is none
    is_traced       whether the caller has a span
    """

    trace_id: int
    span_id: int = 0
    parent_span_id: int = 0
    trace_id_high: int = 0
    is_traced: bool = True

    @classmethod
    def of_request(cls, request: RpcRequest) -> TraceContext | None:
        """The ids of a request; `None` if it has none. Whatever the peer has sent, it never
        raises. A trace id may have 128 bits: a protocol that carries so many sets that."""
        number = request.trace_id
        if not number:
            return _of_user_fields(request.user_fields)
        trace_id, high = number & MASK_64, (number >> 64) & MASK_64 if number > 0 else 0
        if not trace_id:
            return None
        if not high and request.user_fields:
            context = _of_user_fields(request.user_fields)
            if context is not None and context.trace_id == trace_id:
                high = context.trace_id_high
        return cls(
            trace_id,
            as_unsigned(request.span_id or 0),
            as_unsigned(request.parent_span_id or 0),
            high,
        )

    def put_into(self, request: RpcRequest) -> None:
        """Let `request`, which came with these ids by another way, such as headers, have them as
        if it carried them. A server calls it before the request gets its span. Ids of a caller that
        has no span are left out."""
        if self.is_traced:
            request.trace_id = (self.trace_id_high << 64) | self.trace_id
            request.span_id = self.span_id
            request.parent_span_id = self.parent_span_id

    @classmethod
    def of_headers(cls, headers: HttpHeaders) -> TraceContext | None:
        """The ids in the headers of a request: those of bRPC, else those of `traceparent`. `None`
        if there are none, or none that are valid. Never raises."""
        other = parse_traceparent(headers.get(TRACEPARENT))
        trace_id = _decimal(headers.get(TRACE_ID))
        if not trace_id:
            return other
        is_same = other is not None and other.trace_id == trace_id
        high = other.trace_id_high if other is not None and is_same else 0
        span_id, parent = _decimal(headers.get(SPAN_ID)), _decimal(headers.get(PARENT_SPAN_ID))
        return cls(trace_id, span_id, parent, high)


def put_into_request(span: Span, request: RpcRequest) -> None:
    """Let `request` carry the ids of `span`, its caller's."""
    request.trace_id = as_signed(span.trace_id)
    request.span_id = as_signed(span.span_id)
    request.parent_span_id = as_signed(span.parent_span_id)
    fields = request.user_fields or {}
    if span.trace_id_high and TRACEPARENT not in fields:
        request.user_fields = {**fields, TRACEPARENT: to_traceparent(span)}


def inject(headers: HttpHeaders, span: Span) -> None:
    """Let a request over HTTP with `headers` carry the ids of `span`, its caller's. Headers of
    these names that are there already are kept."""
    headers.set_default(TRACE_ID, str(span.trace_id))
    headers.set_default(SPAN_ID, str(span.span_id))
    headers.set_default(PARENT_SPAN_ID, str(span.parent_span_id))
    headers.set_default(TRACEPARENT, to_traceparent(span))


def extract(headers: HttpHeaders) -> TraceContext | None:
    """The ids of a request over HTTP; `None` if it has none. Never raises."""
    return TraceContext.of_headers(headers)


def to_traceparent(span: Span) -> str:
    """The `traceparent` of W3C Trace Context for calls that are made in `span`."""
    return f"00-{span.trace_id_high:016x}{span.trace_id:016x}-{span.span_id:016x}-01"


def parse_traceparent(value: str | None) -> TraceContext | None:
    """The ids in a `traceparent`; `None` if it is not valid, or its lower half is 0. Later versions
    may have more fields."""
    if value is None or len(value) > 512:
        return None
    found = _TRACEPARENT.fullmatch(value.strip(" \t"))
    if found is None:
        return None
    version, high, low, span, flags, more = found.groups()
    if (more and version == "00") or not int(low, 16) or not int(span, 16):
        return None
    is_traced = bool(int(flags, 16) & _SAMPLED)
    return TraceContext(int(low, 16), int(span, 16), 0, int(high, 16), is_traced)


def _of_user_fields(fields: Mapping[str, str] | None) -> TraceContext | None:
    value = None if fields is None else fields.get(TRACEPARENT)
    return parse_traceparent(value) if isinstance(value, str) else None


def _decimal(value: str | None) -> int:
    """A number of 64 bits; 0 if it is none."""
    if value is None or not _DECIMAL.fullmatch(value):
        return 0
    number = int(value)
    return number if number < COUNT_64 else 0
