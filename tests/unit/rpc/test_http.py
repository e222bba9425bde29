"""HttpHeader, and the two of a Controller."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import pybrpc
from pybrpc.protocols.http1.head_parser import PATTERN_HEAD_PARSER
from pybrpc.protocols.http1.headers import HttpHeaders
from pybrpc.protocols.http1.options import DEFAULT_OPTIONS
from pybrpc.protocols.http1.uri import URI
from pybrpc.rpc.http import HttpHeader, checked_method, received_request, received_response


def test_new_header_has_the_defaults_of_both_messages() -> None:
    header = HttpHeader()
    assert (header.method, str(header.uri), header.status_code) == ("GET", "/", 200)
    assert (header.reason, header.content_type, header.version) == ("OK", "", "1.1")
    assert (len(header.headers), header.unresolved_path) == (0, "")


def test_what_is_set_is_read() -> None:
    header = HttpHeader({"A": "1"})
    header.method = "PUT"
    header.uri = "http://host:81/path?query=1"
    header.status_code = 404
    header.content_type = "text/plain"
    assert (header.method, header.uri.host, header.uri.port) == ("PUT", "host", 81)
    assert (header.reason, header.headers["content-type"]) == ("Not Found", "text/plain")
    header.reason = "Gone fishing"
    header.uri = URI("/other")
    assert (header.reason, header.uri.path) == ("Gone fishing", "/other")


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("method", "GE T", ValueError),
        ("method", 1, TypeError),
        ("uri", "/a\nb", ValueError),
        ("uri", b"/", TypeError),
        ("status_code", 99, ValueError),
        ("status_code", 101, ValueError),
        ("status_code", 1000, ValueError),
        ("status_code", "200", ValueError),
        ("reason", "a\r\nX: y", ValueError),
        ("reason", None, TypeError),
        ("content_type", "a\r\nX: y", ValueError),
    ],
)
def test_wrong_values_are_refused(name: str, value: Any, error: type[Exception]) -> None:
    header = HttpHeader()
    with pytest.raises(error):
        setattr(header, name, value)
    assert (header.method, header.status_code, header.reason) == ("GET", 200, "OK")


def test_type_that_was_checked_before_is_set_as_any_other() -> None:
    for _ in range(2):
        header = HttpHeader()
        header.content_type = "text/x-again"
        assert (header.content_type, header.only_content_type()) == ("text/x-again",) * 2
    header.headers["X-More"] = "1"
    assert header.only_content_type() is None
    assert dict(header.headers) == {"Content-Type": "text/x-again", "X-More": "1"}
    header.content_type = "text/x-other"
    assert header.headers["content-type"] == "text/x-other"
    header.headers = HttpHeaders()
    assert header.content_type == ""


def test_headers_that_replace_a_type_leave_nothing_of_it() -> None:
    HttpHeader().content_type = "text/x-again"
    header = HttpHeader()
    header.content_type = "text/x-again"
    header.headers = HttpHeaders({"A": "1"})
    assert dict(header.headers) == {"A": "1"}


def test_version_can_be_set() -> None:
    header = HttpHeader()
    header.version = "1.0"
    assert header.version == "1.0"


def test_header_of_a_request_that_was_received() -> None:
    text = b"POST /a/b?secret=1 HTTP/1.0\r\nHost: h:1\r\nContent-Type: x/y\r\n\r\n"
    head = PATTERN_HEAD_PARSER.parse_request_head(text, DEFAULT_OPTIONS)
    header = received_request(head, "rest")
    assert (header.method, header.uri.path, header.uri.query) == ("POST", "/a/b", "secret=1")
    assert (header.uri.authority, header.version) == ("h:1", "1.0")
    assert (header.content_type, header.unresolved_path) == ("x/y", "rest")
    assert repr(header) == "<HttpHeader POST /a/b, 2 headers>"


def test_header_of_a_response_that_was_received() -> None:
    text = b"HTTP/1.1 503 Later\r\nA: b\r\n\r\n"
    head = PATTERN_HEAD_PARSER.parse_response_head(text, DEFAULT_OPTIONS)
    header = received_response(head)
    assert (header.status_code, header.reason, header.headers["a"]) == (503, "Later", "b")
    assert repr(header) == "<HttpHeader 503 Later, 1 headers>"


def test_controller_makes_both_when_they_are_read() -> None:
    controller = pybrpc.Controller()
    controller.http_request.headers["A"] = "1"
    assert controller.http_request.headers["a"] == "1"
    controller.http_response.status_code = 201
    controller.reset()
    assert controller.http_response.status_code == 200, "a result of an earlier call"
    assert controller.http_request.headers["a"] == "1", "an option of the caller"


def test_controller_takes_a_header_and_nothing_else() -> None:
    controller = pybrpc.Controller()
    header = HttpHeader({"A": "1"})
    controller.http_request = header
    assert controller.http_request is header
    with pytest.raises(TypeError, match="http_response must be an HttpHeader, not "):
        controller.http_response = {"A": "1"}  # type: ignore[assignment]


def test_controller_with_headers_can_be_copied() -> None:
    controller = pybrpc.Controller()
    controller.http_request.headers["A"] = "1"
    for twin in (copy.copy(controller), pickle.loads(pickle.dumps(controller))):
        assert twin.http_request.headers == HttpHeaders({"A": "1"})


def test_checked_method() -> None:
    assert checked_method("M-SEARCH") == "M-SEARCH"
    with pytest.raises(ValueError, match="can't be the method"):
        checked_method("")
