"""QueryMap: the query of a URL, `key1=value1&key2&key3=value3`, as an ordered map.

bRPC: `QuerySplitter` and the queries of `URI`, src/brpc/uri.h. Nothing is percent-decoded there,
nor here: `decode_query` does that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote_plus, unquote_plus

DEFAULT_MAX_QUERIES = 1000
"""Parameters of one query; the default of C++ bRPC's `-http_max_query_count`."""


class UriError(ValueError):
    """A URL or a query that is not acceptable. `status` is the HTTP status for it."""

    status = 400


class QueryMap:
    """Keys and values in order. A key may occur several times: `get` returns its last value, as
    bRPC does, and `get_all` all of them. Keys are case-sensitive. Not thread-safe.

    Empty parts between `&`, and parts without a key, are left out.
    """

    __slots__ = ("_pairs", "is_modified")

    def __init__(self, query: str = "", max_queries: int = DEFAULT_MAX_QUERIES) -> None:
        check_query_count(query, max_queries)
        self._pairs = list(_pairs_in(query))
        self.is_modified = False

    def get(self, key: str, default: str | None = None) -> str | None:
        """The last value of a key, "" if it has none; `default` if there is no such key."""
        return next((value for name, value in reversed(self._pairs) if name == key), default)

    def get_all(self, key: str) -> list[str]:
        return [value for name, value in self._pairs if name == key]

    def set(self, key: str, value: str) -> None:
        """Give a key this one value, at the place of its first one, or at the end."""
        at = next((at for at, (name, _) in enumerate(self._pairs) if name == key), None)
        if at is None:
            self._pairs.append((key, value))
        else:
            behind = [pair for pair in self._pairs[at + 1 :] if pair[0] != key]
            self._pairs[at:] = [(key, value), *behind]
        self.is_modified = True

    def append(self, key: str, value: str) -> None:
        self._pairs.append((key, value))
        self.is_modified = True

    def remove(self, key: str) -> int:
        """Remove a key with all its values; return how many there were."""
        count = len(self._pairs)
        self._pairs = [pair for pair in self._pairs if pair[0] != key]
        count -= len(self._pairs)
        self.is_modified = self.is_modified or count > 0
        return count

    def items(self) -> list[tuple[str, str]]:
        """Keys and values in order."""
        return list(self._pairs)

    def __contains__(self, key: object) -> bool:
        return any(name == key for name, _ in self._pairs)

    def __iter__(self) -> Iterator[str]:
        """The different keys, in order."""
        return iter(dict(self._pairs))

    def __len__(self) -> int:
        """The number of different keys."""
        return len(dict(self._pairs))

    def __str__(self) -> str:
        """The query. A key with an empty value has no `=`, as in bRPC."""
        return "&".join(f"{key}={value}" if value else key for key, value in self._pairs)

    def __repr__(self) -> str:
        return f"<QueryMap of {len(self._pairs)} parameters>"


def check_query_count(query: str, max_queries: int) -> None:
    """UriError if there are more parts between `&` than `max_queries`; 0 is no limit."""
    if max_queries and query.count("&") >= max_queries:
        raise UriError(f"More than {max_queries} query parameters in url")


def decode_query(query: str, max_queries: int = DEFAULT_MAX_QUERIES) -> list[tuple[str, str]]:
    """Keys and values, percent-decoded as UTF-8, `+` as a blank. Bytes that are no UTF-8 become
    U+FFFD. UriError if there are more than `max_queries`."""
    check_query_count(query, max_queries)
    return [(unquote_plus(key), unquote_plus(value)) for key, value in _pairs_in(query)]


def encode_query(pairs: Iterable[tuple[str, str]]) -> str:
    """A query of any keys and values, percent-encoded as UTF-8."""
    return "&".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in pairs)


def append_query(text: str, key: str, value: str) -> str:
    """`text`, a query or `path?query`, with one more parameter. bRPC: append_query."""
    joint = "&" if text and not text.endswith("?") else ""
    return f"{text}{joint}{key}={value}"


def remove_queries(query: str, is_removed: Callable[[str, str], bool]) -> str:
    """A query without the parameters for which `is_removed(key, value)` is true; the others remain
    as they are. If one is removed, empty parts are too. bRPC: QueryRemover."""
    parts = [part for part in query.split("&") if part]
    kept = [part for part in parts if not is_removed(*_split(part))]
    return query if len(kept) == len(parts) else "&".join(kept)


def _pairs_in(query: str) -> Iterator[tuple[str, str]]:
    for part in query.split("&"):
        key, value = _split(part)
        if key:
            yield key, value


def _split(part: str) -> tuple[str, str]:
    key, _, value = part.partition("=")
    return key, value
