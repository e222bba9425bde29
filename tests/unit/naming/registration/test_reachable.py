"""Addresses by which clients reach a server."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AddressError
from pybrpc.naming import ServerNode
from pybrpc.naming.registration.reachable import (
    check_port,
    is_wildcard,
    node_with_any_port,
    reachable_node,
)


@pytest.mark.parametrize(
    ("node", "shown"),
    [
        ("10.0.0.1:80 3 zone=a", "10.0.0.1:80 3 zone=a"),
        ("[fd00::1]:80", "[fd00::1]:80"),
        ("fe80.example:80  x # comment", "fe80.example:80 x"),
        (Endpoint("h", 80), "h:80"),
        (ServerNode.parse("h:80", "t"), "h:80 t"),
    ],
)
def test_forms_of_a_node(node: Any, shown: str) -> None:
    assert str(reachable_node(node)) == shown


@pytest.mark.parametrize(
    ("address", "is_every"),
    [
        (Endpoint("0.0.0.0", 80), True),
        (Endpoint("::", 80), True),
        (Endpoint("::%eth0", 80), True),
        (Endpoint("127.0.0.1", 80), False),
        (Endpoint("::1", 80), False),
        (Endpoint("host", 80), False),
        (Endpoint("unix:/x", 0), False),
    ],
)
def test_wildcards(address: Endpoint, is_every: bool) -> None:
    assert is_wildcard(address) == is_every


def test_port_0_stands_for_one_that_is_known_later() -> None:
    node = node_with_any_port("10.0.0.1:0 3")
    assert (node.endpoint.port, node.tag) == (0, "3")
    with pytest.raises(AddressError, match="clients of other hosts"):
        check_port(node)
    with pytest.raises(AddressError, match="clients of other hosts"):
        reachable_node("10.0.0.1:0 3")


@pytest.mark.parametrize(
    "node", ["0.0.0.0:0", "unix:/x", "memory:a", "[::]:80", "# none", None, "h:70000"]
)
def test_nonsense_is_refused(node: Any) -> None:
    with pytest.raises(AddressError):
        node_with_any_port(node)
