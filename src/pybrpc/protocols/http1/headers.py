"""HttpHeaders: the headers of a message, by names without regard to case.

bRPC: src/brpc/http_header.h. Unlike there, content-type is in the map too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, TypeAlias, TypeVar, overload

from pybrpc.protocols.http1.grammar import TOKEN, VALUE

T = TypeVar("T")

HeadersLike: TypeAlias = "Mapping[str, str] | Iterable[tuple[str, str]]"

_SET_COOKIE = "set-cookie"
_SECRET = frozenset(
    ("authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token")
)
"""Headers whose values no repr shows."""


class HttpHeaders(MutableMapping[str, str]):
    """A map from names to values. Not thread-safe: one thread at a time may use it.

    Names keep the case in which they came first. Values of equal names are joined with `,`, those
    of Cookie with `; `; each Set-Cookie is kept apart. Values are text of latin-1.

    A name that is no token of RFC 9110, or a value with a line break or another control character,
    is a ValueError: so nothing that is put into headers can add a header or end the head.
    """

    __slots__ = ("_cookies", "_fields")

    def __init__(self, headers: HeadersLike = ()) -> None:
        self._fields: dict[str, tuple[str, str]] = {}
        self._cookies: list[tuple[str, str]] = []
        """Set-Cookies beside the one in `_fields`."""
        if not headers:
            return
        if isinstance(headers, HttpHeaders):
            self._fields.update(headers._fields)
            self._cookies += headers._cookies
            return
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        for name, value in pairs:
            self.append(name, value)

    def append(self, name: str, value: str) -> None:
        """Add a value to those that the name has."""
        _check(name, value)
        self._append(name, value)

    def set_default(self, name: str, value: str) -> None:
        """Set a value unless the name has one."""
        if name not in self:
            self[name] = value

    def get_all(self, name: str) -> list[str]:
        """The values of a name: several only of Set-Cookie, whose order is kept."""
        key = name.lower()
        found = self._fields.get(key)
        if found is None:
            return []
        if key != _SET_COOKIE:
            return [found[1]]
        return [found[1], *(value for _, value in self._cookies)]

    def fields(self) -> Iterator[tuple[str, str]]:
        """The lines to send: names and values, each Set-Cookie by itself."""
        yield from self._fields.values()
        yield from self._cookies

    def lower_fields(self) -> Iterator[tuple[str, str]]:
        """`fields` with names in lower case, as ASGI and HTTP/2 have them."""
        for key, (_, value) in self._fields.items():
            yield key, value
        for _, value in self._cookies:
            yield _SET_COOKIE, value

    def copy(self) -> HttpHeaders:
        """Headers with the same fields; a change of one does not change the other."""
        return HttpHeaders(self)

    __copy__ = copy

    @property
    def content_type(self) -> str:
        """Content-Type with its parameters; "" if there is none."""
        found = self._fields.get("content-type")
        return "" if found is None else found[1]

    def only_content_type(self) -> str | None:
        """Content-Type, if there is no other header; "" if there is none at all, else `None`. Also
        `None` if its name is written in another way, or its value is empty."""
        fields = self._fields
        if not fields:
            return ""
        name, value = fields.get("content-type", ("", ""))
        return value if value and len(fields) == 1 and name == "Content-Type" else None

    @overload
    def get(self, name: str, /) -> str | None: ...

    @overload
    def get(self, name: str, /, default: str | T) -> str | T: ...

    def get(self, name: str, /, default: Any = None) -> Any:
        """`self[name]`, or `default` if there is no such name."""
        found = self._fields.get(name.lower())
        return default if found is None else found[1]

    def __getitem__(self, name: str) -> str:
        """The value of a name. Of several Set-Cookies, the first one."""
        return self._fields[name.lower()][1]

    def __setitem__(self, name: str, value: str) -> None:
        """Replace the value of a name. Of several Set-Cookies, the first one, as in bRPC."""
        _check(name, value)
        key = name.lower()
        found = self._fields.get(key)
        self._fields[key] = (name if found is None else found[0], value)

    def __delitem__(self, name: str) -> None:
        """Remove a name with all its values."""
        key = name.lower()
        del self._fields[key]
        if key == _SET_COOKIE:
            self._cookies.clear()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self._fields.values()])

    def __len__(self) -> int:
        """The number of names."""
        return len(self._fields)

    def __eq__(self, other: object) -> bool:
        """Whether names, without regard to case, have equal values. The order has no meaning."""
        if not isinstance(other, HttpHeaders):
            return NotImplemented
        return sorted(self.lower_fields()) == sorted(other.lower_fields())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = [
            f"{name}: ..." if name.lower() in _SECRET else f"{name}: {value}"
            for name, value in self.fields()
        ]
        return f"<HttpHeaders {'; '.join(shown)}>"

    def _append(self, name: str, value: str) -> None:
        key = name.lower()
        found = self._fields.get(key)
        if found is None:
            self._fields[key] = (name, value)
        elif key == _SET_COOKIE:
            self._cookies.append((name, value))
        else:
            joint = "; " if key == "cookie" else ","
            self._fields[key] = (found[0], f"{found[1]}{joint}{value}" if found[1] else value)


def new_headers(pairs: list[tuple[str, str]]) -> HttpHeaders:
    """HttpHeaders of names and values that were parsed; they are not checked again."""
    headers = HttpHeaders.__new__(HttpHeaders)
    headers._cookies = []
    headers._fields = fields = {pair[0].lower(): pair for pair in pairs}
    if len(fields) < len(pairs):
        fields.clear()
        for name, value in pairs:
            headers._append(name, value)
    return headers


def repeated_names(pairs: list[tuple[str, str]]) -> set[str]:
    """The names, in lower case, that occur more than once."""
    seen: set[str] = set()
    repeated: set[str] = set()
    for name, _ in pairs:
        key = name.lower()
        (repeated if key in seen else seen).add(key)
    return repeated


def tokens_in(value: str) -> list[str]:
    """The elements of a list such as that of Connection, in lower case."""
    return [token for part in value.lower().split(",") if (token := part.strip(" \t"))]


def _check(name: str, value: str) -> None:
    if not isinstance(name, str) or not isinstance(value, str):
        wrong = value if isinstance(name, str) else name
        raise TypeError(f"names and values of headers are str, not {type(wrong).__name__}")
    if not TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} can't be the name of a header")
    if not VALUE.fullmatch(value):
        raise ValueError(f"the value of the header {name} has a control character")
    if not value.isascii():
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(
                f"the value of the header {name} has a character beyond latin-1; encode it first,"
                " for example with urllib.parse.quote"
            ) from None
