"""URLs of RTMP, in the six forms of C++ bRPC's `RtmpTest.parse_rtmp_url`, and others."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AddressError
from pybrpc.rtmp.client.url import RtmpUrl, parse_rtmp_url

HOST = Endpoint("host", 1935)

FORMS = [
    ("rtmp://HOST/APP/STREAM", "HOST:1935", "", "STREAM"),
    ("HOST/APP/STREAM", "HOST:1935", "", "STREAM"),
    ("rtmp://HOST:8765//APP?vhost=abc///STREAM?queries", "HOST:8765", "abc", "STREAM?queries"),
    ("HOST:8765//APP?vhost=abc///STREAM?queries", "HOST:8765", "abc", "STREAM?queries"),
    ("HOST:8765//APP?vhost=abc///STREAM?queries/", "HOST:8765", "abc", "STREAM?queries/"),
    ("HOST:8765/APP?vhost=abc", "HOST:8765", "abc", ""),
]


@pytest.mark.parametrize(("url", "address", "vhost", "stream"), FORMS)
def test_forms_of_brpc_are_parsed(url: str, address: str, vhost: str, stream: str) -> None:
    parsed = parse_rtmp_url(url)
    assert str(parsed.endpoint) == address
    assert (parsed.app, parsed.vhost, parsed.stream_name) == ("APP", vhost, stream)
    assert not parsed.is_tls


@pytest.mark.parametrize(
    ("url", "tc_url"),
    [
        ("host/app", "rtmp://host/app"),
        ("rtmp://host:1935/app/name", "rtmp://host/app"),
        ("RTMP://host:80/app", "rtmp://host:80/app"),
        ("rtmps://host/app", "rtmps://host/app"),
        ("rtmps://host:1935/app", "rtmps://host:1935/app"),
        ("rtmp://[::1]/app", "rtmp://[::1]/app"),
        ("rtmp://[::1]:19/app", "rtmp://[::1]:19/app"),
        ("rtmp://host/app?vhost=a.b:80&x=1/name", "rtmp://host/app?vhost=a.b:80&x=1"),
        ("rtmp://host", "rtmp://host/"),
    ],
)
def test_tc_url_names_the_app_without_the_stream(url: str, tc_url: str) -> None:
    assert parse_rtmp_url(url).tc_url == tc_url


def test_a_virtual_host_has_no_port() -> None:
    assert parse_rtmp_url("host/app?x=1&vhost=a.b:80").vhost == "a.b"


def test_port_of_a_url_with_tls_is_443() -> None:
    parsed = parse_rtmp_url("rtmps://host/app/name")
    assert parsed.is_tls
    assert parsed.endpoint.port == 443


@pytest.mark.parametrize(
    "url", ["http://host/app/SECRET", "host:0/app/SECRET", "host:x/app/SECRET", "//app/SECRET"]
)
def test_a_url_that_cannot_be_is_refused_without_its_path(url: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_rtmp_url(url)
    assert "SECRET" not in str(caught.value)


def test_a_password_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(AddressError) as caught:
        parse_rtmp_url("rtmp://user:SECRET@host/app")
    assert "SECRET" not in str(caught.value)


def test_the_name_of_the_stream_is_not_shown() -> None:
    assert "SECRET" not in repr(parse_rtmp_url("rtmp://host/app/SECRET"))


def test_what_is_no_string_is_refused() -> None:
    with pytest.raises(AddressError, match="a URL is a string"):
        parse_rtmp_url(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["rtmp://", "rtmp:///app/SECRET", "rtmps://:80/app/SECRET", ""])
def test_a_url_without_a_host_is_refused(url: str) -> None:
    with pytest.raises(AddressError, match='as "rtmp://host/app" has'):
        parse_rtmp_url(url)


@pytest.mark.parametrize(
    "parts",
    [("127.0.0.1:1", False, "app"), (None, False, "app"), (HOST, 1, "app"), (HOST, True, None)],
)
def test_parts_of_a_wrong_type_are_refused(parts: Any) -> None:
    with pytest.raises(TypeError):
        RtmpUrl(*parts)
