"""DnsClient: asks name servers, by dnspython, and says how long their answers are valid."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AddressError, NamingError
from pybrpc.naming.extras import import_extra
from pybrpc.naming.naming_url import NamingUrl, UrlOptions

TIMEOUT_S = 5.0
TRY_S = 1.0
"""A name server that does not answer is asked again, or another one, after that time."""
UNKNOWN_TTL_S = 5.0
"""How long an answer is valid that says that there is nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Records:
    """The records of one type that a name has. `answer` is dnspython's; `None`: there are none."""

    answer: Any
    ttl_s: float


class DnsClient:
    """Asks the name servers of the system, or those of the option `nameserver`. One thread.

    Raises MissingExtraError without dnspython.
    """

    def __init__(self, url: NamingUrl, options: UrlOptions) -> None:
        self._url = url
        self._resolver_module = import_extra("dns.resolver", "dnspython", "dns", url.scheme)
        self._nameservers = _nameservers(url, options.text("nameserver"))
        self._timeout_s = options.seconds("timeout", TIMEOUT_S, 0.01, 60.0)
        self._resolver: Any = None

    def records(self, name: str, kind: str, deadline_s: float) -> Records:
        """The records of type `kind`. NamingError if no name server answers, or with an error."""
        module = self._resolver_module
        left_s = deadline_s - time.monotonic()
        try:
            if left_s <= 0:
                raise NamingError(f"{self._url}: no time is left to look {name!r} up")
            answer = self._get_resolver().resolve(name, kind, lifetime=left_s, search=True)
        except (module.NXDOMAIN, module.NoAnswer):
            return Records(None, UNKNOWN_TTL_S)
        except NamingError:
            raise
        except Exception as error:  # dnspython raises of many classes, OSError and ValueError too
            raise NamingError(
                f"{self._url}: the look-up of {kind} {name!r} failed: {error}"
            ) from None
        return Records(answer, answer.chaining_result.minimum_ttl)

    def deadline_s(self) -> float:
        """When a look-up that begins now, with all of its questions, has to end."""
        return time.monotonic() + self._timeout_s

    def _get_resolver(self) -> Any:
        if self._resolver is None:
            resolver = self._resolver_module.Resolver(configure=not self._nameservers)
            if self._nameservers:
                do53 = import_extra("dns.nameserver", "dnspython", "dns", "dns").Do53Nameserver
                resolver.nameservers = [do53(each.host, each.port) for each in self._nameservers]
            resolver.timeout = min(TRY_S, self._timeout_s)
            self._resolver = resolver
        return self._resolver


def _nameservers(url: NamingUrl, text: str) -> tuple[Endpoint, ...]:
    found = []
    for item in filter(None, map(str.strip, text.split(","))):
        try:
            server = Endpoint.parse(item if _has_port(item) else f"{item}:53")
        except AddressError as error:
            raise url.error(f"nameserver: {error}") from None
        if not server.is_ip:
            raise url.error(f"nameserver must be an IP address, with or without a port: {item!r}")
        found.append(server)
    return tuple(found)


def _has_port(text: str) -> bool:
    return ":" in text and not text.endswith("]")
