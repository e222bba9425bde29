"""Spans for tests of what keeps and shows them, and the Rpcz of the process, as new, with the spans
that it has stored."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

from pybrpc.tracing import SpanQuery
from pybrpc.tracing.process_rpcz import RPCZ, Rpcz
from pybrpc.tracing.span import InFlight, InFlightCount, Span, SpanKind
from tests.fakes.threads import wait_until


def new_span(kind: SpanKind = SpanKind.SERVER, in_flight: bool = True, **fields: Any) -> Span:
    """A span in flight that began 1000 us after 1970, unless `fields` say otherwise."""
    ids = [
        fields.pop(name, number)
        for name, number in (("trace_id", 7), ("span_id", 8), ("parent_span_id", 0))
    ]
    total = InFlightCount(100, 1 << 20)
    total.try_enter()
    held = InFlight(total) if in_flight else None
    span = Span(kind, fields.pop("method", "echo.EchoService.Echo"), *ids, 0, held)
    start_us = fields.pop("start_us", 1000)
    if kind is SpanKind.SERVER:
        span.received_us = start_us
    else:
        span.start_send_us = start_us
    span.sent_us = start_us + fields.pop("latency_us", 10)
    for name, value in fields.items():
        setattr(span, name, value)
    return span


def ended_span(kind: SpanKind = SpanKind.SERVER, **fields: Any) -> Span:
    """A span as `new_span` makes it, over."""
    span = new_span(kind, **fields)
    span.end()
    return span


@contextlib.contextmanager
def fresh_rpcz(enabled: bool = True) -> Iterator[Rpcz]:
    """The Rpcz of the process, without spans; its options are restored afterwards."""
    options = ("enabled", "follows_upstream", "max_spans_per_second", "max_bytes", "min_latency_us")
    before = {name: getattr(RPCZ, name) for name in options}
    RPCZ.forget_parent()
    RPCZ.enabled = enabled
    try:
        yield RPCZ
    finally:
        for function in RPCZ._delivery.listeners:
            RPCZ.remove_span_end(function)
        for name, value in before.items():
            setattr(RPCZ, name, value)
        RPCZ.store.clear()


def stored(rpcz: Rpcz, count: int) -> list[Span]:
    """All spans, once there are so many: a server's span ends after its response has left."""
    wait_until(lambda: len(rpcz.store) >= count)
    spans = rpcz.store.newest(SpanQuery(max_scan=10_000))
    assert len(spans) == count
    return spans


def sides(spans: list[Span]) -> tuple[Span, Span]:
    """The client's span and the server's of one call."""
    (client,) = [span for span in spans if not span.is_server]
    (server,) = [span for span in spans if span.is_server]
    return client, server


def assert_in_order(*times_us: int) -> None:
    assert list(times_us) == sorted(times_us)
    assert times_us[0] > 0


def own_context(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run `function` in a copy of the context, which it may change."""
    return contextvars.copy_context().run(function, *arguments)
