"""URI: the parts of a URL, `scheme://user_info@host:port/path?query#fragment`.

bRPC: `URI`, src/brpc/uri.cpp, whose rules these are: blanks at both ends are skipped, bytes from
0x80 on are ordinary characters, and nothing is percent-decoded.
"""

from __future__ import annotations

import re

from pybrpc.protocols.http1.query import (
    DEFAULT_MAX_QUERIES,
    QueryMap,
    UriError,
    check_query_count,
)

_PARTS = re.compile(
    r"(?:([^/?#@]*?)://)?(?:([^/?#@]*)@)?([^/?#]*)(/[^?#]*)?(?:\?([^#]*))?(?:#(.*))?", re.DOTALL
)
_TARGET = re.compile(r"([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
_PORT = re.compile(r"(.+):([0-9]*)", re.DOTALL | re.ASCII)
_NAMES = "url", "url", "url", "path", "query", "fragment"
_CONTROL = re.compile(r"[\0-\x1f\x7f]")

MAX_PORT = 65535


class URI:
    """A URL. "" is a part that is not there, `port` is None then. Not thread-safe.

    Attributes may be replaced, by valid values. `queries` is the query as a map: after it was
    changed, `query`, `target` and `str` have what it says.
    """

    __slots__ = (
        "_queries",
        "_query",
        "fragment",
        "host",
        "max_queries",
        "path",
        "port",
        "scheme",
        "user_info",
    )

    scheme: str
    user_info: str
    host: str
    port: int | None
    path: str
    fragment: str
    _queries: QueryMap | None

    def __init__(self, url: str = "", max_queries: int = DEFAULT_MAX_QUERIES) -> None:
        """UriError for a control character, a blank inside, or too many queries; `max_queries` 0
        is no limit. A port above 65535 counts as none, as in bRPC."""
        self.max_queries = max_queries
        _check_characters(url)
        found = _PARTS.fullmatch(url.strip(" "))
        parts = (
            ["", "", "", "", "", ""] if found is None else [part or "" for part in found.groups()]
        )
        for name, part in zip(_NAMES, parts, strict=True):
            if " " in part:
                raise UriError(f"Invalid space in {name}")
        self.scheme, self.user_info, authority, self.path, query, self.fragment = parts
        self.host, self.port = split_host_and_port(authority)
        self._set_query(query)

    def set_target(self, target: str) -> None:
        """Set path, query and fragment from `path?query#fragment`, as it is in requests and in the
        `:path` of HTTP/2. Blanks are ordinary characters. bRPC: SetH2Path."""
        _check_characters(target)
        found = _TARGET.fullmatch(target)
        path, query, fragment = ("", "", "") if found is None else found.groups("")
        self._set_query(query)
        self.path, self.fragment = path, fragment

    def set_host_and_port(self, host: str) -> None:
        """Set both from `host:port`, as in a Host header, or from `host`."""
        self.host, self.port = split_host_and_port(host)

    @property
    def query(self) -> str:
        """Behind the question mark, as it was received unless `queries` was changed."""
        if self._queries is not None and self._queries.is_modified:
            return str(self._queries)
        return self._query

    @query.setter
    def query(self, query: str) -> None:
        self._set_query(query)

    @property
    def queries(self) -> QueryMap:
        if self._queries is None:
            self._queries = QueryMap(self._query, self.max_queries)
        return self._queries

    @property
    def target(self) -> str:
        """path?query#fragment, with "/" for an empty path. bRPC: PrintWithoutHost."""
        query = self.query
        return "".join(
            (
                self.path or "/",
                f"?{query}" if query else "",
                f"#{self.fragment}" if self.fragment else "",
            )
        )

    @property
    def authority(self) -> str:
        """host:port, or host; "" without a host."""
        return self.host if self.port is None or not self.host else f"{self.host}:{self.port}"

    def copy(self) -> URI:
        twin = URI(max_queries=self.max_queries)
        twin.scheme, twin.user_info, twin.fragment = self.scheme, self.user_info, self.fragment
        twin.host, twin.port, twin.path = self.host, self.port, self.path
        twin._query = self.query
        return twin

    __copy__ = copy

    def __str__(self) -> str:
        """The URL without user_info, which is sent as Authorization. bRPC: Print."""
        if not self.host:
            return self.target
        return f"{self.scheme or 'http'}://{self.authority}{self.target}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, URI):
            return NotImplemented
        return str(self) == str(other) and self.user_info == other.user_info

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Without user_info and the values in the query, which may be secrets."""
        authority = f"{self.scheme or 'http'}://{self.authority}" if self.host else ""
        return f"<URI {authority}{self.path}{'?...' if self.query else ''}>"

    def _set_query(self, query: str) -> None:
        check_query_count(query, self.max_queries)
        self._query = query
        self._queries = None


def uri_of_target(
    target: str, host: str | None = None, max_queries: int = DEFAULT_MAX_QUERIES
) -> URI:
    """The URI of a request: its target, and the value of its Host if the target has no host.

    UriError as in `URI`. RFC 9112, 3.3; bRPC: HttpMessage::on_headers_complete.
    """
    if target.startswith("/") or target == "*":
        uri = URI(max_queries=max_queries)
        uri.set_target(target)
    else:
        uri = URI(target, max_queries)
    if host and not uri.host:
        uri.set_host_and_port(host)
    return uri


def split_host_and_port(text: str) -> tuple[str, int | None]:
    """`host:port` as both. None is no port, an empty one, or one above 65535."""
    found = _PORT.fullmatch(text)
    if found is None:
        return text, None
    digits = found[2].lstrip("0") or found[2][-1:]
    if not digits or len(digits) > 5 or int(digits) > MAX_PORT:
        return found[1], None
    return found[1], int(digits)


def _check_characters(text: str) -> None:
    if _CONTROL.search(text):
        raise UriError("invalid character in url")
