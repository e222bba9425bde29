"""ResolvedHead: what the head of a request means on a connection, looked up once.

Clients mostly send the same head again and again over a connection: the parser returns the same
object for it, and what it means is kept with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pybrpc.protocols.http1 import URI, RequestHead
from pybrpc.protocols.http1.query import DEFAULT_MAX_QUERIES

FIELD_BYTES = 320
"""Memory of a header beside its text, in bytes."""

FREE_BYTES = 2 * 1024
"""Memory of a head that is not counted: most have less, and share it with the one before."""


class ResolvedHead:
    """Not to be changed once it is resolved.

    captures  names and texts of the fields in the path
    cors      headers that go with each response
    size_bytes  memory of the head, as far as it is more than most heads have
    facts     what the target has found in the headers, if it keeps anything
    path      not decoded; "" if the target can't be understood
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
        "size_bytes",
        "target",
    )

    def __init__(self, head: RequestHead, has_url: bool = True) -> None:
        """UriError if the target of the request is no URL, unless `has_url` says so."""
        self.head = head
        self._uri: URI | None = None
        target = head.target
        if not has_url:
            self.path = self.query = ""
        elif target[0] == "/" and "#" not in target and target.count("&") < DEFAULT_MAX_QUERIES:
            self.path, _, self.query = target.partition("?")
        else:
            uri = self.uri
            self.path, self.query = uri.path, uri.query
        self.captures: tuple[tuple[str, str], ...] = ()
        self.cors: Mapping[str, str] | None = None
        self.facts: Any = None
        self.needs_credentials = True
        self.rest = ""
        fields = head.headers._fields
        size = len(target) + FIELD_BYTES * len(fields)
        for name, value in fields.values():
            size += len(name) + len(value)
        self.size_bytes = max(0, size - FREE_BYTES)
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
