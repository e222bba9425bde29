"""Span: the record of one call on one side: its times, sizes, outcome and annotations.

After bRPC's span.proto. Times are microseconds since 1970. Those of one span are taken from the
monotonic clock, so their differences are right even if the clock of the system is set; 0 means that
the call has not come so far.

While a span is in flight its notes and the spans of nested calls are in an `InFlight`, which counts
their memory, and uncounts it when the last reference to it is gone. So nothing is counted twice or
forgotten, whichever threads annotate, end or lose the span, and no lock is needed: a signal handler
may annotate too.

A nested call that ends while the span that made it ends is kept once. The nested one first stores
that it is over, then loads whether the outer one has ended; the outer one stores and loads the
other way round (see base.atomic). At least one of them sees the other, and a OnceFlag decides.
"""

from __future__ import annotations

from enum import Enum
from sys import getsizeof
from typing import NamedTuple

from pybrpc.base.atomic import AtomicCounter, atomic_counter
from pybrpc.base.endpoint import Endpoint
from pybrpc.base.flags import OnceFlag
from pybrpc.tracing.ids import hex_id

MAX_ANNOTATIONS = 64
"""Annotations of one span; further ones are dropped."""

MAX_ANNOTATION_CHARS = 1024
"""Characters of one annotation; the rest is cut off."""

MAX_CLIENT_SPANS = 64
"""Spans of calls that are made in one span, by its handler or by what that has started. Further
ones get no span: a background task may keep the context of a handler for ever."""

MAX_NAME_CHARS = 256
"""Characters of the name of a method: a generic service has the names that its peers send."""

OTHER_SIDE = 0x9E3779B97F4A7C15
"""Makes the `unique_id` of a server's span from the id of its caller's."""

SPAN_BYTES = 800
"""Estimated memory of a span without annotations, in bytes."""

ANNOTATION_BYTES = 120
"""Estimated memory of an annotation beside its text, in bytes."""


class SpanKind(Enum):
    """The side of the call that a span is of."""

    SERVER = "server"
    CLIENT = "client"


# Looked up once: a member of an enum class costs ten times as much as a global.
SERVER_SIDE = SpanKind.SERVER
CLIENT_SIDE = SpanKind.CLIENT


class Annotation(NamedTuple):
    """A text with its time, in microseconds since 1970."""

    time_us: int
    text: str


class InFlightCount:
    """The totals of all spans in flight: their number, and the bytes of their annotations.

    Any thread; takes no lock.
    """

    __slots__ = ("_bytes", "_count", "max_bytes", "max_count")

    def __init__(self, max_count: int, max_bytes: int) -> None:
        self.max_count = max_count
        self.max_bytes = max_bytes
        self._count = atomic_counter()
        self._bytes: AtomicCounter = atomic_counter()

    @property
    def count(self) -> int:
        """Spans in flight."""
        return self._count.get()

    @property
    def size_bytes(self) -> int:
        """Bytes of their annotations."""
        return self._bytes.get()

    def try_enter(self) -> bool:
        """Count one more span. False if there are too many."""
        if self._count.increment_and_get(1) <= self.max_count:
            return True
        self._count.decrement_and_get(1)
        return False

    def try_hold(self, size: int) -> bool:
        """Count `size` bytes more. False if there are too many."""
        if self._bytes.increment_and_get(size) <= self.max_bytes:
            return True
        self._bytes.decrement_and_get(size)
        return False

    def leave(self, size: int) -> None:
        """A span that held `size` bytes is not in flight any more."""
        self._bytes.decrement_and_get(size)
        self._count.decrement_and_get(1)

    def __repr__(self) -> str:
        return f"<InFlightCount {self.count} spans, {self.size_bytes} bytes>"


class InFlight:
    """All that a span collects until it ends."""

    __slots__ = ("_total", "client_spans", "notes")

    def __init__(self, total: InFlightCount) -> None:
        """`total` has counted the span already."""
        self._total = total
        self.notes: list[Annotation] = []
        self.client_spans: list[Span] = []

    def try_note(self, note: Annotation) -> bool:
        """Add an annotation, unless there are too many."""
        if len(self.notes) >= MAX_ANNOTATIONS or not self._total.try_hold(size_of(note)):
            return False
        self.notes.append(note)
        return True

    def __del__(self) -> None:
        self._total.leave(sum(map(size_of, self.notes)) if self.notes else 0)


class Span:
    """One call, on one side. Any thread may annotate it; the call sets the rest.

    `span_id` of a server's span is that of the caller's span, as in bRPC: one id, two sides.
    """

    __slots__ = (
        "_base_us",
        "_in_flight",
        "_is_kept",
        "annotations",
        "call_id",
        "client_spans",
        "dropped_annotations",
        "error_code",
        "is_over",
        "kind",
        "log_id",
        "made_calls",
        "method",
        "outer",
        "parent_span_id",
        "protocol",
        "received_us",
        "remote_side",
        "request_size",
        "response_size",
        "sent_us",
        "size_bytes",
        "span_id",
        "start_callback_us",
        "start_parse_us",
        "start_send_us",
        "trace_id",
        "trace_id_high",
        "unique_id",
        "unique_parent_id",
    )

    kind: SpanKind
    method: str
    """Full name of the method."""
    trace_id: int
    """64 bits, the same for all calls that one call has led to."""
    trace_id_high: int
    """The upper 64 bits of a trace id of W3C Trace Context or OpenTelemetry; mostly 0."""
    span_id: int
    parent_span_id: int
    """The span in which the call was made; 0: in none."""
    unique_id: int
    """An id that the other side of the call does not have: in a server's span that shares its
    `span_id` with its caller's, another one."""
    unique_parent_id: int
    """The `unique_id` of the span that led to this one, in this process or another; 0: none."""
    outer: Span | None
    """The span of this process in which the call was made, while both are in flight."""
    remote_side: Endpoint | None
    protocol: str
    """Name of the protocol."""
    log_id: int | None
    call_id: int
    """In a client's span: the correlation id of its last attempt."""
    error_code: int
    """0: success."""
    request_size: int
    """Bytes of body and attachment."""
    response_size: int
    """Bytes of body and attachment; of a server, with the head of the message."""
    received_us: int
    """Server: the request was read. Client: the response was."""
    start_parse_us: int
    """Server: it was the turn of the request."""
    start_callback_us: int
    """Server: the handler began. Client: the caller gets an error."""
    start_send_us: int
    """Server: the handler has ended. Client: the call began."""
    sent_us: int
    """The message was given to the connection."""
    annotations: tuple[Annotation, ...]
    """Set at the end."""
    client_spans: tuple[Span, ...]
    """Spans of the calls that the handler has made and that have ended before it; set at the
    end."""
    dropped_annotations: int
    """Annotations that were one too many; inexact if several threads annotate."""
    made_calls: int
    """Calls made in it that got a span; inexact if several threads make them."""
    size_bytes: int
    """Estimated memory; exact enough once it is over."""
    is_over: bool
    """Whether the call has ended."""

    def __init__(
        self,
        kind: SpanKind,
        method: str,
        trace_id: int,
        span_id: int,
        parent_span_id: int,
        base_us: int,
        in_flight: InFlight | None = None,
    ) -> None:
        """`base_us`: microseconds since 1970 when the monotonic clock was 0. `in_flight`: `None`
        makes a span that counts nowhere and takes no annotations."""
        self.kind = kind
        self.method = method if len(method) <= MAX_NAME_CHARS else f"{method[:MAX_NAME_CHARS]}..."
        self.trace_id = trace_id
        self.trace_id_high = 0
        self.span_id = span_id
        self.parent_span_id = parent_span_id
        self.unique_id = span_id
        self.unique_parent_id = 0
        self.outer = None
        self.remote_side = None
        self.protocol = ""
        self.log_id = None
        self.call_id = 0
        self.error_code = 0
        self.request_size = 0
        self.response_size = 0
        self.received_us = 0
        self.start_parse_us = 0
        self.start_callback_us = 0
        self.start_send_us = 0
        self.sent_us = 0
        self.annotations = ()
        self.client_spans = ()
        self.dropped_annotations = 0
        self.made_calls = 0
        self.size_bytes = SPAN_BYTES + len(self.method)
        self.is_over = False
        self._base_us = base_us
        self._in_flight = in_flight
        self._is_kept: OnceFlag | None = None

    # --- while it is in flight ---

    def annotate(self, text: str, now: float) -> bool:
        """Add a text at the time `now`, in monotonic seconds. False if it was dropped: the span has
        ended, or there are too many. Any thread, also in a signal handler."""
        in_flight = self._in_flight
        if in_flight is None:
            return False
        note = Annotation(self.at_us(now), text[:MAX_ANNOTATION_CHARS])
        if in_flight.try_note(note):
            return True
        self.dropped_annotations += 1
        return False

    def share_id(self) -> None:
        """Its `span_id` is that of the caller's span, which has led to it."""
        self.unique_parent_id = self.span_id
        self.unique_id = (self.span_id ^ OTHER_SIDE) or OTHER_SIDE

    @property
    def has_room(self) -> bool:
        """Whether it takes one more span of a call that the handler, or what it has started,
        makes."""
        return self.made_calls < MAX_CLIENT_SPANS

    def add(self, nested: Span) -> None:
        """Note that the call of `nested` was made in it. If it has ended, `nested` will be stored
        by itself, as part of the trace."""
        self.made_calls += 1
        nested.unique_parent_id = self.unique_id
        in_flight = self._in_flight
        if in_flight is not None:
            nested._is_kept = OnceFlag()
            nested.outer = self
            in_flight.client_spans.append(nested)

    def at_us(self, now: float) -> int:
        """Microseconds since 1970 at `now`, in monotonic seconds."""
        return self._base_us + int(now * 1e6)

    def end(self) -> bool:
        """The call has ended, and all other fields are set. True if the span is to be stored by
        itself: no span in flight will store it. Called once, by the thread that ends the call."""
        in_flight, self._in_flight = self._in_flight, None
        if in_flight is not None and in_flight.notes:
            self.annotations = tuple(in_flight.notes)
            self.size_bytes += sum(map(size_of, self.annotations))
        self.is_over = True
        if in_flight is not None and in_flight.client_spans:
            self._keep(in_flight.client_spans)
        outer = self.outer
        if outer is None:
            return True
        self.outer = None
        return outer.is_over and self._try_keep()

    def _keep(self, nested: list[Span]) -> None:
        """Keep the nested ones that are over; the others will store themselves."""
        kept = [span for span in tuple(nested) if span.is_over and span._try_keep()]
        self.client_spans = tuple(kept)
        self.size_bytes += sum(span.size_bytes for span in kept)

    def _try_keep(self) -> bool:
        """Whether this caller is the one that keeps a nested span."""
        return self._is_kept is not None and self._is_kept.try_set()

    # --- as it is shown ---

    @property
    def is_server(self) -> bool:
        """Whether it is of the side that serves the call."""
        return self.kind is SERVER_SIDE

    @property
    def shown_trace_id(self) -> str:
        """The trace id as bRPC shows it: hexadecimal, without leading zeros."""
        return hex_id(self.trace_id)

    @property
    def shown_span_id(self) -> str:
        """The span id, likewise."""
        return hex_id(self.span_id)

    @property
    def start_us(self) -> int:
        """When the call began on this side."""
        return self.received_us if self.kind is SERVER_SIDE else self.start_send_us

    @property
    def end_us(self) -> int:
        """The last of its times."""
        return max(
            self.received_us,
            self.start_parse_us,
            self.start_callback_us,
            self.start_send_us,
            self.sent_us,
        )

    @property
    def latency_us(self) -> int:
        """Microseconds from its first to its last time."""
        return self.end_us - self.start_us

    def __repr__(self) -> str:
        state = f"{self.latency_us} us" if self.is_over else "in flight"
        code = f", error {self.error_code}" if self.error_code else ""
        return (
            f"<Span {self.kind.value} {self.method} trace={self.shown_trace_id} "
            f"span={self.shown_span_id} {state}{code}>"
        )


def size_of(note: Annotation) -> int:
    """Estimated memory of an annotation, in bytes."""
    return ANNOTATION_BYTES + getsizeof(note.text)
