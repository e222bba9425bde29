"""/rpcz: recent calls, and one trace as a waterfall."""

from __future__ import annotations

from collections.abc import Sequence

from pybrpc.builtin.form_token import POST_HEADER
from pybrpc.builtin.html import Child, Html, join, tag
from pybrpc.builtin.layout import facts, form, html_page, table, tiles
from pybrpc.builtin.page import PageEntry, PageError, PageRequest, PageResponse
from pybrpc.builtin.rpcz_query import NAMES, id_of, query_of, trace_id_of
from pybrpc.builtin.rpcz_text import (
    error_text,
    events_of,
    list_line,
    log_id_text,
    span_lines,
    time_text_us,
)
from pybrpc.builtin.server_view import ServerView
from pybrpc.builtin.standard_flags import ENABLE_RPCZ, RPCZ_HEX_LOG_ID
from pybrpc.builtin.units import count_text, micros_text, size_text, time_text
from pybrpc.tracing.ids import hex_id
from pybrpc.tracing.process_rpcz import RPCZ
from pybrpc.tracing.span import Span

MAX_SPANS = 1000
"""Spans of one trace on a page, with nested ones."""
MAX_DEPTH = 12
"""Levels that a waterfall shows. Peers choose ids: they could make a circle."""
_SWITCHES = {
    "enable": (ENABLE_RPCZ, True, "rpcz is enabled"),
    "disable": (ENABLE_RPCZ, False, "rpcz is disabled"),
    "hex_log_id": (RPCZ_HEX_LOG_ID, True, "log_id is hexadecimal"),
    "dec_log_id": (RPCZ_HEX_LOG_ID, False, "log_id is decimal"),
}


def show_rpcz(request: PageRequest, server: ServerView) -> PageResponse:
    """The list, /rpcz/stats, or the spans of `?trace=`; a POST to /rpcz/enable switches it on."""
    if request.path in _SWITCHES:
        return _switch(request, server)
    if request.method == "POST":
        raise PageError(405, "a POST goes to /rpcz/enable or /rpcz/disable", {"Allow": "GET, HEAD"})
    if request.path == "stats":
        return _stats(request, server)
    if request.path:
        raise PageError(404, f"there is no page /rpcz/{request.path[:64]}")
    if not ENABLE_RPCZ.current() and not len(RPCZ.store):
        return _not_enabled(request, server)
    if request.parameter("trace"):
        return _trace(request, server)
    return _list(request, server)


def _switch(request: PageRequest, server: ServerView) -> PageResponse:
    flag, value, text = _SWITCHES[request.path]
    if request.method != "POST":
        raise PageError(
            405,
            f"a GET changes nothing: curl -X POST -H '{POST_HEADER}: 1' "
            f"{server.address}/rpcz/{request.path}",
            {"Allow": "POST"},
        )
    flag.set(value)
    if request.wants_html:
        return (
            _not_enabled(request, server) if text.endswith("disabled") else _list(request, server)
        )
    return PageResponse(f"{text}\n")


def _not_enabled(request: PageRequest, server: ServerView) -> PageResponse:
    if not request.wants_html:
        return PageResponse(
            "rpcz is not enabled yet. You can turn on/off rpcz by a POST to /rpcz/enable and "
            "/rpcz/disable respectively, with the header X-Pybrpc-Post: 1\n"
        )
    note = (
        "rpcz is not enabled. It keeps recent calls with small overhead; turn it off at any time."
    )
    return html_page(request, server, "Recent calls", tag("p", note), _button())


def _button() -> Html:
    action = "disable" if ENABLE_RPCZ.current() else "enable"
    return form(f"/rpcz/{action}", tag("button", action.capitalize(), class_=_kind_of(action)))


def _kind_of(action: str) -> str | None:
    return "plain" if action == "disable" else None


# --- the list ---


def _list(request: PageRequest, server: ServerView) -> PageResponse:
    found = RPCZ.store.newest(query_of(request))
    is_hex = RPCZ_HEX_LOG_ID.current()
    if not request.wants_html:
        lines = [list_line(span, is_hex) for span in found] or ["Fail to find matched spans"]
        return PageResponse("\n".join([*lines, ""]))
    head = ("start", "latency", "", "method", "peer", "request", "response", "result", "trace")
    rows = [_row(span) for span in found]
    return html_page(
        request,
        server,
        "Recent calls",
        _filters(request),
        table(head, rows, "-n---nn--") if rows else tag("p", "No call matches.", class_="empty"),
        _button(),
    )


def _filters(request: PageRequest) -> Html:
    hints = {"time": "2026/11/29-07:06:12", "max_scan": "100", "min_latency": "µs"}
    fields = [
        tag(
            "label",
            tag("span", name.replace("_", " "), class_="soft"),
            tag(
                "input",
                name=name,
                value=request.parameter(name),
                placeholder=hints.get(name),
                size=18 if name == "time" else 8,
                autocomplete="off",
            ),
        )
        for name in NAMES
    ]
    return tag("form", fields, tag("button", "Find"), method="get", action="/rpcz", class_="line")


def _row(span: Span) -> list[Child]:
    trace = f"/rpcz?trace={span.shown_trace_id}"
    return [
        tag("span", time_text_us(span.start_us).partition("-")[2], title=_day(span)),
        micros_text(span.latency_us),
        tag("span", "server" if span.is_server else "client", class_="soft"),
        tag("a", tag("code", span.method), href=f"{trace}&span={span.shown_span_id}"),
        tag("code", _peer(span)),
        size_text(span.request_size),
        size_text(span.response_size),
        _result(span),
        tag("a", tag("code", span.shown_trace_id), href=trace),
    ]


def _day(span: Span) -> str:
    return time_text(span.start_us / 1e6, 0)


def _peer(span: Span) -> str:
    return "-" if span.remote_side is None else str(span.remote_side)


def _result(span: Span) -> Html:
    kind = "bad" if span.error_code else "good"
    return tag("span", error_text(span.error_code), class_=kind)


# --- one trace ---


def _trace(request: PageRequest, server: ServerView) -> PageResponse:
    trace_id, high = trace_id_of(request.parameter("trace"), "trace")
    span_id = request.parameter("span")
    store = RPCZ.store
    if span_id:
        one = store.find(trace_id, id_of(span_id, "span"))
        found = [] if one is None else [one]
    else:
        found = store.trace(trace_id, MAX_SPANS)
    if high is not None:
        # A call that came by way of C++ has lost the upper half.
        found = [span for span in found if span.trace_id_high in (0, high)]
    if not found:
        raise PageError(404, "Fail to find any spans")
    is_hex = RPCZ_HEX_LOG_ID.current()
    if not request.wants_html:
        lines = [line for span in found for line in (*span_lines(span, is_hex), "")]
        return PageResponse("\n".join([*lines, ""]))
    return html_page(
        request,
        server,
        f"Trace {hex_id(trace_id)}",
        _summary(found),
        _waterfall(found),
        [_details(span, is_hex) for span in found],
    )


def _summary(found: Sequence[Span]) -> Html:
    spans = _with_nested(found)
    start, end = _extent(spans)
    failed = sum(bool(span.error_code) for span in spans)
    return tiles(
        [
            ("duration", micros_text(end - start), None),
            ("spans", count_text(len(spans)), None),
            ("failed", count_text(failed), "bad" if failed else None),
            ("began", time_text(start / 1e6, 0).partition("-")[2], None),
        ]
    )


def _with_nested(found: Sequence[Span]) -> list[Span]:
    every = [each for span in found for each in (span, *span.client_spans)]
    return sorted(every, key=_start_of)[:MAX_SPANS]


def _start_of(span: Span) -> int:
    return span.start_us


def _extent(spans: Sequence[Span]) -> tuple[int, int]:
    return min(span.start_us for span in spans), max(span.end_us for span in spans)


def _waterfall(found: Sequence[Span]) -> Html:
    """A bar for each span, at its place in the time of all."""
    spans = _with_nested(found)
    start, end = _extent(spans)
    scale = 1000 / max(end - start, 1)
    parents = {_key(span): _parent_keys(span) for span in spans}
    rows = [
        [
            tag(
                "span",
                [tag("i", class_="step")] * _depth(span, parents),
                tag("code", span.method),
                " ",
                tag("span", "server" if span.is_server else "client", class_="soft"),
            ),
            micros_text(span.latency_us),
            _bar((span.start_us - start) * scale, span.latency_us * scale, span),
            _result(span),
        ]
        for span in spans
    ]
    return tag("div", table(("call", "latency", "time", "result"), rows, "-n--"), class_="trace")


_Key = tuple[int, bool]
"""The id of a span, and whether it is of a server: both sides of a call may have one id."""


def _key(span: Span) -> _Key:
    return span.span_id, span.is_server


def _parent_keys(span: Span) -> list[_Key]:
    """The spans that may have led to this one: of a server's, its caller's first."""
    nested = (span.parent_span_id, True)
    return [(span.span_id, False), nested] if span.is_server else [nested]


def _depth(span: Span, parents: dict[_Key, list[_Key]]) -> int:
    depth, key = 0, _key(span)
    while depth < MAX_DEPTH:
        above = next((each for each in parents.get(key, ()) if each in parents), None)
        if above is None:
            break
        depth, key = depth + 1, above
    return depth


def _bar(left: float, width: float, span: Span) -> Html:
    kind = "failed" if span.error_code else None if span.is_server else "client"
    bar = tag("rect", x=f"{left:.1f}", y=2, width=f"{max(width, 3):.1f}", height=10, class_=kind)
    return tag("svg", bar, viewBox="0 0 1003 14", preserveAspectRatio="none", class_="fall")


def _details(span: Span, is_hex: bool) -> Html:
    previous_us = span.start_us
    rows = []
    for event in events_of(span, is_hex):
        later = micros_text(event.time_us - previous_us)
        rows.append([time_text_us(event.time_us).partition("-")[2], f"+{later}", event.text])
        previous_us = event.time_us
    side = "server" if span.is_server else "client"
    dropped = span.dropped_annotations
    parent = tag("code", hex_id(span.parent_span_id)) if span.parent_span_id else "-"
    return join(
        tag("h2", tag("code", span.method), " ", tag("span", side, class_="soft")),
        facts(
            [
                ("span", tag("code", span.shown_span_id)),
                ("parent", parent),
                ("peer", tag("code", _peer(span))),
                ("protocol", span.protocol or "-"),
                ("log id", log_id_text(span, is_hex)),
                ("result", _result(span)),
            ]
        ),
        table(("time", "after", "step"), rows, "-n-"),
        tag("p", f"{dropped} annotations were dropped.", class_="note") if dropped else None,
    )


def _stats(request: PageRequest, server: ServerView) -> PageResponse:
    found = RPCZ.statistics()
    store = found.store
    pairs = [
        ("enabled", str(found.enabled).lower()),
        ("spans", str(store.spans)),
        ("size_bytes", str(store.size_bytes)),
        ("max_bytes", str(store.max_bytes)),
        ("evicted", str(store.evicted)),
        ("in_flight", str(found.in_flight)),
        ("max_spans_per_second", str(RPCZ.max_spans_per_second)),
        ("oldest", time_text(store.oldest_us / 1e6) if store.oldest_us else "none"),
    ]
    if request.wants_html:
        return html_page(request, server, "Statistics of rpcz", facts(pairs))
    return PageResponse("".join([f"{name}: {value}\n" for name, value in pairs]))


ENTRIES = (
    PageEntry(
        "rpcz",
        show_rpcz,
        "Recent RPC calls",
        methods=("GET", "POST"),
        tab=True,
        usage=(
            ("/rpcz/stats", "Statistics of rpcz"),
            ("/rpcz?time=2026/11/29-07:06:12", "RPC calls before the time"),
            (
                "/rpcz?time=2026/11/29-07:06:12&max_scan=10",
                "N RPC calls at most before the time. Other filters: min_latency, "
                "min_request_size, min_response_size, log_id, error_code",
            ),
            ("/rpcz?trace=N", "Recent RPC calls whose trace_id is N"),
            ("/rpcz?trace=N&span=M", "Recent RPC calls whose trace_id is N and span_id is M"),
            ("POST /rpcz/enable", "Begin to keep them; /rpcz/disable ends it"),
        ),
    ),
)
