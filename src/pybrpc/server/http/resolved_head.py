"""ResolvedHead: what the head of a request means on a connection, looked up once.

Clients mostly send the same head again and again over a connection: the parser returns the same
object for it, and what it means is kept with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pybrpc.protocols.http1 import URI, RequestHead
from pybrpc.protocols.http1.query import DEFAULT_MAX_QUERIES


class ResolvedHead:
    """Not to be changed once it is resolved.

    captures  names and texts of the fields in the path
    cors      headers that go with each response
    facts     what the target has found in the headers, if it keeps anything
    path      not decoded
    query     behind "?", not decoded
    rest      what the path says beside the name of what answers: "unresolved_path" in bRPC
    """

    __slots__ = (
        "_uri",
        "captures",
        "cors",
        "facts",
        "head",
        "needs_credentials",
        "path",
        "query",
        "rest",
        "target",
    )

    def __init__(self, head: RequestHead) -> None:
        """UriError if the target of the request is no URL."""
        self.head = head
        self._uri: URI | None = None
        target = head.target
        if target[0] == "/" and "#" not in target and target.count("&") < DEFAULT_MAX_QUERIES:
            self.path, _, self.query = target.partition("?")
        else:
            uri = self.uri
            self.path, self.query = uri.path, uri.query
        self.captures: tuple[tuple[str, str], ...] = ()
        self.cors: Mapping[str, str] | None = None
        self.facts: Any = None
        self.needs_credentials = True
        self.rest = ""
        self.target: Any = None
        """The Target that answers it."""

    @property
    def uri(self) -> URI:
        """The whole URL. Not to be changed."""
        if self._uri is None:
            self._uri = self.head.uri()
        return self._uri

    def __repr__(self) -> str:
        """Without the query, which may have secrets."""
        return f"<ResolvedHead {self.head!r}, {self.target!r}>"
