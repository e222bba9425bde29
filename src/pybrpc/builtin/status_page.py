"""/status: the server, its services and the figures of their methods."""

from __future__ import annotations

import time

from pybrpc.builtin.html import Html, tag
from pybrpc.builtin.layout import facts, html_page, table, tiles
from pybrpc.builtin.method_figures import NAMES, MethodFigures, figures_of, value_of
from pybrpc.builtin.page import Access, PageEntry, PageRequest, PageResponse
from pybrpc.builtin.plots import keep_series, plot, sparkline
from pybrpc.builtin.registrations import registration_lines, registration_section
from pybrpc.builtin.server_view import MethodView, ServerView, ServiceView
from pybrpc.builtin.units import count_text, duration_text, time_text

HEAD = (
    "method",
    "count",
    "qps",
    "last minute",
    "latency µs",
    "last minute",
    "p50",
    "p90",
    "p99",
    "p99.9",
    "max",
    "errors",
    "eps",
    "running",
)
MOUNTS = "mounted applications"
SHOWN = ("latency_50", "latency_90", "latency_99", "latency_999", "max_latency", "error", "eps")


def show_status(request: PageRequest, server: ServerView) -> PageResponse:
    """Text in the form of C++ bRPC; for browsers with live plots."""
    if request.wants_html:
        return _html(request, server)
    limit = server.max_concurrency
    lines = [
        f"version: {_one_line(server.version)}",
        f"non_service_error: {value_of(f'{server.metric_prefix}_error')}",
        f"connection_count: {server.connection_count}",
        f"max_concurrency: {limit or 'unlimited'}",
        *_lines_of_limit(server.limiter, server.rejected),
        f"concurrency: {server.concurrency}",
        *registration_lines(request, server),
    ]
    for service in _services(server):
        lines += [f"[{service.full_name}]", ""]
        for method in service.methods:
            lines += [*_lines_of(method, figures_of(server.metric_prefix, method.full_name)), ""]
        lines.pop()
    return PageResponse("\n".join([*lines, ""]))


def _services(server: ServerView) -> list[ServiceView]:
    """The services, then the mounted applications, as those of one more."""
    mounts = tuple(server.mounts())
    more = [ServiceView(MOUNTS, MOUNTS, mounts)] if mounts else []
    return [*server.services(), *more]


def _lines_of(method: MethodView, figures: MethodFigures) -> list[str]:
    urls = "".join(f" @{url}" for url in method.urls)
    lines = [f"{_signature(method)}{urls}", *(f"{name}: {figures[name]}" for name in NAMES)]
    lines.append(f"concurrency: {method.concurrency}")
    if method.max_concurrency:
        lines.append(f"max_concurrency: {method.max_concurrency}")
    return [*lines, *_lines_of_limit(method.limiter, method.rejected), ""]


def _lines_of_limit(limiter: str, rejected: int) -> list[str]:
    """More of a limit; nothing without one."""
    return [f"concurrency_limiter: {limiter}", f"rejected: {rejected}"] if limiter else []


def _signature(method: MethodView) -> str:
    """ "Echo (EchoRequest) returns (EchoResponse)"; the generic service has no messages, and an
    application has its path alone."""
    if method.full_name.startswith("/"):
        return method.name
    if not method.request_type:
        return f"{method.name} (bytes) returns (bytes)"
    request, response = (
        name.rpartition(".")[2] for name in (method.request_type, method.response_type)
    )
    return f"{method.name} ({request}) returns ({response})"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _html(request: PageRequest, server: ServerView) -> PageResponse:
    keep_series()
    limit = server.max_concurrency
    counters = dict(server.counters())
    errors = counters.get("errors", 0)
    services = _services(server)
    content = [
        tiles(
            [
                ("uptime", duration_text(time.time() - server.started_at_s), None),
                ("connections", count_text(server.connection_count), None),
                ("running", count_text(server.concurrency), None),
                ("max running", _limit_text(limit, server.limiter) or "none", None),
                ("requests", count_text(counters.get("requests", 0)), None),
                ("errors", count_text(errors), "bad" if errors else None),
            ]
        ),
        registration_section(request, server),
        [_section(service, server.metric_prefix) for service in services],
        tag("p", "No service was added.", class_="empty") if not services else None,
        tag("h2", "Counters"),
        facts([(name, count_text(value)) for name, value in counters.items()]),
        tag("h2", "Options"),
        facts(
            [
                ("version", server.version or "-"),
                ("started", time_text(server.started_at_s, 0)),
                *server.options(),
            ]
        ),
    ]
    live = tag("div", content, data_live=f"/vars/{server.metric_prefix}_*?console=1")
    return html_page(request, server, "Status", live, has_script=True)


def _section(service: ServiceView, prefix: str) -> Html:
    rows = [(method, figures_of(prefix, method.full_name)) for method in service.methods]
    busiest, figures = max(rows, key=lambda row: _number(row[1]["count"]))
    plots = tag(
        "details",
        tag("summary", "Plots of ", tag("code", busiest.name)),
        tag(
            "div",
            [
                tag("div", tag("h3", what), plot(f"{figures.stem}_{name}"))
                for what, name in (
                    ("requests per second", "qps"),
                    ("latency in µs: 80 %, 90 %, 99 %, 99.9 %", "latency_percentiles"),
                )
            ],
            class_="pair",
        ),
        open=True,
    )
    return tag(
        "section",
        tag("h2", tag("code", service.full_name)),
        tag(
            "div",
            table(HEAD, [_row(*row) for row in rows], "-nn-n-nnnnnnnn"),
            class_="status",
        ),
        plots,
    )


def _row(method: MethodView, figures: MethodFigures) -> list[Html]:
    def live(name: str, kind: str | None = None) -> Html:
        return tag("span", figures[name], data_var=f"{figures.stem}_{name}", class_=kind)

    urls = [tag("div", url, class_="soft mono") for url in method.urls]
    limit = _limit_text(method.max_concurrency, method.limiter)
    kind = "async " if method.is_async else ""
    name = tag("span", tag("code", method.name), title=f"{kind}{_signature(method)}")
    failed = figures["error"] != "0"
    return [
        tag("div", name, urls),
        live("count"),
        live("qps"),
        sparkline(f"{figures.stem}_qps"),
        live("latency"),
        sparkline(f"{figures.stem}_latency"),
        *(live(each, "bad" if each == "error" and failed else None) for each in SHOWN),
        tag(
            "span",
            f"{method.concurrency} of {limit}" if limit else str(method.concurrency),
            title=f"{method.rejected} rejected" if method.limiter else None,
        ),
    ]


def _limit_text(limit: int, limiter: str) -> str:
    """ "24 auto"; "" without a limit."""
    kind = "" if limiter in ("", "constant") else f" {limiter}"
    return f"{count_text(limit) if limit else ''}{kind}".strip()


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


ENTRIES = (PageEntry("status", show_status, "Status of services", Access.PUBLIC, tab=True),)
