"""assets: the files that pages need."""

from __future__ import annotations

import pytest

from pybrpc.builtin.assets import asset, url_of
from pybrpc.builtin.registry import run_page
from pybrpc.protocols.http1 import HttpHeaders
from tests.fakes.pages import FakeServerView, request_of

PATHS = {
    "/css/pybrpc.css": "text/css; charset=utf-8",
    "/js/pybrpc.js": "text/javascript; charset=utf-8",
    "/favicon.ico": "image/svg+xml",
}


@pytest.mark.parametrize("path", PATHS)
def test_a_file_may_be_cached_and_is_sent_once(path: str) -> None:
    first = run_page(request_of(path, is_internal=False), FakeServerView())
    assert (first.status, first.content_type) == (200, PATHS[path])
    assert first.headers["Cache-Control"] == "public, max-age=3600"
    headers = HttpHeaders({"If-None-Match": first.headers["ETag"]})
    second = run_page(request_of(path, headers=headers), FakeServerView())
    assert (second.status, second.body) == (304, b"")


@pytest.mark.parametrize("path", ["/css", "/css/other.css", "/js/../page.py", "/favicon.ico/x"])
def test_there_are_no_other_files(path: str) -> None:
    assert run_page(request_of(path), FakeServerView()).status == 404


def test_the_url_changes_with_the_bytes() -> None:
    tag = asset("css/pybrpc.css")[1]
    assert url_of("css/pybrpc.css") == f"/css/pybrpc.css?v={tag[1:9]}"


@pytest.mark.parametrize("path", ["css/pybrpc.css", "js/pybrpc.js"])
def test_no_file_names_another_host(path: str) -> None:
    text = asset(path)[0].decode()
    assert "//" not in text.replace("http://www.w3.org/2000/svg", "").replace("// ", "")
    assert "@import" not in text


@pytest.mark.parametrize("danger", ["innerHTML", "eval(", "document.write", "insertAdjacentHTML"])
def test_the_script_makes_no_markup_of_text(danger: str) -> None:
    assert danger not in asset("js/pybrpc.js")[0].decode()
