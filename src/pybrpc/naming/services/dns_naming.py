"""dns:// and srv://: the records of a name, asked for again when they are no longer valid."""

from __future__ import annotations

from typing import Any

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AddressError
from pybrpc.naming.interfaces import NamingService
from pybrpc.naming.naming_url import NamingUrl
from pybrpc.naming.server_lists import ServerListBuilder
from pybrpc.naming.server_node import ServerNode
from pybrpc.naming.services.options import take_policy
from pybrpc.naming.wire.dns_client import DnsClient
from pybrpc.naming.wire.host_names import Family

MIN_TTL_S, MAX_TTL_S = 1.0, 60.0
MAX_TARGETS = 1000
"""Names of one SRV answer that are looked up."""


class _DnsBase(NamingService):
    """Addresses of names, and the shortest time that all of them are valid."""

    def __init__(self, url: NamingUrl) -> None:
        self._url = url
        self._text, options = url.split()
        self._client = DnsClient(url, options)
        self._family = Family.of(url, options)
        self._fixed_interval_s = options.seconds_or_none("interval", 0.01)
        self.policy = take_policy(options)
        options.check_all_known()
        self._ttl_s = MAX_TTL_S

    def fetch(self) -> list[ServerNode]:
        self._ttl_s = MAX_TTL_S
        servers = self._look_up(self._client.deadline_s())
        self.interval_s = self._fixed_interval_s or max(self._ttl_s, MIN_TTL_S)
        return servers

    def _look_up(self, deadline_s: float) -> list[ServerNode]:
        raise NotImplementedError

    def _records(self, name: str, kind: str, deadline_s: float) -> Any:
        records = self._client.records(name, kind, deadline_s)
        self._ttl_s = min(self._ttl_s, records.ttl_s)
        return records.answer

    def _addresses_of(self, name: str, deadline_s: float) -> list[str]:
        """Those of the chosen family; IPv6 is asked for only if it counts."""
        ipv4: list[str] = []
        if self._family is not Family.IPV6:
            ipv4 = self._texts(name, "A", deadline_s)
            if self._family is Family.IPV4 or (ipv4 and self._family is Family.PREFER_IPV4):
                return ipv4
        return self._family.choose(ipv4, self._texts(name, "AAAA", deadline_s))

    def _takes_ipv4_only(self) -> bool:
        """Whether addresses of IPv6 don't count where there are those of IPv4."""
        return self._family in (Family.IPV4, Family.PREFER_IPV4)

    def _texts(self, name: str, kind: str, deadline_s: float) -> list[str]:
        return [record.to_text() for record in self._records(name, kind, deadline_s) or ()]


class DnsNaming(_DnsBase):
    """dns://name:port. A name that is not there counts as an empty list."""

    def __init__(self, url: NamingUrl) -> None:
        super().__init__(url)
        try:
            self._endpoint = Endpoint.parse(self._text.rstrip("/"))
        except AddressError as error:
            raise url.error(f"{error}; or srv://, where DNS knows the port too") from None

    def _look_up(self, deadline_s: float) -> list[ServerNode]:
        port = self._endpoint.port
        addresses = self._addresses_of(self._endpoint.host, deadline_s)
        return [ServerNode(Endpoint(address, port)) for address in addresses]


class SrvNaming(_DnsBase):
    """srv://_service._tcp.name (RFC 2782). The servers are those with the least priority number;
    the tag of each is its weight, if that is not 0."""

    def __init__(self, url: NamingUrl) -> None:
        super().__init__(url)
        self._name = self._text.rstrip("/")
        if not self._name or any(char in self._name for char in "/:@ "):
            raise url.error('write "srv://_service._tcp.example.com"')

    def _look_up(self, deadline_s: float) -> list[ServerNode]:
        answer = self._records(self._name, "SRV", deadline_s)
        records = (
            [] if answer is None else [each for each in answer if each.target.to_text() != "."]
        )
        first = min((record.priority for record in records), default=0)
        chosen = [record for record in records if record.priority == first][:MAX_TARGETS]
        known = _additional(answer)
        builder = ServerListBuilder(self._url)
        for record in sorted(chosen, key=lambda record: (record.target, record.port)):
            name = record.target.to_text()
            sent_along = known.get(record.target, []) if self._takes_ipv4_only() else []
            addresses = sent_along or self._addresses_of(name, deadline_s)
            if not addresses:
                builder.skip(f"{name} has no address")
            for address in addresses:
                builder.add_host(address, record.port, str(record.weight) if record.weight else "")
        return builder.build()


def _additional(answer: Any) -> dict[Any, list[str]]:
    """The IPv4 addresses that the name server has sent along, by name."""
    if answer is None:
        return {}
    found: dict[Any, list[str]] = {}
    for records in answer.response.additional:
        if records.rdtype == 1:
            found.setdefault(records.name, []).extend(record.to_text() for record in records)
    return found
