"""http:// and https://: the addresses of a name, as bRPC's domain_naming_service.cpp has them."""

from __future__ import annotations

from pybrpc.naming.interfaces import NamingService
from pybrpc.naming.naming_url import NamingUrl, parse_hosts
from pybrpc.naming.server_node import ServerNode
from pybrpc.naming.services.options import take_interval, take_policy
from pybrpc.naming.wire.host_names import Family, HostNames

DEFAULT_PORTS = {"http": 80, "https": 443}


class DomainNaming(NamingService):
    """http://host:port: a server for each address of `host`. A path behind it means nothing."""

    def __init__(self, url: NamingUrl) -> None:
        text, options = url.split()
        hosts = parse_hosts(url, text.partition("/")[0], DEFAULT_PORTS[url.scheme])
        if len(hosts) != 1:
            raise url.error("write one host; dlist:// takes several")
        self._servers = [ServerNode(hosts[0])]
        self._names = HostNames(Family.of(url, options))
        take_interval(self, options)
        self.policy = take_policy(options)
        options.check_all_known()

    def fetch(self) -> list[ServerNode]:
        return self._names.resolve_all(self._servers)

    def interrupt(self) -> None:
        self._names.interrupt()
