"""The pages with an answer of one line: /version, /health, /readiness."""

from __future__ import annotations

from pybrpc.builtin.html import tag
from pybrpc.builtin.layout import html_page
from pybrpc.builtin.page import Access, PageEntry, PageRequest, PageResponse
from pybrpc.builtin.server_view import HealthReport, ServerView

MAX_REPORT_CHARS = 4096


def show_version(request: PageRequest, server: ServerView) -> PageResponse:
    """The text that the application has set, as it is."""
    if request.wants_html:
        text = tag("p", server.version or "no version was set", class_="lead")
        return html_page(request, server, "Version", text)
    return PageResponse(server.version)


def show_health(request: PageRequest, server: ServerView) -> PageResponse:
    """ "OK", or what the function of the user says: 200 if healthy, else 503. For load balancers,
    so it is text for browsers too, as in C++. What the function raises becomes a page of 500."""
    reporter = server.health_reporter
    report = HealthReport(True) if reporter is None else report_of(reporter())
    text = report.text[:MAX_REPORT_CHARS]
    return PageResponse(text, status=200 if report.is_healthy else 503)


def report_of(result: object) -> HealthReport:
    """Make a report of the result of a function of the user: None and True are healthy, False is
    not, a text is healthy with that text. TypeError for all else."""
    if isinstance(result, HealthReport):
        return result
    if result is None or result is True:
        return HealthReport(True)
    if result is False:
        return HealthReport(False, "unhealthy")
    if isinstance(result, str):
        return HealthReport(True, result)
    raise TypeError(
        f"the health reporter must return a HealthReport, a bool, a str or None, not {result!r}"
    )


def show_readiness(request: PageRequest, server: ServerView) -> PageResponse:
    """Whether the server takes requests: 503 while it stops."""
    if server.is_stopping:
        return PageResponse("stopping", status=503)
    return PageResponse("OK")


ENTRIES = (
    PageEntry(
        "version",
        show_version,
        "Version of this server, set by Server(version=...)",
        Access.PUBLIC,
    ),
    PageEntry("health", show_health, "Test healthy", Access.PUBLIC),
    PageEntry("readiness", show_readiness, "Test ready; 503 while stopping", Access.PUBLIC),
)
