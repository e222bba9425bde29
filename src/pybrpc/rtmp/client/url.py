"""RtmpUrl: "rtmp://HOST[:PORT]/APP[?vhost=VHOST]/STREAM", in the forms that C++ bRPC takes."""

from __future__ import annotations

import dataclasses
from urllib.parse import parse_qsl

from pybrpc.base.checked_options import checked_flag, checked_instance, checked_text
from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AddressError

DEFAULT_PORT = 1935
DEFAULT_TLS_PORT = 443


@dataclasses.dataclass(frozen=True, slots=True)
class RtmpUrl:
    """The parts of a URL; TypeError for one of a wrong type.

    endpoint      the address to connect to
    is_tls        whether it begins with "rtmps"
    app           the first part of the path, without its query; "" if there is none
    app_query     the query of the app, such as "vhost=example.org"; "" if there is none
    stream_name   all behind the app, with its own query; "" if there is none

    The last two are often secret: its repr does not show them.
    """

    endpoint: Endpoint
    is_tls: bool
    app: str
    app_query: str = dataclasses.field(default="", repr=False)
    stream_name: str = dataclasses.field(default="", repr=False)

    def __post_init__(self) -> None:
        checked_instance("endpoint", self.endpoint, Endpoint)
        checked_flag("is_tls", self.is_tls)
        for name in ("app", "app_query", "stream_name"):
            checked_text(name, getattr(self, name))

    @property
    def vhost(self) -> str:
        """The virtual host that the query of the app names, without a port; "" if there is none."""
        named = [value for key, value in parse_qsl(self.app_query) if key == "vhost"]
        return named[0].partition(":")[0] if named else ""

    @property
    def app_and_query(self) -> str:
        """The app as `connect` names it."""
        return f"{self.app}?{self.app_query}" if self.app_query else self.app

    @property
    def tc_url(self) -> str:
        """The URL as `connect` names it: without the stream, and without the usual port."""
        scheme, usual = ("rtmps", DEFAULT_TLS_PORT) if self.is_tls else ("rtmp", DEFAULT_PORT)
        address = str(self.endpoint)
        if self.endpoint.is_unix:
            address = "localhost"
        elif self.endpoint.port == usual:
            address = address.rpartition(":")[0]
        return f"{scheme}://{address}/{self.app_and_query}"


def parse_rtmp_url(url: str) -> RtmpUrl:
    """Parse a URL; "rtmp://" may be left out, and several slashes count as one.

    The port is 1935, or 443 behind "rtmps://", unless it is given. AddressError for a host or a
    port that can't be, or another scheme. Its text does not show the path, which may be secret.
    """
    if not isinstance(url, str):
        raise AddressError(f'a URL is a string like "rtmp://host/app", not {type(url).__name__}')
    scheme, separator, rest = url.strip().partition("://")
    if not separator:
        scheme, rest = "rtmp", scheme
    if scheme.lower() not in ("rtmp", "rtmps"):
        raise AddressError(f'a URL begins with "rtmp://" or "rtmps://", not {scheme[:20]!r}')
    if not rest or rest[0] in "/:":
        raise AddressError('a URL has a host, as "rtmp://host/app" has')
    is_tls = scheme.lower() == "rtmps"
    address, _, path = rest.partition("/")
    app, _, stream_name = path.lstrip("/").partition("/")
    app, _, query = app.partition("?")
    return RtmpUrl(_endpoint(address, is_tls), is_tls, app, query, stream_name.lstrip("/"))


def _endpoint(address: str, is_tls: bool) -> Endpoint:
    host, query, _ = address.partition("?")
    if query:
        raise AddressError(f"a URL has parameters only behind the app or the stream, not {host!r}")
    has_port = ":" in address.rpartition("]")[2]
    if not has_port and "@" not in address:
        address = f"{address}:{DEFAULT_TLS_PORT if is_tls else DEFAULT_PORT}"
    return Endpoint.parse(address)
