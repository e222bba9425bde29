"""/index: all pages with their forms."""

from __future__ import annotations

from pybrpc.builtin.html import Html, tag
from pybrpc.builtin.layout import facts, html_page, is_usable, path_of
from pybrpc.builtin.page import Access, PageEntry, PageRequest, PageResponse
from pybrpc.builtin.server_view import ServerView
from pybrpc.builtin.units import time_text

BANNER = r"""                 __
    ____  __  __/ /_  _________  _____
   / __ \/ / / / __ \/ ___/ __ \/ ___/
  / /_/ / /_/ / /_/ / /  / /_/ / /__
 / .___/\__, /_.___/_/  / .___/\___/
/_/    /____/          /_/
"""


def show_index(request: PageRequest, server: ServerView) -> PageResponse:
    """The pages that this client may use; a client from outside reads how to see the others."""
    shown = [
        entry for entry in request.pages.values() if entry.title and is_usable(request, entry.name)
    ]
    hidden = sum(1 for entry in request.pages.values() if entry.title) - len(shown)
    if request.wants_html:
        return _html(request, server, shown, hidden)
    lines = [BANNER]
    for entry in shown:
        lines.append(f"/{entry.name} : {entry.title}")
        lines += [f"  {path} : {text}" for path, text in entry.usage]
    lines.append(_curl(server))
    if hidden:
        lines.append(_hidden_text(hidden))
    return PageResponse("\n".join([*lines, ""]))


def _curl(server: ServerView) -> str:
    return (
        "curl -H 'Content-Type: application/json' -d 'JSON' "
        f"{server.address}/ServiceName/MethodName : Call method by http+json"
    )


def _hidden_text(hidden: int) -> str:
    return (
        f"{hidden} more pages are only on internal_port, or for addresses that "
        "Server(builtin_allow=...) names"
    )


def _html(
    request: PageRequest, server: ServerView, shown: list[PageEntry], hidden: int
) -> PageResponse:
    command, _, what = _curl(server).rpartition(" : ")
    return html_page(
        request,
        server,
        "Pages",
        facts(
            [
                ("version", server.version or "-"),
                ("started", time_text(server.started_at_s, 0)),
                ("services", len(server.services())),
                ("connections", server.connection_count),
            ]
        ),
        tag("div", [_card(entry) for entry in shown], class_="cards"),
        tag("p", _hidden_text(hidden), class_="note") if hidden else None,
        tag("h2", what),
        tag("pre", command),
    )


def _card(entry: PageEntry) -> Html:
    usage = [tag("li", tag("code", path), " ", text) for path, text in entry.usage]
    return tag(
        "div",
        tag("a", f"/{entry.name}", href=path_of(entry.name)),
        tag("p", entry.title),
        tag("ul", usage) if usage else None,
        class_="card",
    )


ENTRIES = (PageEntry("index", show_index, "", Access.PUBLIC, tab=True),)
