"""Spans as text, in the form of C++ bRPC (builtin/rpcz_service.cpp)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pybrpc.base.guard import escaped
from pybrpc.builtin.units import time_text
from pybrpc.error_codes import ErrorCode
from pybrpc.tracing.ids import hex_id
from pybrpc.tracing.span import Span


class Event(NamedTuple):
    """A step of a call, or an annotation, with its time in microseconds since 1970."""

    time_us: int
    text: str


def list_line(span: Span, is_hex: bool) -> str:
    """A span in the list: its start, its latency, its ids, its method with sizes, its error."""
    side = "S" if span.is_server else "C"
    return (
        f"{time_text_us(span.start_us)}{elapsed_text(span.latency_us)} {side}"
        f" trace={span.shown_trace_id} span={span.shown_span_id}"
        f" log_id={log_id_text(span, is_hex)}"
        f" {escaped(span.method)}({span.request_size})={span.response_size}"
        f" [{error_text(span.error_code)}]"
    )


def span_lines(span: Span, is_hex: bool) -> Iterator[str]:
    """A span with all its steps, those of nested calls among them."""
    previous_us = span.start_us
    for place, event in enumerate(events_of(span, is_hex)):
        if place == 0 and span.is_server:
            yield f"{time_text_us(event.time_us)} {event.text}"
        else:
            clock = time_text_us(event.time_us).partition("-")[2]
            elapsed = elapsed_text(event.time_us - previous_us)
            yield f"{clock}{elapsed} {event.text}"
        previous_us = event.time_us


def events_of(span: Span, is_hex: bool) -> list[Event]:
    """The steps and annotations of a span, and of the calls that were made in it, by time."""
    own = _server_steps(span, is_hex) if span.is_server else _client_steps(span, is_hex)
    nested = (step for inner in span.client_spans for step in events_of(inner, is_hex))
    side = "Server" if span.is_server else "Client"
    notes = (
        Event(note.time_us, f"[{side} SPAN#{span.shown_span_id}] {escaped(note.text)}")
        for note in span.annotations
    )
    return sorted(_happened([*notes, *own, *nested]), key=_time_of)


def _happened(events: Iterable[Event]) -> Iterator[Event]:
    return (event for event in events if event.time_us)


def _time_of(event: Event) -> int:
    return event.time_us


def _server_steps(span: Span, is_hex: bool) -> list[Event]:
    me = f"[Server SPAN#{span.shown_span_id}]"
    parent = f" parent_span={hex_id(span.parent_span_id)}" if span.parent_span_id else ""
    method = escaped(span.method)
    left = f"Leave {method}" if span.start_callback_us else "Responding"
    return [
        Event(
            span.received_us,
            f"Received request({span.request_size}) from {_peer(span)} {_protocol(span)}"
            f" log_id={log_id_text(span, is_hex)} trace={span.shown_trace_id}"
            f" span={span.shown_span_id}{parent}",
        ),
        Event(span.start_parse_us, f"{me} Processing the request"),
        Event(span.start_callback_us, f"{me} Enter {method}"),
        Event(span.start_send_us, f"{me} {left}"),
        Event(span.sent_us, f"{me} Responded({span.response_size})"),
    ]


def _client_steps(span: Span, is_hex: bool) -> list[Event]:
    me = f"[Client SPAN#{span.shown_span_id}]"
    return [
        Event(
            span.start_send_us,
            f"Requesting {escaped(span.method)}@{_peer(span)} {_protocol(span)}"
            f" log_id={log_id_text(span, is_hex)} call_id={span.call_id}"
            f" trace={span.shown_trace_id} span={span.shown_span_id}",
        ),
        Event(span.sent_us, f"{me} Requested({span.request_size})"),
        Event(span.received_us, f"{me} Received response({span.response_size})"),
        Event(span.start_parse_us, f"{me} Processing the response"),
        Event(span.start_callback_us, f"{me} Back to user's callsite"),
    ]


def _peer(span: Span) -> str:
    return "unknown" if span.remote_side is None else escaped(str(span.remote_side))


def _protocol(span: Span) -> str:
    return escaped(span.protocol) or "Unknown"


def log_id_text(span: Span, is_hex: bool) -> str:
    """The log id of a span, 0 if it has none."""
    log_id = span.log_id or 0
    return hex_id(log_id) if is_hex else str(log_id)


def error_text(code: int) -> str:
    """ "OK", or the name of an error code of bRPC or of the system, with its text."""
    if not code:
        return "OK"
    try:
        return ErrorCode(code).name
    except ValueError:
        pass
    name = errno.errorcode.get(code)
    return f"E{code}" if name is None else f"{name} {os.strerror(code)}"


def elapsed_text(micros: int) -> str:
    """Microseconds as C++ prints them: "    .  1498", "   2.   304"."""
    if micros < 0:
        return f"{micros / 1e6:11.6f}"
    seconds, left = divmod(micros, 1_000_000)
    return f"{seconds:4}.{left:6}" if seconds else f"    .{left:6}"


def time_text_us(micros: int) -> str:
    """Microseconds since 1970, as in `time_text`, to the last of them."""
    return f"{time_text(micros // 1_000_000, 0)}.{micros % 1_000_000:06}"
