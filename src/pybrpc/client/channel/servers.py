"""Servers: the addresses that a channel to a cluster is given."""

from __future__ import annotations

from collections.abc import Iterable

from pybrpc.base.endpoint import Endpoint
from pybrpc.naming.naming_url import is_naming_url
from pybrpc.naming.server_node import ServerNode

Servers = str | Iterable[str | Endpoint | ServerNode]
"""A URL of a naming service, or the servers themselves."""


def servers_of(address: Servers | Endpoint) -> Servers | None:
    """The servers that the address of a channel stands for; `None` if it is that of one server."""
    if isinstance(address, Endpoint) or (isinstance(address, str) and not is_naming_url(address)):
        return None
    return address if isinstance(address, Iterable) else None
