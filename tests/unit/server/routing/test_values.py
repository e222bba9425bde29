"""NotFound: texts of C++ bRPC, in which nothing of a peer is HTML."""

from __future__ import annotations

from pybrpc.errors import ErrorCode
from pybrpc.server.routing.values import (
    MAX_SHOWN_PATH,
    missing_method_name,
    no_method,
    not_utf8,
    wrong_http_method,
)


def test_text_has_the_path_escaped_as_by_bRPC() -> None:
    found = no_method('/<a href=\'"&">')
    assert (found.status, found.code) == (404, ErrorCode.ENOMETHOD)
    wanted = "Fail to find method on `/&lt;a href=&apos;&quot;&amp;&quot;&gt;'"
    assert found.text == wanted


def test_text_has_a_long_path_in_part() -> None:
    text = no_method("/" * 100_000).text
    assert text == f"Fail to find method on `{'/' * MAX_SHOWN_PATH}...'"


def test_text_is_valid_unicode() -> None:
    assert no_method("/\udcff\ud800").text == "Fail to find method on `/??'"


def test_wrong_http_method_tells_the_allowed_ones() -> None:
    found = wrong_http_method("<x>", "/a", {"PUT", "GET"})
    assert (found.status, found.allow) == (405, ("GET", "HEAD", "PUT"))
    assert found.text == "Fail to find method on `/a' for &lt;x&gt;, only for GET, HEAD, PUT"
    assert wrong_http_method("GET", "/a", {"PUT"}).allow == ("PUT",)


def test_captured_text_that_is_no_utf8_is_a_bad_request() -> None:
    found = not_utf8("/%ff<", "id")
    assert (found.status, found.code) == (400, ErrorCode.EREQUEST)
    assert found.text == "Invalid UTF-8 in `/%ff&lt;' where `id' is captured"


def test_missing_method_name_lists_the_methods() -> None:
    lines = ("rpc A (Q) returns (R);", "rpc B (Q) returns (R);")
    found = missing_method_name("S", lines)
    assert (found.status, found.methods) == (404, lines)
    assert found.text == (
        "Missing method name for service=S. Available methods are: \n\n"
        "rpc A (Q) returns (R);\nrpc B (Q) returns (R);\n"
    )
