"""Addresses by which clients reach a server, as a registration names them."""

from __future__ import annotations

import ipaddress

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AddressError
from pybrpc.naming.server_lists import split_line
from pybrpc.naming.server_node import ServerNode


def reachable_node(node: ServerNode | Endpoint | str) -> ServerNode:
    """The server that `node` names. AddressError if no client of another host can connect to it."""
    found = node_with_any_port(node)
    check_port(found)
    return found


def node_with_any_port(node: ServerNode | Endpoint | str) -> ServerNode:
    """As `reachable_node`, but its port may be 0."""
    if isinstance(node, Endpoint):
        node = ServerNode(node)
    if not isinstance(node, ServerNode):
        line = split_line(node) if isinstance(node, str) else None
        if line is None:
            raise AddressError(f'a server is "host:port" and a tag, not {node!r:.200}')
        address, tag = line
        node = ServerNode(Endpoint.parse(address, allow_port_0=True), tag)
    endpoint = node.endpoint
    if not endpoint.has_port:
        raise _unreachable(endpoint)
    if is_wildcard(endpoint):
        raise AddressError(f"{endpoint} means all addresses of a host: register one of them")
    return node


def check_port(node: ServerNode) -> None:
    """AddressError if the port of `node` is 0."""
    if not node.endpoint.port:
        raise _unreachable(node.endpoint)


def is_wildcard(endpoint: Endpoint) -> bool:
    """Whether `endpoint` means all addresses of a host: 0.0.0.0 or [::]."""
    if not endpoint.is_ip:
        return False
    return ipaddress.ip_address(endpoint.host.partition("%")[0]).is_unspecified


def _unreachable(endpoint: Endpoint) -> AddressError:
    return AddressError(f"{endpoint} is no address that clients of other hosts can connect to")
