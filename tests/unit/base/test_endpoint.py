from __future__ import annotations

import os
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.base.endpoint import MAX_PATH_BYTES, Endpoint
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
def test_address_is_parsed_and_formatted_again(text: str, host: str, port: int) -> None:
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
        "127.0.0.1\0.example.com:80",
        "http://host:80",
        "host/path:80",
        "unix:",
        "unix: ",
        "unix:@",
        "unix:/a\0b",
        "unix:/\ud800",
        "unix:" + "x" * (MAX_PATH_BYTES + 1),
        "unix:" + "\N{SNOWMAN}" * 36,
    ],
)
def test_error_of_an_invalid_address_says_what_is_expected(text: str) -> None:
    with pytest.raises(AddressError, match="address"):
        Endpoint.parse(text)


def test_error_of_several_addresses_in_one_says_how_to_write_them() -> None:
    with pytest.raises(AddressError, match="has a comma: for several, give a channel a list"):
        Endpoint.parse("10.0.0.1:8000,10.0.0.2:8000")


@pytest.mark.parametrize("what", [None, 80, b"host:80", ("host", 80)])
def test_parse_refuses_what_is_no_string(what: object) -> None:
    with pytest.raises(AddressError, match="is a string"):
        Endpoint.parse(what)  # type: ignore[arg-type]


def test_port_0_is_accepted_only_if_allowed() -> None:
    assert Endpoint.parse("127.0.0.1:0", allow_port_0=True).port == 0


@pytest.mark.parametrize(
    ("host", "is_ip"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("fe80::1%eth0", True),
        ("localhost", False),
        ("1", False),
        ("unix:/127.0.0.1", False),
    ],
)
def test_is_ip_tells_addresses_from_names(host: str, is_ip: bool) -> None:
    assert Endpoint(host, 80).is_ip == is_ip


@pytest.mark.parametrize(
    ("sockaddr", "text"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        (("::ffff:10.0.0.1", 80, 0, 0), "10.0.0.1:80"),
        (("fe80::1", 80, 0, 99999), "[fe80::1%99999]:80"),
        (("fe80::1%eth0", 80, 0, 2), "[fe80::1%eth0]:80"),
        ("", "unix:"),
        ("/tmp/socket", "unix:/tmp/socket"),
    ],
)
def test_from_sockaddr_gives_the_endpoint_of_a_socket_address(sockaddr: object, text: str) -> None:
    assert str(Endpoint.from_sockaddr(sockaddr)) == text


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("unix:/tmp/a.sock", "/tmp/a.sock"),
        (" unix:relative/a.sock ", "relative/a.sock"),
        ("unix:8000", "8000"),
        ("unix:./@a", "./@a"),
        ("unix:/with space:80/\N{SNOWMAN}", "/with space:80/\N{SNOWMAN}"),
        ("unix:" + "x" * MAX_PATH_BYTES, "x" * MAX_PATH_BYTES),
    ],
)
def test_unix_address_has_a_path(text: str, path: str) -> None:
    endpoint = Endpoint.parse(text)
    assert (endpoint.is_unix, endpoint.path, endpoint.port) == (True, path, 0)
    assert str(endpoint) == text.strip()
    assert Endpoint.parse(str(endpoint)) == endpoint == Endpoint.from_sockaddr(path)


def test_other_addresses_have_no_path() -> None:
    assert not Endpoint("unix", 80).is_unix
    assert Endpoint("unix", 80).path == ""


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
def test_abstract_name_is_a_path_that_starts_with_at() -> None:
    endpoint = Endpoint.parse("unix:@name")
    assert (str(endpoint), endpoint.path) == ("unix:@name", "@name")
    assert Endpoint.from_sockaddr(b"\0name") == endpoint


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("[0:0:0:0:0:0:0:1]:80", "[::1]:80"),
        ("[FE80::0001]:80", "[fe80::1]:80"),
        ("[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
    ],
)
def test_spellings_of_an_address_have_the_same_text(text: str, same: str) -> None:
    """So that channels to it share a connection, however it was written."""
    assert Endpoint.parse(text) == Endpoint.parse(same)
    assert str(Endpoint.parse(text)) == same


def test_interface_of_a_link_local_address_is_named() -> None:
    index, name = socket.if_nameindex()[0]
    assert Endpoint.from_sockaddr(("fe80::1", 80, 0, index)) == Endpoint(f"fe80::1%{name}", 80)


@given(st.text(), st.booleans())
def test_any_text_is_parsed_or_raises_address_error(text: str, is_unix: bool) -> None:
    text = "unix:" + text if is_unix else text
    try:
        endpoint = Endpoint.parse(text)
    except AddressError:
        return
    assert Endpoint.parse(str(endpoint)) == endpoint
    if endpoint.is_unix:
        assert len(os.fsencode(endpoint.path)) <= MAX_PATH_BYTES


@given(st.ip_addresses(), st.integers(1, 65535))
def test_every_ip_address_is_parsed_and_formatted_again(ip: object, port: int) -> None:
    text = f"[{ip}]:{port}" if ":" in str(ip) else f"{ip}:{port}"
    endpoint = Endpoint.parse(text)
    assert endpoint.is_ip
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize("name", ["echo-1", "a", "v1.2_x", "1a"])
def test_server_in_memory_has_a_name_and_no_port(name: str) -> None:
    endpoint = Endpoint.parse(f" memory:{name} ")
    assert endpoint == Endpoint.in_memory(name)
    assert (str(endpoint), endpoint.port, endpoint.path) == (f"memory:{name}", 0, "")
    assert endpoint.is_memory
    assert not any((endpoint.is_unix, endpoint.is_ip, endpoint.has_port))


def test_host_that_is_called_memory_keeps_its_port() -> None:
    endpoint = Endpoint.parse("memory:8000")
    assert endpoint == Endpoint("memory", 8000)
    assert endpoint.has_port
    assert not endpoint.is_memory


def test_only_who_listens_may_leave_the_name_in_memory_to_the_system() -> None:
    assert Endpoint.parse("memory:", allow_port_0=True) == Endpoint.in_memory()
    with pytest.raises(AddressError):
        Endpoint.parse("memory:")


@pytest.mark.parametrize("name", ["1", "a b", "a/b", "ä", "a:b"])
def test_other_names_in_memory_are_refused(name: str) -> None:
    with pytest.raises(AddressError):
        Endpoint.in_memory(name)


def test_name_in_memory_has_a_limit() -> None:
    assert Endpoint.parse(f"memory:{'x' * 100}") == Endpoint.in_memory("x" * 100)
    for name in ("x" * 101, "1x" * 5000):
        with pytest.raises(AddressError, match=f"^a name of {len(name)} characters is too long"):
            Endpoint.parse(f"memory:{name}")


def test_unix_address_has_no_port() -> None:
    assert not Endpoint.parse("unix:/tmp/sock").has_port
