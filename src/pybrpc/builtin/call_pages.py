"""/ids: the requests that have no response yet. In C++ bRPC a call is found by its bthread_id."""

from __future__ import annotations

from pybrpc.builtin.html import Child, tag
from pybrpc.builtin.layout import facts, html_page, link, table, tiles
from pybrpc.builtin.page import PageEntry, PageError, PageRequest, PageResponse
from pybrpc.builtin.server_view import CallView, ServerView
from pybrpc.builtin.units import count_text, duration_text, size_text

MAX_SHOWN = 1024
"""Calls on one page, the oldest first."""
MOST = 100_000
"""Calls among which one is searched, the oldest first."""
_HEAD = (
    "call",
    "method",
    "peer",
    "age",
    "deadline in",
    "connection",
    "log id",
    "request",
    "socket",
)


def show_ids(request: PageRequest, server: ServerView) -> PageResponse:
    """The oldest calls; /ids/ID is one of them."""
    if request.path:
        return _show_one(request, server)
    calls = server.calls(MAX_SHOWN)
    count = max(server.concurrency, len(calls))
    if request.wants_html:
        oldest = duration_text(calls[0].age_s) if calls else "-"
        late = sum(call.remaining_s is not None and call.remaining_s < 0 for call in calls)
        return html_page(
            request,
            server,
            "Calls in flight",
            tiles(
                [
                    ("in flight", count_text(count), None),
                    ("age of the oldest", oldest, None),
                    ("past their deadline", count_text(late), "bad" if late else None),
                ]
            ),
            table(_HEAD, [_row(call) for call in calls], "---nn--n-"),
        )
    lines = [f"count: {count}"]
    for call in calls:
        pairs = _facts_of(call)
        lines.append(" ".join(f"{name}={value}" for name, value in pairs))
    return PageResponse("\n".join([*lines, ""]))


def _show_one(request: PageRequest, server: ServerView) -> PageResponse:
    found = [call for call in server.calls(MOST) if call.call_id == request.path]
    if not found:
        raise PageError(404, f"there is no call {request.path[:64]} in flight")
    if request.wants_html:
        content = [facts(_facts_of(call)) for call in found]
        return html_page(request, server, f"Call {found[0].call_id}", content)
    lines = [f"{name}: {value}" for call in found for name, value in _facts_of(call)]
    return PageResponse("\n".join([*lines, ""]))


def _facts_of(call: CallView) -> list[tuple[str, str]]:
    return [
        ("id", call.call_id),
        ("method", call.method),
        ("peer", call.peer),
        ("age_ms", f"{call.age_s * 1000:.3f}"),
        ("remaining_ms", _remaining(call)),
        ("connection", call.connection),
        ("log_id", str(call.log_id)),
        ("request_bytes", str(call.request_bytes)),
        ("socket", str(call.socket_id)),
    ]


def _remaining(call: CallView) -> str:
    return "none" if call.remaining_s is None else f"{call.remaining_s * 1000:.3f}"


def _row(call: CallView) -> list[Child]:
    left = call.remaining_s
    deadline: Child = "none"
    if left is not None:
        deadline = tag("span", duration_text(left), class_="bad" if left < 0 else None)
    return [
        link(call.call_id, "ids", call.call_id),
        tag("code", call.method),
        tag("code", call.peer),
        duration_text(call.age_s),
        deadline,
        tag("span", call.connection, class_=None if call.connection == "open" else "warn"),
        str(call.log_id),
        size_text(call.request_bytes),
        link(str(call.socket_id), "sockets", str(call.socket_id)),
    ]


ENTRIES = (
    PageEntry(
        "ids",
        show_ids,
        "Check status of calls in flight",
        usage=(("/ids/ID", "One of them"),),
    ),
)
