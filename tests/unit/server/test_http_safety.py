"""Which requests of browsers are those of other sites, and whose addresses are let in."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.protocols.http1 import HttpHeaders
from pybrpc.server.http_safety import (
    AllowedHosts,
    HttpSettings,
    Origins,
    checked_networks,
    has_own_host,
    is_cross_site,
    is_in,
    is_navigation,
)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"Host": "a:80", "Origin": "http://a:80"}, False),
        ({"Host": "a", "Origin": "http://a:80"}, False),
        ({"Host": "a:80", "Origin": "http://a"}, False),
        ({"Host": "a:443", "Origin": "https://A"}, False),
        ({"Host": "a:8000", "Origin": "http://a"}, True),
        ({"Host": "a", "Origin": "https://a"}, False),
        ({"Host": "a", "Origin": "http://b"}, True),
        ({"Host": "a", "Origin": "http://a.b"}, True),
        ({"Host": "a", "Origin": "null"}, True),
        ({"Host": "", "Origin": ""}, True),
        ({"Host": "a", "Origin": "a"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "Cross-Site"}, True),
        ({"Sec-Fetch-Site": "made up"}, True),
    ],
)
def test_requests_of_other_sites(headers: dict[str, str], expected: bool) -> None:
    assert is_cross_site(HttpHeaders(headers)) is expected


@pytest.mark.parametrize(
    ("method", "more", "expected"),
    [
        ("GET", {}, True),
        ("HEAD", {}, True),
        ("POST", {}, False),
        ("GET", {"Origin": "http://a"}, False),
        ("GET", {"Sec-Fetch-Mode": "no-cors"}, False),
        ("GET", {"Sec-Fetch-Dest": "image"}, False),
        ("GET", {"Sec-Fetch-Dest": "iframe"}, False),
    ],
)
def test_links_that_a_person_follows(method: str, more: dict[str, str], expected: bool) -> None:
    headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", **more}
    assert is_navigation(method, HttpHeaders(headers)) is expected


def test_origins_that_are_allowed() -> None:
    origins = Origins(["https://App.example.com", "http://localhost:3000", "http://b:80"])
    for origin in ("https://app.example.com", "https://app.example.com:443", "http://b"):
        assert origins.allows(origin)
    for origin in ("http://app.example.com", "https://app.example.com.evil", "null", "*", ""):
        assert not origins.allows(origin)
    assert origins == Origins(["http://localhost:3000", "https://app.example.com", "http://b"])
    assert hash(Origins("*")) == hash(Origins(["*"]))
    assert Origins("*").allows("null")
    assert origins != "https://app.example.com"
    assert repr(Origins()) == "<Origins none>"
    assert origins.headers_for("http://b")["Access-Control-Allow-Origin"] == "http://b"
    asked = origins.preflight_headers(HttpHeaders({"Access-Control-Request-Headers": "x, y"}))
    assert asked["Access-Control-Allow-Headers"] == "x, y"
    assert "Access-Control-Allow-Headers" not in origins.preflight_headers(HttpHeaders())


@pytest.mark.parametrize("origin", ["app.example.com", "ftp://a", "https://", "https://a/b", ""])
def test_text_that_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match="is no origin such as"):
        Origins([origin])


def test_origins_of_another_type_are_refused() -> None:
    with pytest.raises(TypeError, match="cors must be a list of origins"):
        Origins([3])  # type: ignore[list-item]


def test_networks() -> None:
    networks = checked_networks(["10.0.0.0/8", "192.0.2.7", "fd00::/8"])
    for host in ("10.1.2.3", "192.0.2.7", "fd00::1", "::ffff:10.1.2.3", "fd00::1%eth0"):
        assert is_in(networks, Endpoint(host, 1)), host
    for host in ("11.0.0.1", "192.0.2.8", "::1", "127.0.0.1", "unix:/a"):
        assert not is_in(networks, Endpoint(host, 1 if "unix" not in host else 0)), host
    assert not is_in(networks, None)
    assert not is_in((), Endpoint("10.0.0.1", 1))
    assert checked_networks("10.0.0.0/8") == checked_networks(["10.0.0.0/8"])
    with pytest.raises(ValueError, match="builtin_allow: "):
        checked_networks(["10.0.0.1/8"])
    with pytest.raises(ValueError, match="builtin_allow: "):
        checked_networks(["intranet"])
    with pytest.raises(TypeError, match="builtin_allow must be a list of networks"):
        checked_networks([10])  # type: ignore[list-item]


HOSTS = AllowedHosts(["api.Example.com", "*.corp", "10.0.0.7", "[::1]", "fe80::0:1"])


@pytest.mark.parametrize(
    "host",
    [
        "api.example.com",
        "API.example.com:8000",
        "api.example.com.",
        "a.corp",
        "a.b.corp:80",
        "10.0.0.7:1",
        "[::1]:8000",
        "[0:0::1]",
        "[fe80::1]",
    ],
)
def test_hosts_that_are_allowed(host: str) -> None:
    assert HOSTS.allows(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.com",
        "x.api.example.com",
        "api.example.com.evil.example",
        "corp",
        ".corp",
        "acorp",
        "10.0.0.8",
        "localhost",
        "[::2]",
        "*.corp.evil",
    ],
)
def test_hosts_that_are_not_allowed(host: str) -> None:
    assert not HOSTS.allows(host)
    assert AllowedHosts().allows(host)
    assert AllowedHosts(["a", "*"]).allows(host)


@pytest.mark.parametrize(
    "name",
    ["", "a:80", "http://a", "a/", "*a", "a.*", "*.", "**", "a b", "\xe4.example", "[::x]", ".a"],
)
def test_hosts_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="allowed_hosts: "):
        AllowedHosts([name])


@pytest.mark.parametrize("names", [[], (), iter([])])
def test_no_host_at_all_is_refused(names: Iterable[str]) -> None:
    with pytest.raises(ValueError, match=r'allow no host at all.*\["\*"\]'):
        AllowedHosts(names)


def test_allowed_hosts_are_values() -> None:
    assert AllowedHosts("a.example") == AllowedHosts(["A.example"])
    assert hash(AllowedHosts("a")) == hash(AllowedHosts(["a"]))
    assert AllowedHosts("a") != AllowedHosts("b")
    assert AllowedHosts("a") != "a"
    assert repr(AllowedHosts(["*.b", "a"])) == "<AllowedHosts a, *.b>"
    assert repr(AllowedHosts()) == "<AllowedHosts all>"
    with pytest.raises(TypeError, match="allowed_hosts must be a list of hosts"):
        AllowedHosts([3])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("localhost", True),
        ("LOCALHOST:80", True),
        ("10.0.0.1", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil", False),
        ("", False),
    ],
)
def test_hosts_that_no_foreign_dns_gives(host: str, expected: bool) -> None:
    assert has_own_host(HttpHeaders({"Host": host})) is expected


def test_name_of_this_machine_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Box7")
    assert has_own_host(HttpHeaders({"Host": "box7:80"}))
    assert not has_own_host(HttpHeaders({"Host": "box8"}))


def test_settings_have_defaults() -> None:
    assert HttpSettings() == HttpSettings(Origins(), ())
