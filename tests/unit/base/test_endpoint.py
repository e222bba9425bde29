from __future__ import annotations

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AddressError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8000", "127.0.0.1", 8000),
        (" example.com:1 ", "example.com", 1),
        ("[::1]:65535", "::1", 65535),
        ("[fe80::1%eth0]:80", "fe80::1%eth0", 80),
    ],
)
def test_parse_and_back(text: str, host: str, port: int) -> None:
    endpoint = Endpoint.parse(text)
    assert (endpoint.host, endpoint.port) == (host, port)
    assert str(endpoint) == text.strip()
    assert Endpoint.parse(str(endpoint)) == endpoint
    assert Endpoint.parse(endpoint) is endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "host",
        "host:",
        ":80",
        "host:0",
        "host:65536",
        "host:-1",
        "host:8 0",
        "host:٣",
        "host:000080",
        "ho st:80",
        "::1:80",
        "[::1]",
        "[::1:80",
        "[]:80",
        "[not v6]:80",
        "http://host:80",
        "host/path:80",
    ],
)
def test_senseless_addresses_are_refused_with_what_is_meant(text: str) -> None:
    with pytest.raises(AddressError, match="address"):
        Endpoint.parse(text)


@pytest.mark.parametrize("what", [None, 80, b"host:80", ("host", 80)])
def test_what_is_no_string_is_refused(what: object) -> None:
    with pytest.raises(AddressError, match="is a string"):
        Endpoint.parse(what)  # type: ignore[arg-type]


def test_port_0_only_where_it_is_allowed() -> None:
    assert Endpoint.parse("127.0.0.1:0", allow_port_0=True).port == 0


@pytest.mark.parametrize(
    ("host", "is_ip"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("fe80::1%eth0", True),
        ("localhost", False),
        ("1", False),
    ],
)
def test_is_ip(host: str, is_ip: bool) -> None:
    assert Endpoint(host, 80).is_ip == is_ip


@pytest.mark.parametrize(
    ("sockaddr", "text"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        ("", "unix"),
        ("/tmp/socket", "/tmp/socket"),
    ],
)
def test_from_sockaddr(sockaddr: object, text: str) -> None:
    assert str(Endpoint.from_sockaddr(sockaddr)) == text
