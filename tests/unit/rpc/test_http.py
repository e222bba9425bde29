"""HttpMessage: the head of a request or a response, as handlers and callers see it."""

from __future__ import annotations

import pytest

from pybrpc.protocols.http1 import HttpHeaders, ParserOptions
from pybrpc.protocols.http1.head import new_request_head
from pybrpc.protocols.http1.uri import URI
from pybrpc.rpc.http import HttpMessage, received_request


def test_response_is_untouched_until_something_is_set() -> None:
    for name, value in (
        ("status_code", 404),
        ("reason_phrase", "Why not"),
        ("content_type", "text/html"),
        ("headers", HttpHeaders({"A": "b"})),
    ):
        message = HttpMessage()
        assert message.is_untouched
        setattr(message, name, value)
        assert not message.is_untouched
        assert getattr(message, name) == value


def test_status_brings_its_reason() -> None:
    message = HttpMessage()
    assert (message.status_code, message.reason_phrase) == (200, "OK")
    message.reason_phrase = "Fine"
    message.status_code = 404
    assert message.reason_phrase == "Not Found"
    assert repr(message) == "<HttpMessage 404 Not Found>"
    for status in (99, 1000, "200", True, 200.0):
        with pytest.raises((ValueError, TypeError), match="status_code"):
            message.status_code = status  # type: ignore[assignment]
    with pytest.raises(TypeError, match="reason_phrase"):
        message.reason_phrase = b"OK"  # type: ignore[assignment]


def test_request_that_was_received() -> None:
    pairs = [("Host", "a:80"), ("Content-Type", "text/csv; x=y"), ("Authorization", "secret")]
    head = new_request_head("PUT", "/v1/x/y?token=secret", 1, pairs, ParserOptions())
    message = received_request(head, "y")
    assert (message.method, message.unresolved_path) == ("PUT", "y")
    assert message.content_type == "text/csv; x=y"
    assert (message.uri.path, message.uri.query, message.uri.host) == (
        "/v1/x/y",
        "token=secret",
        "a",
    )
    assert message.uri is message.uri
    assert repr(message) == "<HttpMessage PUT /v1/x/y>"


def test_request_that_is_made() -> None:
    message = HttpMessage({"X": "y"}, method="GET", uri=URI("http://h/p"), unresolved_path="r")
    assert (message.headers["x"], message.uri.host, message.unresolved_path) == ("y", "h", "r")
    message.uri = URI("/q")
    assert message.uri.path == "/q"
    headers = HttpHeaders()
    assert HttpMessage(headers).headers is headers
    assert HttpMessage().uri.path in ("", "/")
