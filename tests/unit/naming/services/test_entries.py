"""Entries of etcd and ZooKeeper: three ways to write a server."""

from __future__ import annotations

import json

import pytest

from pybrpc.errors import NamingError
from pybrpc.naming.server_lists import ServerListBuilder
from pybrpc.naming.services.entries import add_entry


def added(name: str, value: bytes) -> list[str]:
    builder = ServerListBuilder("test")
    builder.add("good:1")
    add_entry(builder, name, value)
    return [str(server) for server in builder.build()[1:]]


@pytest.mark.parametrize(
    ("name", "value", "server"),
    [
        ("10.0.0.1:80", b"", "10.0.0.1:80"),
        ("10.0.0.1:80", b" 3 zone=a\n", "10.0.0.1:80 3 zone=a"),
        ("[::1]:80", b"", "[::1]:80"),
        ("node-17", b"10.0.0.1:80 3 zone=a", "10.0.0.1:80 3 zone=a"),
        (
            "x",
            b'{"address": "a:1", "weight": 3, "zone": "z", "tag": "0/4"}',
            "a:1 0/4 weight=3 zone=z",
        ),
        ("x", b'{"Op": 0, "Addr": "a:1", "Metadata": {}}', "a:1"),
        ("b:2", b'{"weight": "2.5", "zone": 7}', "b:2 weight=2.5"),
        ("b:2", b"{}", "b:2"),
    ],
)
def test_entry_is_a_server(name: str, value: bytes, server: str) -> None:
    assert added(name, value) == [server]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", b""),
        ("x", b"# comment"),
        ("x", b"also none"),
        ("10.0.0.1:80", b"\xff\xff"),
        ("10.0.0.1:80", b'{"address": '),
        ("x", json.dumps({"address": "none"}).encode()),
        ("x", b'{"a":' * 100_000),
    ],
)
def test_wrong_entries_are_left_out(name: str, value: bytes) -> None:
    assert added(name, value) == []


def test_reason_names_the_entry() -> None:
    builder = ServerListBuilder("test")
    add_entry(builder, "x", b"")
    with pytest.raises(NamingError, match="the entry 'x' has no address"):
        builder.build()
