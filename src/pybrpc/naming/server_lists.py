"""Lists of servers as naming services give them: lines of text, limits, duplicates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pybrpc.base.guard import NAMING
from pybrpc.base.limited_log import LimitedLog
from pybrpc.base.pacing import paced
from pybrpc.errors import AddressError, NamingError
from pybrpc.naming.interfaces import MAX_SERVERS
from pybrpc.naming.server_node import ServerNode, weight_text

_log = LimitedLog(NAMING)


def split_line(line: str) -> tuple[str, str] | None:
    """Address and tag of a line "host:port tag # comment"; `None` if it is empty or a comment.

    As in bRPC's file_naming_service.cpp, but that a "#" just behind a blank always begins a
    comment.
    """
    line = line.strip()
    if not line or line.startswith("#"):
        return None
    address, *rest = line.split(maxsplit=1)
    return address, rest[0].partition("#")[0].strip() if rest else ""


class ServerListBuilder:
    """Collects the servers of one answer. Items that can't be used are left out and logged.

    source   names the naming service in texts
    """

    def __init__(self, source: object) -> None:
        self._source = source
        self._servers: list[ServerNode] = []
        self._skipped = 0
        self._reason = ""

    def add(self, address: str, tag: str = "", weight: float = 1.0, zone: str = "") -> None:
        """Add a server, or leave it out if `address` is none. NamingError if there are too many.

        A weight other than 1, and a zone, become words of the tag, unless it has such words.
        """
        try:
            node = ServerNode.parse(address, tag)
            words = [tag] if tag else []
            if weight > 0 and weight != 1 and node.weight is None:
                words.append(f"weight={weight_text(weight)}")
            if zone and not node.zone and not any(map(str.isspace, zone)):
                words.append(f"zone={zone}")
            changed = " ".join(words)
            self._servers.append(node if changed == tag else ServerNode(node.endpoint, changed))
        except AddressError as error:
            self.skip(str(error))
        check_count(len(self._servers) + self._skipped)

    def add_lines(self, lines: Iterable[str]) -> None:
        """Add the servers of lines as `split_line` takes them."""
        for line in paced(lines):
            if (found := split_line(line)) is not None:
                self.add(*found)

    def add_host(
        self, host: str, port: int, tag: str = "", weight: float = 1.0, zone: str = ""
    ) -> None:
        """`add`, for a host and a port; `host` may be an IPv6 address."""
        self.add(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", tag, weight, zone)

    def skip(self, reason: str) -> None:
        """Note that an item is left out."""
        self._skipped += 1
        self._reason = self._reason or reason

    def build(self) -> list[ServerNode]:
        """The servers. NamingError if all items were left out: such an answer is not an empty
        list."""
        if self._skipped:
            if not self._servers:
                raise NamingError(f"{self._source}: no server can be used: {self._reason}")
            left_out = "1 server is" if self._skipped == 1 else f"{self._skipped} servers are"
            _log.warn("%s: %s left out: %s", self._source, left_out, self._reason)
        return self._servers


def check_count(count: int) -> None:
    """NamingError if a list with that many servers is too long."""
    if count > MAX_SERVERS:
        raise NamingError(f"more than {MAX_SERVERS} servers")


def checked_servers(found: Iterable[object]) -> tuple[ServerNode, ...]:
    """The servers of a NamingService, without duplicates, in its order. NamingError if it gives
    anything else."""
    servers: dict[ServerNode, None] = {}
    for count, item in enumerate(paced(_items(found)), 1):
        check_count(count)
        servers[_node(item)] = None
    return tuple(servers)


def _items(found: Iterable[object]) -> Iterator[object]:
    if isinstance(found, str | bytes):
        raise NamingError(f"a naming service gives a list of servers, not the text {found!r:.200}")
    try:
        return iter(found)
    except TypeError:
        raise NamingError(f"a naming service gives a list of servers, not {found!r:.200}") from None


def _node(item: object) -> ServerNode:
    if isinstance(item, ServerNode):
        return item
    line = split_line(item) if isinstance(item, str) else None
    if line is None:
        raise NamingError(f"a server is a ServerNode or a string, not {item!r:.200}")
    return ServerNode.parse(*line)
