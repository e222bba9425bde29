"""list://: servers that are written in the URL. dlist://: their names are looked up repeatedly."""

from __future__ import annotations

from pybrpc.errors import AddressError, NamingError
from pybrpc.naming.interfaces import NamingService
from pybrpc.naming.naming_url import NamingUrl
from pybrpc.naming.server_lists import ServerListBuilder
from pybrpc.naming.server_node import ServerNode
from pybrpc.naming.services.options import take_interval, take_policy
from pybrpc.naming.wire.host_names import Family, HostNames


class ListNaming(NamingService):
    """list://host:port tag,host:port tag. A name remains a name: each connection looks it up."""

    is_static = True

    def __init__(self, url: NamingUrl) -> None:
        self._servers = _parse(url, url.rest)

    def fetch(self) -> list[ServerNode]:
        return self._servers


class DynamicListNaming(NamingService):
    """dlist://: a server for each address that a name has. One whose look-up fails keeps the
    addresses that it had."""

    def __init__(self, url: NamingUrl) -> None:
        text, options = url.split()
        self._servers = _parse(url, text)
        self._names = HostNames(Family.of(url, options))
        take_interval(self, options)
        self.policy = take_policy(options)
        options.check_all_known()

    def fetch(self) -> list[ServerNode]:
        return self._names.resolve_all(self._servers)

    def interrupt(self) -> None:
        self._names.interrupt()


def _parse(url: NamingUrl, text: str) -> list[ServerNode]:
    """The servers of "a:1 tag, b:2". Malformed ones are left out; AddressError if all are."""
    builder = ServerListBuilder(url)
    try:
        builder.add_lines(text.split(","))
        return builder.build()
    except NamingError as error:
        raise AddressError(str(error)) from None  # Its text begins with the URL.
