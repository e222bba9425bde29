"""The pages by name, and `run_page`, which runs one of them, whatever protocol has asked for it."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Mapping

from pybrpc.base.guard import SERVER, deliver_interrupt
from pybrpc.base.limited_log import LimitedLog
from pybrpc.builtin import (
    assets,
    call_pages,
    connection_pages,
    flags_page,
    index_page,
    metrics_pages,
    naming_page,
    process_entries,
    rpcz_page,
    service_pages,
    simple_pages,
    status_page,
    vars_page,
)
from pybrpc.builtin.form_token import FORM_TOKEN
from pybrpc.builtin.html import tag
from pybrpc.builtin.layout import html_page
from pybrpc.builtin.page import Access, PageEntry, PageError, PageRequest, PageResponse
from pybrpc.builtin.server_view import ServerView
from pybrpc.error_codes import ErrorCode
from pybrpc.protocols.http1.status import ERROR_CODE_HEADER

_WINGS = (
    index_page,
    status_page,
    vars_page,
    connection_pages,
    flags_page,
    rpcz_page,
    metrics_pages,
    process_entries,
    simple_pages,
    call_pages,
    naming_page,
    service_pages,
    assets,
)
PAGES: Mapping[str, PageEntry] = {entry.name: entry for wing in _WINGS for entry in wing.ENTRIES}
"""All pages. Their names can't be the names of services."""

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_ERROR_CODES: Mapping[int, int] = {
    400: ErrorCode.EREQUEST,
    403: errno.EPERM,
    404: ErrorCode.ENOMETHOD,
    405: ErrorCode.EREQUEST,
    500: ErrorCode.EINTERNAL,
}
"""The codes of bRPC for errors of pages, by their status. Others have none."""

WORKER_HEADER = "X-Pybrpc-Worker"
"""Says which of several processes has answered."""

_log = LimitedLog(SERVER)


def run_page(
    request: PageRequest, server: ServerView, pages: Mapping[str, PageEntry] = PAGES
) -> PageResponse:
    """Answer a request for a page. Never raises. May block as long as the page does: not for a
    dispatcher.

    404 if there is no such page, 403 for one that this client may not use, 405 for a method that it
    does not have. An error of the page is logged, and shown by the name of its type alone.
    """
    request = dataclasses.replace(request, pages=pages)
    try:
        response = _checked(request).function(request, server)
    except PageError as error:
        response = _failure(request, server, error.status, error.text)
        response.headers.update(error.headers)
    except BaseException as error:
        _log.warn("The page /%s raised", request.name[:64], reason=error)
        text = f"the page raised {type(error).__name__}; the log of the server has more"
        response = _failure(request, server, 500, text)
        deliver_interrupt(error)
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    worker = server.worker_name
    if worker and worker.isascii() and worker.isprintable():
        response.headers.setdefault(WORKER_HEADER, worker)
    return response


def _checked(request: PageRequest) -> PageEntry:
    """The page that `request` is for. PageError if it may not have it so."""
    entry = request.pages.get(request.name or "index")
    if entry is None:
        raise PageError(404, f"there is no page /{request.name[:64]}; / lists all")
    is_post = request.method == "POST"
    if (entry.access is Access.INTERNAL or is_post) and not request.is_internal:
        raise PageError(
            403,
            f"{request.method} /{entry.name} is not allowed here: only on internal_port, or from "
            "an address that Server(builtin_allow=...) names",
        )
    method = "GET" if request.method == "HEAD" else request.method
    if method not in entry.methods:
        allowed = ", ".join(each if each != "GET" else "GET, HEAD" for each in entry.methods)
        raise PageError(405, f"/{entry.name} has no {method[:16]}", {"Allow": allowed})
    if is_post:
        FORM_TOKEN.check(request)
    return entry


def _failure(request: PageRequest, server: ServerView, status: int, text: str) -> PageResponse:
    response = _error_page(request, server, status, text)
    code = _ERROR_CODES.get(status)
    if code is not None:
        response.headers[ERROR_CODE_HEADER] = str(int(code))
    return response


def _error_page(request: PageRequest, server: ServerView, status: int, text: str) -> PageResponse:
    if request.wants_html:
        try:
            return html_page(request, server, f"Error {status}", tag("p", text), status=status)
        except BaseException as error:
            _log.warn("The page of an error raised", reason=error)
            deliver_interrupt(error)
    return PageResponse(f"{text}\n", status=status)
