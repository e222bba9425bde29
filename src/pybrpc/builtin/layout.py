"""The frame of all HTML pages: the head, the tabs, and the pieces that pages are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote, unquote

from pybrpc.builtin.assets import url_of
from pybrpc.builtin.form_token import FORM_TOKEN
from pybrpc.builtin.html import Child, Html, join, tag
from pybrpc.builtin.page import HTML, Access, PageRequest, PageResponse
from pybrpc.builtin.server_view import ServerView

TABS = (
    ("workers", "workers"),
    ("status", "status"),
    ("vars", "vars"),
    ("connections", "connections"),
    ("flags", "flags"),
    ("rpcz", "rpcz"),
    ("hotspots/cpu", "cpu"),
    ("hotspots/heap", "heap"),
    ("hotspots/growth", "growth"),
    ("hotspots/contention", "contention"),
    ("index", "more"),
)
"""Paths of pages that have a tab, and their labels, in the order of C++ bRPC."""


def html_page(
    request: PageRequest,
    server: ServerView,
    title: str,
    *content: Child,
    status: int = 200,
    has_script: bool = False,
) -> PageResponse:
    """A page for browsers. `title` is that of its content; `has_script`: it has live plots."""
    heading = f"{title} · {server.address}" if title else server.address
    script = tag("script", src=url_of("js/pybrpc.js"), defer=True) if has_script else None
    document = join(
        Html("<!DOCTYPE html>"),
        tag(
            "html",
            tag(
                "head",
                tag("meta", charset="utf-8"),
                tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
                tag("meta", name="color-scheme", content="light dark"),
                tag("title", heading),
                tag("link", rel="stylesheet", href=url_of("css/pybrpc.css")),
                tag("link", rel="icon", href="/favicon.ico", type="image/svg+xml"),
                script,
            ),
            tag(
                "body", _header(request, server), tag("main", tag("h1", breakable(title)), content)
            ),
            lang="en",
        ),
    )
    return PageResponse(document, HTML, status)


def breakable(name: str) -> Html:
    """A name that may go on in the next line behind each of its underscores."""
    first, *others = name.split("_")
    return join(first, [["_", tag("wbr"), part] for part in others])


def _header(request: PageRequest, server: ServerView) -> Html:
    state, kind = ("stopping", "warn") if server.is_stopping else ("running", "good")
    worker = tag("span", server.worker_name, class_="worker") if server.worker_name else None
    tabs = [(path, label) for path, label in TABS if is_usable(request, path.partition("/")[0])]
    current = next((path for path, _ in tabs if _is_current(request, path)), "index")
    links = [
        tag("a", label, href=f"/{path}", aria_current="page" if path == current else None)
        for path, label in tabs
    ]
    return tag(
        "header",
        tag(
            "div",
            tag("a", "pybrpc", href="/", class_="brand"),
            tag("span", server.address, class_="address"),
            worker,
            tag("span", state, class_=f"pill {kind}"),
            class_="bar",
        ),
        tag("nav", links, aria_label="Pages"),
    )


def is_usable(request: PageRequest, name: str) -> bool:
    """Whether there is a page of that name that this client may use."""
    entry = request.pages.get(name)
    return entry is not None and (request.is_internal or entry.access is Access.PUBLIC)


def _is_current(request: PageRequest, path: str) -> bool:
    name, _, rest = path.partition("/")
    return request.name == name and (not rest or request.path.partition("/")[0] == rest)


def table(head: Sequence[Child], rows: Iterable[Sequence[Child]], numbers: str = "") -> Html:
    """A table that scrolls by itself where it is too wide. The columns with an "n" at their place
    in `numbers` ("--nn") have numbers, which stand at the right."""
    kinds = ["num" if kind == "n" else None for kind in numbers.ljust(len(head), "-")]
    titles = [
        tag("th", each, class_=kind, scope="col") for each, kind in zip(head, kinds, strict=True)
    ]
    body = [
        tag("tr", [tag("td", each, class_=kind) for each, kind in zip(row, kinds, strict=True)])
        for row in rows
    ]
    if not body:
        return tag("p", "Nothing to show.", class_="empty")
    return tag(
        "div",
        tag("table", tag("thead", tag("tr", titles)), tag("tbody", body)),
        class_="scroll",
        tabindex="0",
    )


def facts(pairs: Iterable[tuple[str, Child]]) -> Html:
    """Names and values, as a list."""
    return tag(
        "dl",
        [tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs],
        class_="facts",
    )


def tiles(pairs: Iterable[tuple[str, Child, str | None]]) -> Html:
    """Large numbers with their names; the third item is a class for the number, or None."""
    return tag(
        "div",
        [
            tag("div", tag("b", value, class_=kind), tag("span", name), class_="tile")
            for name, value, kind in pairs
        ],
        class_="tiles",
    )


def form(action: str, *content: Child) -> Html:
    """A form that is sent by POST, with the token of this process."""
    return tag("form", FORM_TOKEN.field(), content, method="post", action=action)


def link(text: Child, *parts: str) -> Html:
    """A link to the page whose path is `parts`, percent-encoded."""
    return tag("a", text, href=path_of(*parts))


def path_of(*parts: str) -> str:
    """The path of `parts`, percent-encoded: slashes inside a part too."""
    return "/" + "/".join(quote(part, safe="*;,:$", errors="replace") for part in parts)


def path_text(path: str) -> str:
    """A part of a path, percent-decoded as UTF-8."""
    return unquote(path)
