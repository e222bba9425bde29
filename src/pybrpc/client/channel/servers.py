"""Servers: the addresses that a channel to a cluster is given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from pybrpc.base.endpoint import Endpoint
from pybrpc.naming.url_scheme import is_naming_url

if TYPE_CHECKING:
    from pybrpc.naming.server_node import ServerNode

Servers: TypeAlias = "str | Iterable[str | Endpoint | ServerNode]"
"""A URL of a naming service, or the servers themselves."""


def servers_of(address: Servers | Endpoint) -> Servers | None:
    """The servers that the address of a channel stands for; `None` if it is that of one server."""
    if isinstance(address, Endpoint) or (isinstance(address, str) and not is_naming_url(address)):
        return None
    return address if isinstance(address, Iterable) else None
