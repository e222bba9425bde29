"""HttpRequest: what is packed, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.client.connections.http_request import HttpRequest, checked_target, host_of
from pybrpc.client.connections.http_upload import Upload
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.http1.headers import HttpHeaders

DEFAULTS = b"Accept: */*\r\nUser-Agent: brpc/1.0 curl/7.0\r\n\r\n"


def test_packs_the_same_again() -> None:
    body = IOBuf(b"body")
    request = HttpRequest("PUT", "/a?b", HttpHeaders({"X": "y"}), body)
    expected = (
        b"PUT /a?b HTTP/1.1\r\nContent-Length: 4\r\nHost: h:1\r\nX: y\r\n" + DEFAULTS + b"body"
    )
    assert bytes(request.pack("h:1")) == expected
    assert bytes(request.pack("h:1")) == expected


def test_credential_is_added_and_not_kept() -> None:
    request = HttpRequest("GET", "/", HttpHeaders())
    assert request.needs_credential
    assert b"\r\nAuthorization: secret\r\n" in bytes(request.pack("h", b"secret"))
    assert b"secret" not in bytes(request.pack("h"))
    with pytest.raises(ValueError, match="control character"):
        request.pack("h", b"a\r\nb: c")
    own = HttpRequest("GET", "/", HttpHeaders({"authorization": "own"}))
    assert not own.needs_credential


def test_upload_has_a_head_alone() -> None:
    upload = Upload()
    request = HttpRequest("POST", "/", HttpHeaders(), upload=upload)
    assert b"\r\nTransfer-Encoding: chunked\r\n" in bytes(request.pack("h"))
    assert upload.writer is not None
    assert upload.writer.is_chunked


@pytest.mark.parametrize(
    ("method", "target", "sent"),
    [
        ("GET", "/a#b", "/a"),
        ("OPTIONS", "*", "*"),
        ("GET", "/\xe9", "/\xe9"),
        ("GET", "//a", "//a"),
    ],
)
def test_targets(method: str, target: str, sent: str) -> None:
    assert checked_target(method, target) == sent


@pytest.mark.parametrize(
    ("method", "target", "error"),
    [
        ("GET", "", ValueError),
        ("GET", "a", ValueError),
        ("GET", "*", ValueError),
        ("GET", "http://other/", ValueError),
        ("GET", "/a b", ValueError),
        ("GET", "/\n", ValueError),
        ("GET", None, TypeError),
        ("CONNECT", "a:1", ValueError),
    ],
)
def test_wrong_targets(method: str, target: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        checked_target(method, target)


def test_repr_shows_no_query() -> None:
    request = HttpRequest("GET", "/a?token=secret", HttpHeaders({"Authorization": "secret"}))
    assert repr(request) == "<HttpRequest GET /a>"


@pytest.mark.parametrize(
    ("address", "has_tls", "host"),
    [
        ("10.0.0.1:8000", False, "10.0.0.1:8000"),
        ("example.com:80", False, "example.com"),
        ("example.com:443", True, "example.com"),
        ("example.com:443", False, "example.com:443"),
        ("[::1]:80", False, "[::1]"),
        ("[::1]:81", False, "[::1]:81"),
        ("unix:/a/b.sock", False, "localhost"),
        ("memory:echo-1", False, "localhost"),
    ],
)
def test_host(address: str, has_tls: bool, host: str) -> None:
    assert host_of(Endpoint.parse(address), has_tls) == host
    assert host_of(Endpoint("fe80::1%eth0", 80), has_tls=False) == "[fe80::1]"


class FakeBody:
    is_abandoned = False

    def abandon(self) -> None:
        self.is_abandoned = True


@pytest.mark.parametrize("gives_up_first", [True, False])
def test_body_of_a_caller_that_is_gone_is_abandoned(gives_up_first: bool) -> None:
    request = HttpRequest("GET", "/", HttpHeaders(), is_progressive=True)
    body: Any = FakeBody()
    if gives_up_first:
        request.give_up()
        request.note_incoming(body)
    else:
        request.note_incoming(body)
        assert not body.is_abandoned
        request.give_up()
    assert body.is_abandoned
