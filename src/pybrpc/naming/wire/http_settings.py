"""HttpSettings: the hosts of a naming service and how requests are sent to them."""

from __future__ import annotations

import dataclasses
import ssl

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import TlsConfigError
from pybrpc.naming.naming_url import NamingUrl, UrlOptions, parse_hosts, split_user

TIMEOUT_S = 3.0


@dataclasses.dataclass(frozen=True, slots=True)
class HttpSettings:
    """hosts      where the service is; a request is sent to one of them
    timeout_s  for one request, from connecting to the end of its answer
    tls        whether it is HTTPS
    ca_file    a file with the certificates of the authorities that are trusted; "": the system's
    user, password  "": none
    """

    hosts: tuple[Endpoint, ...]
    timeout_s: float = TIMEOUT_S
    tls: bool = False
    ca_file: str = ""
    user: str = ""
    password: str = ""

    @classmethod
    def of(
        cls, url: NamingUrl, authority: str, options: UrlOptions, default_port: int
    ) -> HttpSettings:
        """Those of a URL: "user:password@host:port,host:port", and the options `timeout`, `tls` and
        `ca_file`. AddressError, TlsConfigError."""
        user, password, hosts = split_user(url, authority)
        settings = cls(
            parse_hosts(url, hosts, default_port),
            options.seconds("timeout", TIMEOUT_S, 0.001, 60.0),
            options.flag("tls"),
            options.text("ca_file"),
            user,
            password,
        )
        settings.tls_context()
        return settings

    def tls_context(self) -> ssl.SSLContext | None:
        """The context of TLS; `None` without TLS. TlsConfigError if `ca_file` can't be loaded."""
        if not self.tls:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file or None)
        except OSError as error:
            raise TlsConfigError(f"ca_file {self.ca_file!r} can't be loaded: {error}") from None
