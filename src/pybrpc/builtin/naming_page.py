"""/naming: the naming services that this process watches, for its channels and for watches of the
application: their lists, and how they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from pybrpc.builtin.html import Html, tag
from pybrpc.builtin.layout import html_page, table
from pybrpc.builtin.page import PageEntry, PageRequest, PageResponse
from pybrpc.builtin.server_view import ServerView
from pybrpc.builtin.units import count_text, duration_text
from pybrpc.naming import NamingState, watched

MAX_SHOWN = 100
"""Servers of each list, without `?givemeall`."""
MOST = 100_000
_HEAD = (
    "naming service",
    "state",
    "servers",
    "changed",
    "checked",
    "failures in a row",
    "last error",
)

Watched = Callable[[], Mapping[str, NamingState]]


def show_naming(
    request: PageRequest,
    server: ServerView,
    watched: Watched = watched,
    clock: Callable[[], float] = time.time,
) -> PageResponse:
    """Each naming service with its list."""
    limit = MOST if "givemeall" in request.query else MAX_SHOWN
    found = sorted(watched().items())
    now_s = clock()
    if request.wants_html:
        return html_page(
            request,
            server,
            "Naming services",
            table(_HEAD, [_row(url, state, now_s) for url, state in found], "--nnnn-"),
            [_list(url, state, limit) for url, state in found],
        )
    lines = [f"count: {len(found)}"]
    for url, state in found:
        lines += [
            "",
            f"[{url}]",
            f"state: {_state_text(state)}",
            f"servers: {len(state.servers or ())}",
            f"changed: {_ago(state.changed_s, now_s)}",
            f"checked: {_ago(state.checked_s, now_s)}",
            f"failures_in_a_row: {state.failures}",
            f"last_error: {_error_text(state, now_s)}",
            *(f"server: {_one_line(text)}" for text in _shown(state, limit)),
            *_more(state, limit),
        ]
    return PageResponse("\n".join([*lines, ""]))


def _row(url: str, state: NamingState, now_s: float) -> tuple[Html | str, ...]:
    text = _state_text(state)
    return (
        tag("code", url),
        tag("span", text, class_="good" if text == "working" else "bad"),
        count_text(len(state.servers or ())),
        _ago(state.changed_s, now_s),
        _ago(state.checked_s, now_s),
        count_text(state.failures),
        _error_text(state, now_s),
    )


def _list(url: str, state: NamingState, limit: int) -> Html | None:
    if not state.servers:
        return None
    return tag(
        "section",
        tag("h2", tag("code", url)),
        tag("ul", [tag("li", tag("code", text)) for text in _shown(state, limit)]),
        [tag("p", text, class_="note") for text in _more(state, limit)],
    )


def _state_text(state: NamingState) -> str:
    if state.is_failing:
        return "failing"
    return "no answer yet" if state.servers is None else "working"


def _shown(state: NamingState, limit: int) -> list[str]:
    return [str(node) for node in (state.servers or ())[:limit]]


def _more(state: NamingState, limit: int) -> list[str]:
    more = len(state.servers or ()) - limit
    return [f"... {more} more: /naming?givemeall"] if more > 0 else []


def _ago(when_s: float, now_s: float) -> str:
    return f"{duration_text(max(now_s - when_s, 0.0))} ago" if when_s else "never"


def _error_text(state: NamingState, now_s: float) -> str:
    if state.error is None:
        return "-"
    return f"{_one_line(str(state.error))} ({_ago(state.error_s, now_s)})"


def _one_line(text: str) -> str:
    return " ".join(text.split())


ENTRIES = (
    PageEntry(
        "naming",
        show_naming,
        "List naming services that channels watch, and their servers",
        usage=(("/naming?givemeall", "All servers, not only the first 100 of each list"),),
    ),
)
