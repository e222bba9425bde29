"""Rpcz: the tracing of one process: its options, its sampler, its store.

A call whose caller is traced is traced too, as in bRPC, and also if `enabled` is False; but only as
far as the limit of this process allows (see Sampler).
"""

from __future__ import annotations

import atexit
import os
import time
from dataclasses import dataclass

from pybrpc.base.checked_options import checked_count, checked_flag, checked_function_or_none
from pybrpc.protocols.message import RpcRequest
from pybrpc.tracing import switch
from pybrpc.tracing.context import TraceContext
from pybrpc.tracing.delivery import Delivery, SpanListener
from pybrpc.tracing.ids import new_id
from pybrpc.tracing.sampler import BURST_S, NESTED_DEBT_S, Sampler
from pybrpc.tracing.span import (
    CLIENT_SIDE,
    SERVER_SIDE,
    InFlight,
    InFlightCount,
    Span,
    SpanKind,
)
from pybrpc.tracing.store import SpanStore, StoreStatistics

DEFAULT_PER_SECOND = 1000
"""Spans per second, as bRPC's bvar_collector_expected_per_second."""

DEFAULT_BYTES = 16 << 20
"""Memory of the store, in bytes."""

MAX_PER_SECOND = 1_000_000
MAX_BYTES = 1 << 40
MAX_IN_FLIGHT = 10_000
"""Spans of calls that have not ended; calls beyond get none."""

MAX_NOTES_BYTES = 16 << 20
"""Memory of the annotations of spans in flight, in bytes; further ones are dropped."""


@dataclass(frozen=True, slots=True)
class RpczStatistics:
    """Numbers of the spans of this process.

    enabled    whether requests and calls get spans
    in_flight  spans that have not ended
    dropped    spans that a function of `on_span_end` did not get, because it is too slow
    store      numbers of the spans that are kept
    """

    enabled: bool
    in_flight: int
    dropped: int
    store: StoreStatistics


class Rpcz:
    """The tracing of this process: `pybrpc.tracing.rpcz` is the only one. Any thread.

    Options may be changed at any time; a wrong value is a ValueError or a TypeError.
    """

    def __init__(self) -> None:
        self._sampler = Sampler(DEFAULT_PER_SECOND)
        self._in_flight = InFlightCount(MAX_IN_FLIGHT, MAX_NOTES_BYTES)
        self._min_latency_us = 0
        self._delivery = Delivery()
        self.store = SpanStore(DEFAULT_BYTES)
        """The spans that have ended."""

    # --- options ---

    @property
    def enabled(self) -> bool:
        """Whether this process chooses calls to trace; bRPC's flag enable_rpcz. False at first."""
        return switch.is_on()

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        switch.set_switch(checked_flag("enabled", enabled), switch.follows_upstream())

    @property
    def follows_upstream(self) -> bool:
        """Whether calls whose caller is traced are traced, whatever `enabled` is. True at first."""
        return switch.follows_upstream()

    @follows_upstream.setter
    def follows_upstream(self, follows: bool) -> None:
        switch.set_switch(switch.is_on(), checked_flag("follows_upstream", follows))

    @property
    def max_spans_per_second(self) -> int:
        """Spans per second at most, whichever side asks for them; 1,000 at first, 0: none."""
        return self._sampler.per_second

    @max_spans_per_second.setter
    def max_spans_per_second(self, count: int) -> None:
        checked = checked_count("max_spans_per_second", count, 0, MAX_PER_SECOND)
        self._sampler.per_second = checked
        switch.close_until(0.0, 0.0)

    @property
    def max_bytes(self) -> int:
        """Memory of spans that have ended, in bytes; 16 MiB at first. The oldest ones leave."""
        return self.store.max_bytes

    @max_bytes.setter
    def max_bytes(self, size: int) -> None:
        self.store.max_bytes = checked_count("max_bytes", size, 0, MAX_BYTES)

    @property
    def min_latency_us(self) -> int:
        """Microseconds; spans of shorter calls are not kept. bRPC's rpcz_save_span_min_latency_us;
        0 at first."""
        return self._min_latency_us

    @min_latency_us.setter
    def min_latency_us(self, latency_us: int) -> None:
        self._min_latency_us = checked_count("min_latency_us", latency_us)

    def statistics(self) -> RpczStatistics:
        """Its numbers, as they are now."""
        return RpczStatistics(
            self.enabled, self._in_flight.count, self._delivery.dropped, self.store.statistics()
        )

    # --- functions of the user ---

    def on_span_end(self, function: SpanListener) -> SpanListener:
        """Call `function` with each span that ends from now on, nested ones too, in a thread of its
        own: it may block, and what it raises is logged. If it is slower than spans end, some are
        dropped (`statistics().dropped`). At the exit of the process it gets the last spans, for a
        second at most. Returns `function`, so it may be used as a decorator."""
        if function is None:
            raise TypeError("function must be a function, not None")
        self._delivery.add(checked_function_or_none("function", function, "span"))
        # Now, so that it runs before the exporters end that the function uses.
        atexit.unregister(self.flush)
        atexit.register(self.flush)
        return function

    def remove_span_end(self, function: SpanListener) -> bool:
        """Don't call `function` any more; False if it was not called. May block for a second: it
        gets the spans that have ended before."""
        return self._delivery.remove(function)

    def flush(self, timeout_s: float = 1.0) -> bool:
        """Wait until the functions of `on_span_end` have all spans that have ended. False after
        `timeout_s` seconds."""
        return self._delivery.flush(timeout_s)

    # --- for the calls ---

    def begin_server_span(
        self, request: RpcRequest, method: str, now: float, context: TraceContext | None = None
    ) -> Span | None:
        """The span of a request that was read at `now`, in monotonic seconds. `None`: it gets none.

        `context`: the ids that came with it, if they are not in `request`.
        """
        if context is None and (request.trace_id is not None or request.user_fields):
            context = TraceContext.of_request(request)
        is_traced = context is not None and context.is_traced and switch.follows_upstream()
        if not is_traced and not switch.is_on():
            return None
        if not self._try_begin(now, BURST_S if is_traced else 0.0):
            return None
        if context is None:
            span = self._new_span(SERVER_SIDE, method, new_id(), new_id(), 0)
        else:
            span_id = context.span_id or new_id()
            parent_id = context.parent_span_id
            span = self._new_span(SERVER_SIDE, method, context.trace_id, span_id, parent_id)
            span.trace_id_high = context.trace_id_high
            if context.span_id:
                span.share_id()
        span.received_us = span.at_us(now)
        return span

    def begin_client_span(self, method: str, now: float) -> Span | None:
        """The span of a call that begins at `now`, in monotonic seconds. `None`: it gets none."""
        outer = switch.current_span()
        if outer is not None and not outer.has_room:
            # It has ended long ago, or has very many calls: none of these is chosen by itself.
            return None
        if outer is None and not switch.is_on():
            return None
        if not self._try_begin(now, 0.0 if outer is None else NESTED_DEBT_S):
            return None
        if outer is None:
            span = self._new_span(CLIENT_SIDE, method, new_id(), new_id(), 0)
        else:
            trace_id, parent_id = outer.trace_id, outer.span_id
            span = self._new_span(CLIENT_SIDE, method, trace_id, new_id(), parent_id)
            span.trace_id_high = outer.trace_id_high
            outer.add(span)
        span.start_send_us = span.at_us(now)
        return span

    def end(self, span: Span) -> None:
        """The call of `span` has ended. Never blocks, and runs no code of the user."""
        least_us = self._min_latency_us
        if span.end() and (not least_us or span.latency_us >= least_us):
            self.store.put(span)
        self._delivery.put(span)

    def _try_begin(self, now: float, debt_s: float) -> bool:
        """Whether there may be one more span."""
        sampler = self._sampler
        if not sampler.try_take(now, debt_s):
            switch.close_until(sampler.opens_at(now), sampler.opens_at(now, BURST_S))
            return False
        return self._in_flight.try_enter()

    def _new_span(
        self, kind: SpanKind, method: str, trace_id: int, span_id: int, parent_id: int
    ) -> Span:
        base_us = time.time_ns() // 1000 - int(time.monotonic() * 1e6)
        held = InFlight(self._in_flight)
        return Span(kind, method, trace_id, span_id, parent_id, base_us, held)

    def forget_parent(self) -> None:
        """This process was forked: spans, threads and locks are those of the parent. The options
        stay."""
        self._sampler = Sampler(self._sampler.per_second)
        self._in_flight = InFlightCount(MAX_IN_FLIGHT, MAX_NOTES_BYTES)
        self.store = SpanStore(self.store.max_bytes)
        self._delivery.forget_parent()
        switch.leave_current_span()

    def __repr__(self) -> str:
        state = "on" if self.enabled else "off"
        return f"<Rpcz {state}, {len(self.store)} spans>"


RPCZ = Rpcz()
on_span_end = RPCZ.on_span_end
remove_span_end = RPCZ.remove_span_end

os.register_at_fork(after_in_child=RPCZ.forget_parent)
