"""/vars: all variables. The text is read by scripts: each line is `name : value`, as in C++."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from pybrpc.builtin.html import Html, escaped, tag
from pybrpc.builtin.layout import breakable, html_page, path_of, path_text
from pybrpc.builtin.page import (
    HTML,
    JSON,
    Access,
    PageEntry,
    PageError,
    PageRequest,
    PageResponse,
)
from pybrpc.builtin.plots import keep_series, plot
from pybrpc.builtin.server_view import ServerView
from pybrpc.metrics.registry import Display, Registry, exposed

QUESTION_MARK = "$"
"""One character in a pattern; `?` begins the query of a URL."""
MAX_PLOTS = 16
"""Plots that `?expand` shows on one page."""

_WORD = re.compile("[A-Za-z0-9_]+")
_STARTS_OF_NUMBERS = frozenset("0123456789-[")

Found = Sequence[tuple[str, str]]


def show_vars(request: PageRequest, server: ServerView) -> PageResponse:
    """The variables that the path means, all without one. 404 if a path means none."""
    if "series" in request.query:
        return _series(path_text(request.path))
    return show_registry(request, server, exposed)


def show_registry(request: PageRequest, server: ServerView, registry: Registry) -> PageResponse:
    """`show_vars` of any registry. Only those of this process have series and plots."""
    path = path_text(request.path)
    display = Display.HTML if request.wants_html else Display.PLAIN_TEXT
    try:
        found = registry.dump_exposed(
            path, question_mark=QUESTION_MARK, quote_strings=True, display=display
        )
    except ValueError as error:
        raise PageError(400, str(error)) from None
    if path and not found:
        raise PageError(404, f"Fail to find any bvar by `{path[:128]}'")
    wanted = request.parameter("filter").lower()[:128]
    if wanted:
        found = [item for item in found if wanted in item[0].lower()]
    if not request.wants_html:
        return PageResponse("".join([f"{name} : {value}\n" for name, value in found]))
    has_plots = registry is exposed
    if has_plots:
        keep_series()
    if "dataonly" in request.query:
        return PageResponse(_table(found, has_plots), HTML)
    return _html(request, server, path, found, has_plots)


def _series(path: str) -> PageResponse:
    """The series of one variable as JSON: 174 points."""
    keep_series()
    text = exposed.describe_series_exposed(path)
    if text is None:
        raise PageError(404, f"`{path[:128]}' does not exist or is not plottable")
    return PageResponse(text, JSON)


def _html(
    request: PageRequest, server: ServerView, path: str, found: Found, has_plots: bool
) -> PageResponse:
    is_expanded = "expand" in request.query or len(found) == 1
    plots = [
        tag("div", tag("h3", tag("code", breakable(name))), plot(name))
        for name, value in found[: MAX_PLOTS if is_expanded else 0]
        if has_plots and _is_plottable(name, value)
    ]
    search = tag(
        "form",
        tag(
            "input",
            type="search",
            name="filter",
            value=request.parameter("filter"),
            placeholder="part of a name",
            aria_label="Filter by part of a name",
            data_filter=True,
            autocomplete="off",
        ),
        tag("button", "Filter"),
        tag("span", f"{len(found)} variables", class_="soft"),
        method="get",
        action=path_of("vars", path) if path else "/vars",
        class_="line",
    )
    live = f"{path_of('vars', path) if path else '/vars'}?console=1"
    content = tag("div", tag("div", plots, class_="pair"), _table(found, has_plots), data_live=live)
    title = path if path else "Variables"
    return html_page(request, server, title, search, content, has_script=True)


def _is_plottable(name: str, value: str) -> bool:
    """Whether there are plots of it: of numbers, and lists of numbers."""
    if name.endswith("_latency_cdf"):
        return True
    variable = exposed.find(name)
    is_number = value[:1] in _STARTS_OF_NUMBERS and value[1:2] != "]"
    return is_number and variable is not None and variable.series_op is not None


def _table(found: Found, has_plots: bool) -> Html:
    """Made of strings at once, and not of tags: there may be thousands of rows."""
    rows = []
    for name, value in found:
        kind = ' class="plots"' if has_plots and _is_plottable(name, value) else ""
        # Names of variables are words; that of another kind would be escaped here.
        shown = name if _WORD.fullmatch(name) else escaped(name)
        url = shown if shown is name else escaped(quote(name, safe="", errors="replace"))
        rows.append(
            f'<tr><td><a href="/vars/{url}"{kind}>{shown}</a></td>'
            f'<td data-var="{shown}">{escaped(value)}</td></tr>'
        )
    head = '<div class="scroll names" tabindex="0"><table><thead><tr><th scope="col">name</th>'
    body = "".join(rows)
    return Html(f'{head}<th scope="col">value</th></tr></thead><tbody>{body}</tbody></table></div>')


ENTRIES = (
    PageEntry(
        "vars",
        show_vars,
        "List all exposed bvars",
        Access.PUBLIC,
        tab=True,
        usage=(
            ("/vars/rpc_socket_count", "List the bvar"),
            (
                "/vars/rpc_server*_count;iobuf_blo$k_*",
                "List multiple bvars with glob patterns (Use $ instead of ? to match single "
                "character)",
            ),
            ("/vars/NAME?series", "Values of the last month, as JSON"),
        ),
    ),
)
