"""run_page: which client gets which page, and what becomes of errors."""

from __future__ import annotations

import logging

import pytest

from pybrpc.builtin.page import Access, PageEntry, PageError, PageRequest, PageResponse
from pybrpc.builtin.registry import CONTENT_POLICY, PAGES, run_page
from pybrpc.builtin.server_view import ServerView
from pybrpc.protocols.http1 import HttpHeaders
from tests.fakes.pages import FakeServerView, request_of

PUBLIC = ("", "index", "health", "readiness", "version", "status", "vars", "metrics")
FILES = ("css/pybrpc.css", "js/pybrpc.js", "favicon.ico")
INTERNAL = ("connections", "sockets", "flags", "ids", "naming", "list", "protobufs")


def status_of(target: str, method: str = "GET", **fields: object) -> int:
    return run_page(request_of(target, method, **fields), FakeServerView()).status


@pytest.mark.parametrize("name", [*PUBLIC, *FILES])
def test_public_pages_are_for_all(name: str) -> None:
    assert status_of(f"/{name}", is_internal=False) == 200


@pytest.mark.parametrize("name", INTERNAL)
@pytest.mark.parametrize("is_html", [False, True])
def test_all_other_pages_are_internal(name: str, is_html: bool) -> None:
    assert status_of(f"/{name}", is_internal=False, wants_html=is_html) == 403
    assert status_of(f"/{name}", is_internal=True, wants_html=is_html) == 200


def test_no_page_is_public_that_is_not_listed() -> None:
    public = {entry.name for entry in PAGES.values() if entry.access is Access.PUBLIC}
    files = {name.partition("/")[0] for name in FILES}
    assert public == {*PUBLIC[1:], *files, "brpc_metrics"}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_post_is_internal_on_every_page(name: str) -> None:
    header = HttpHeaders({"X-Pybrpc-Post": "1"})
    assert status_of(f"/{name}", "POST", is_internal=False, headers=header) == 403


def test_a_post_needs_the_token() -> None:
    assert status_of("/flags/save_series", "POST", body=b"value=true") == 403


def test_unknown_pages_and_methods() -> None:
    response = run_page(request_of("/nothing"), FakeServerView())
    assert (response.status, response.body) == (404, "there is no page /nothing; / lists all\n")
    response = run_page(request_of("/vars", "DELETE"), FakeServerView())
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
    response = run_page(request_of("/flags", "PUT"), FakeServerView())
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD, POST")
    assert status_of("/vars", "HEAD") == 200


@pytest.mark.parametrize("is_html", [False, True])
@pytest.mark.parametrize(
    ("target", "method", "is_internal", "code"),
    [
        ("/connections", "GET", False, 1),
        ("/flags", "POST", True, 1),
        ("/nothing", "GET", True, 1002),
        ("/vars", "DELETE", True, 1003),
        ("/sockets/x", "GET", True, 1003),
        ("/vars", "GET", True, None),
    ],
)
def test_errors_have_the_code_of_brpc(
    target: str, method: str, is_internal: bool, code: int | None, is_html: bool
) -> None:
    request = request_of(target, method, is_internal=is_internal, wants_html=is_html)
    found = run_page(request, FakeServerView()).headers.get("x-bd-error-code")
    assert found == (None if code is None else str(code))


@pytest.mark.parametrize("error", [ValueError, SystemExit, GeneratorExit, BaseException])
@pytest.mark.parametrize("is_html", [False, True])
def test_a_page_that_raises_says_only_the_type(
    error: type[BaseException], is_html: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(request: PageRequest, server: ServerView) -> PageResponse:
        raise error("password=hunter2")

    pages = {"x": PageEntry("x", fail, "x")}
    response = run_page(request_of("/x", wants_html=is_html), FakeServerView(), pages)
    assert response.status == 500
    assert error.__name__ in str(response.body)
    assert "hunter2" not in str(response.body)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_view_that_raises_everywhere_still_gives_an_answer() -> None:
    class Broken(FakeServerView):
        is_stopping = property(lambda self: 1 / 0, lambda self, value: None)  # type: ignore[assignment]

    response = run_page(request_of("/index", wants_html=True), Broken())
    assert response.status == 500
    assert "ZeroDivisionError" in str(response.body)


def test_an_error_of_a_page_may_have_headers() -> None:
    def refuse(request: PageRequest, server: ServerView) -> PageResponse:
        raise PageError(429, "later", {"Retry-After": "1"})

    response = run_page(request_of("/x"), FakeServerView(), {"x": PageEntry("x", refuse, "x")})
    assert (response.status, response.headers["Retry-After"]) == (429, "1")


@pytest.mark.parametrize("target", ["/status", "/nothing", "/flags?setvalue=1"])
def test_all_answers_have_the_headers_that_browsers_heed(target: str) -> None:
    headers = run_page(request_of(target, wants_html=True), FakeServerView()).headers
    assert headers["Content-Security-Policy"] == CONTENT_POLICY
    assert "unsafe" not in CONTENT_POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


def test_a_page_sees_all_pages() -> None:
    seen = []

    def look(request: PageRequest, server: ServerView) -> PageResponse:
        seen.append(list(request.pages))
        return PageResponse("")

    run_page(request_of("/x"), FakeServerView(), {"x": PageEntry("x", look, "x")})
    assert seen == [["x"]]


@pytest.mark.parametrize("entry", PAGES.values(), ids=PAGES)
def test_every_entry_is_complete(entry: PageEntry) -> None:
    assert entry.function.__doc__
    assert entry.methods[0] == "GET"
    assert not any("<" in text for _, text in entry.usage)
