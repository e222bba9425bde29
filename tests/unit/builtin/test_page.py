"""page: what a page is asked, and in which form it answers."""

from __future__ import annotations

import pytest

from pybrpc.builtin.page import PageError, PageResponse, wants_html
from pybrpc.protocols.http1 import HttpHeaders, QueryMap
from tests.fakes.pages import request_of

BROWSER = "Mozilla/5.0 (X11; Linux x86_64) Chrome/126.0"


@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        ("", {}, False),
        ("", {"User-Agent": "curl/7.88.1"}, False),
        ("", {"User-Agent": "brpc/1.0 curl/7.0", "Accept": "text/html"}, False),
        ("", {"User-Agent": BROWSER}, True),
        ("", {"User-Agent": BROWSER, "Accept": "text/html,*/*;q=0.8"}, True),
        ("", {"User-Agent": "Wget/1.21", "Accept": "*/*"}, True),
        ("", {"User-Agent": BROWSER, "Accept": "text/plain"}, False),
        ("", {"User-Agent": BROWSER, "Accept": "application/json, text/plain, */*"}, False),
        ("", {"User-Agent": BROWSER, "Accept": "TEXT/HTML;q=0.9, image/png"}, True),
        ("", {"User-Agent": BROWSER, "Accept": "text/*, */*;q=0.1"}, True),
        ("console=1", {"User-Agent": BROWSER}, False),
        ("console=0", {"User-Agent": "curl/7.88.1"}, True),
        ("console", {"User-Agent": BROWSER}, False),
    ],
)
def test_text_or_html(query: str, headers: dict[str, str], expected: bool) -> None:
    assert wants_html(QueryMap(query), HttpHeaders(headers)) is expected


def test_parameters_are_decoded() -> None:
    request = request_of("/vars?filter=a%20b%3C+c&filter=%FF&empty")
    assert request.parameter("filter") == "\ufffd"
    assert request.parameter("empty", "x") == ""
    assert request.parameter("missing", "x") == "x"


def test_a_form_is_bounded() -> None:
    assert request_of("/flags/a", "POST", body=b"value=%31&x=y+z").form() == {
        "value": "1",
        "x": "y z",
    }
    with pytest.raises(PageError) as too_long:
        request_of("/", "POST", body=b"a=" + b"x" * 65_536).form()
    with pytest.raises(PageError) as too_many:
        request_of("/", "POST", body=b"&".join([b"a=b"] * 65)).form()
    assert (too_long.value.status, too_many.value.status) == (413, 400)


def test_a_body_that_is_no_utf_8_is_still_sent() -> None:
    assert PageResponse("a\ud800b").body_bytes() == b"a?b"
    assert PageResponse(b"\xff").body_bytes() == b"\xff"


def test_repr_has_no_body() -> None:
    request = request_of(
        "/flags/a", "POST", body=b"value=secret", headers=HttpHeaders({"Cookie": "s3"})
    )
    assert "secret" not in repr(request)
    assert "s3" not in repr(request)
    assert "hello" not in repr(PageResponse("hello"))
