"""NamingUrl: "scheme://rest", which names a list of servers; and its options."""

from __future__ import annotations

import dataclasses
import re
from urllib.parse import parse_qsl, unquote, urlencode

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AddressError
from pybrpc.naming.url_scheme import SCHEME

_SECRET = re.compile(r"((?:password|token|secret)[^=&?]*=)[^&]*", re.IGNORECASE)
MAX_SHOWN = 500
_SHORT = {"zk": "zookeeper"}


@dataclasses.dataclass(frozen=True, slots=True)
class NamingUrl:
    """`scheme` is in small letters; `rest` is all behind "://", as it was written.

    `str()` shows it without passwords and tokens, and not more than its first 500 characters.
    """

    scheme: str
    rest: str

    @classmethod
    def parse(cls, text: str | NamingUrl) -> NamingUrl:
        """AddressError if `text` has no scheme, or one that no scheme can be called."""
        if isinstance(text, NamingUrl):
            return text
        if not isinstance(text, str):
            raise AddressError(f'a naming service is a string like "list://...", not {text!r}')
        scheme, separator, rest = text.strip().partition("://")
        if not separator or not SCHEME.fullmatch(scheme):
            raise AddressError(
                f"{_shown(text)!r} is no URL of a naming service: "
                'write one like "list://10.0.0.1:8000,10.0.0.2:8000"'
            )
        scheme = scheme.lower()
        return cls(_SHORT.get(scheme, scheme), rest)

    def split(self) -> tuple[str, UrlOptions]:
        """What is before the "?" of `rest`, and the options behind it."""
        before, _, query = self.rest.partition("?")
        return before, UrlOptions(self, query)

    def error(self, reason: str) -> AddressError:
        """An AddressError that shows this URL."""
        return AddressError(f"{self}: {reason}")

    def __str__(self) -> str:
        return _shown(f"{self.scheme}://{self.rest}")


def _shown(text: str) -> str:
    """The beginning of `text`, without passwords and tokens."""
    before, at, rest = text.rpartition("@")
    if at:
        scheme, separator, _ = before.partition("://")
        text = f"{scheme}{separator}...@{rest}" if separator else f"...@{rest}"
    shown = _SECRET.sub(r"\1...", text[:MAX_SHOWN])
    return shown if len(text) <= MAX_SHOWN else f"{shown}..."


class UrlOptions:
    """The options of a NamingUrl: "?interval=2&allow_empty=true". Each is taken by one method, and
    `check_all_known` then refuses those that are left. All methods raise AddressError."""

    def __init__(self, url: NamingUrl, query: str) -> None:
        self._url = url
        self._values: dict[str, str] = {}
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=100)
        except ValueError as error:
            raise url.error(f"bad options: {error}") from None
        for name, value in pairs:
            if name in self._values:
                raise url.error(f"the option {name!r} is given twice")
            self._values[name] = value

    def text(self, name: str, default: str = "") -> str:
        """The value of an option, `default` if it is not given."""
        return self._values.pop(name, default)

    def required_text(self, name: str) -> str:
        """The value of an option that must be given."""
        value = self.text(name)
        if not value:
            raise self._url.error(f"the option {name!r} is missing")
        return value

    def seconds(self, name: str, default: float, least: float = 0.0, most: float = 3600.0) -> float:
        """A number of seconds from `least` to `most`."""
        text = self._values.pop(name, None)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not least <= value <= most:
            raise self._url.error(f"{name} must be {least:g} to {most:g} seconds, not {text!r}")
        return value

    def seconds_or_none(self, name: str, least: float = 0.0) -> float | None:
        """`seconds`, or `None` if it is not given."""
        return self.seconds(name, 0.0, least) if name in self._values else None

    def count(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        text = self._values.pop(name, None)
        if text is None:
            return default
        if text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most:
            return int(text)
        raise self._url.error(f"{name} must be a whole number from {least} to {most}, not {text!r}")

    def flag(self, name: str, default: bool = False) -> bool:
        """ "true" or "false"; also "1" or "0"."""
        text = self._values.pop(name, None)
        if text is None:
            return default
        value = {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
        if value is None:
            raise self._url.error(f"{name} must be true or false, not {text!r}")
        return value

    def take_query(self) -> str:
        """The options that no method has taken, as they are written in a URL."""
        values, self._values = self._values, {}
        return urlencode(values)

    def check_all_known(self) -> None:
        """Refuse the options that no method has taken."""
        if self._values:
            names = ", ".join(map(repr, self._values))
            raise self._url.error(f"{self._url.scheme}:// has no option {names}")


def parse_hosts(url: NamingUrl, text: str, default_port: int) -> tuple[Endpoint, ...]:
    """The hosts of a service itself: "a:1,,b" are two; AddressError if there is none."""
    found = []
    for host in filter(None, map(str.strip, text.split(","))):
        has_port = re.search(r":[^:\]]*\Z", host) is not None and not host.endswith("]")
        try:
            found.append(Endpoint.parse(host if has_port else f"{host}:{default_port}"))
        except AddressError as error:
            raise url.error(str(error)) from None
    if not found or any(endpoint.is_unix for endpoint in found):
        raise url.error(f'a host is missing: write "{url.scheme}://host:{default_port}/..."')
    return tuple(dict.fromkeys(found))


def split_user(url: NamingUrl, authority: str) -> tuple[str, str, str]:
    """User, password and the rest of "user:password@host"; "" for those that are not there."""
    user, separator, host = authority.rpartition("@")
    if not separator:
        return "", "", authority
    name, colon, password = user.partition(":")
    if not name or not colon:
        raise url.error('write a user as "user:password@host"')
    return unquote(name), unquote(password), host
