"""Registering: the part of a Server, and of a Supervisor, that knows its naming services."""

from __future__ import annotations

from pybrpc.base.endpoint import Endpoint
from pybrpc.naming.naming_url import NamingUrl
from pybrpc.naming.server_node import ServerNode
from pybrpc.server.lifecycle.registrations import Registrations, ServerRegistration


class Registering:
    """A base class of Server and Supervisor."""

    def __init__(self) -> None:
        self._registrations = Registrations()

    def register(
        self,
        url: str | NamingUrl,
        node: ServerNode | Endpoint | str | None = None,
        *,
        tag: str = "",
    ) -> ServerRegistration:
        """Keep the server in the list of a naming service while it serves.

        url    etcd://, zookeeper://, consul://, nacos:// or discovery://, as channels use it
        node   the address by which clients reach the server, and a tag: "10.0.0.1:8000 3 zone=a".
               Port 0 is the port on which it listens. Default: the address on which it listens
        tag    the tag, "3 zone=a" for a weight and a zone, if `node` has none

        Before the start, or while the server runs. The entry is made, in the background, once the
        server accepts calls, at each start; a stop removes it first, see `stop`. More than one
        naming service, or address, takes as many calls. Any thread; never waits for the service.

        AddressError: the URL or the address makes no sense, or clients can't reach the server
        there. A server that listens on all addresses (0.0.0.0, [::]), or on a Unix socket, needs
        `node`: without one, `start` raises it, or `register` if the server runs. MissingExtraError
        if the scheme needs a package that is not installed. ServerStateError in a worker, whose
        supervisor has to register the address of all, and if the server is registered there
        already. RuntimeError if no thread can be started.
        """
        return self._registrations.add(url, node, tag)
