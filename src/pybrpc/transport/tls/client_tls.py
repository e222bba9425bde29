"""ClientTls: the TLS options of a client."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from collections.abc import Sequence

from pybrpc.base.checked_options import checked_flag, checked_text_or_none
from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import TRANSPORT
from pybrpc.base.lazy_modules import ssl
from pybrpc.base.limited_log import LimitedLog
from pybrpc.base.public_dir import public_dir
from pybrpc.errors import TlsConfigError
from pybrpc.transport.interfaces import ConnectionLayer
from pybrpc.transport.tls.contexts import (
    StrPath,
    checked_alpn,
    checked_context,
    checked_path,
    load_authorities,
    load_certificate,
    new_context,
)
from pybrpc.transport.tls.refusing_layer import RefusingLayer
from pybrpc.transport.tls.tls_layer import TlsLayer

LOOK_PAUSE_S = 1.0
"""Seconds between two looks whether the files of the certificates have changed."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """TLS options of a channel, a value: channels with equal options share connections.

    ca            PEM file or directory of the authorities to trust; default: the system's
    cert, key     PEM files of the client's own certificate and key, for servers that ask for them;
                  without `key` the key is in the file of `cert`
    key_password  password of an encrypted key
    server_name   name that the server's certificate must have, and that the client asks for (SNI);
                  default: the host of the address
    alpn          names of protocols, the preferred one first
    verify        False accepts any certificate, so a man in the middle is not noticed: for tests
    context       an `ssl.SSLContext` of your own, instead of all the above but `server_name`

    The files are loaded once in a process for equal options, when a channel is made, and again for
    a new connection after they have changed; a renewal that can't be loaded is logged, and the old
    ones are used until it can. TLS 1.2 at least. Raises TlsConfigError if a file can't be loaded,
    or the options contradict each other.
    """

    ca: StrPath | None = None
    cert: StrPath | None = None
    key: StrPath | None = None
    key_password: str | None = dataclasses.field(default=None, repr=False)
    server_name: str | None = None
    alpn: Sequence[str] = ()
    verify: bool = True
    context: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        for name in ("ca", "cert", "key"):
            object.__setattr__(self, name, checked_path(getattr(self, name), name))
        object.__setattr__(self, "alpn", checked_alpn(self.alpn))
        checked_text_or_none("key_password", self.key_password)
        checked_text_or_none("server_name", self.server_name)
        checked_flag("verify", self.verify)
        checked_context(self.context)
        if self.key is not None and self.cert is None:
            raise TlsConfigError("a key needs its certificate: give cert too")
        if not self.verify and self.ca is not None:
            raise TlsConfigError("verify=False does not use ca: leave it out")
        others = self.ca, self.cert, self.key_password, self.alpn or None, self.verify or None
        if self.context is not None and others != (None, None, None, None, True):
            raise TlsConfigError("give either a context or files and options, not both")

    def __dir__(self) -> list[str]:
        return public_dir(self, frozenset({"check", "layer_to", "of"}))

    @classmethod
    def of(cls, tls: ClientTls | ssl.SSLContext | bool | None) -> ClientTls | None:
        """From the value of a `tls=` option; True means the default options."""
        if tls is None or tls is False:
            return None
        if isinstance(tls, ssl.SSLContext):
            return cls(context=tls)
        if tls is True:
            return cls()
        if isinstance(tls, ClientTls):
            return tls
        raise TlsConfigError(f"tls must be a ClientTls, an ssl.SSLContext or True, not {tls!r}")

    def check(self, endpoint: Endpoint | None) -> None:
        """Load the files and check that they can be used; `None` for servers that are not known
        yet. Blocks to read them the first time. TlsConfigError."""
        context = _context_of(self).get()
        if endpoint is not None or self.server_name is not None:
            self._new_layer(context, endpoint)

    def layer_to(self, endpoint: Endpoint) -> ConnectionLayer:
        """The layer of one connection to `endpoint`. Its handshake fails if `check` would."""
        try:
            return self._new_layer(_context_of(self).get(), endpoint)
        except TlsConfigError as error:
            return RefusingLayer(str(error))

    def _new_layer(self, context: ssl.SSLContext, endpoint: Endpoint | None) -> TlsLayer:
        name = self.server_name
        if name is None and endpoint is not None:
            name = _name_of(endpoint)
        if name is None and context.check_hostname:
            raise TlsConfigError(f"the server at {endpoint} has no known name: give server_name")
        try:
            return TlsLayer(context, server_name=name)
        except ValueError as error:
            raise TlsConfigError(f"{name!r} can't be the name of a server: {error}") from error


def _name_of(endpoint: Endpoint) -> str | None:
    return endpoint.host.partition("%")[0] if endpoint.has_port else None


class ClientContext:
    """The `ssl.SSLContext` of some ClientTls. Loads its files again when they have changed.

    Any thread; a race loads them twice.
    """

    def __init__(self, options: ClientTls) -> None:
        """Load the files, which blocks. Raises TlsConfigError."""
        self._options = options
        self._stamps = self._stamps_now()
        self._looked_at = time.monotonic()
        self._context = _load(options)
        self._log = LimitedLog(TRANSPORT)

    def get(self) -> ssl.SSLContext:
        """The context for a new connection. Looks at the files once a second at most."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_PAUSE_S:
            self._looked_at = now
            stamps = self._stamps_now()
            if stamps != self._stamps:
                self._reload(stamps)
        return self._context

    def _reload(self, stamps: list[object]) -> None:
        """Load the files, which have changed. If that fails, the next look tries it again: their
        owner may just be writing them."""
        try:
            self._context = _load(self._options)
        except TlsConfigError as error:
            self._log.warn("the certificates of a client can't be renewed yet: %s", error)
        else:
            self._stamps = stamps
            TRANSPORT.info("the certificates of a client were renewed from %s", self._options.cert)

    def _stamps_now(self) -> list[object]:
        options = self._options
        return [_stamp_of(path) for path in (options.ca, options.cert, options.key)]


def _stamp_of(path: StrPath | None) -> object:
    """A value that changes when the file is written, or is replaced by another one."""
    if path is None:
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


_context_of = functools.lru_cache(maxsize=64)(ClientContext)


def _load(options: ClientTls) -> ssl.SSLContext:
    if options.context is not None:
        # Otherwise writing could have to wait for reading.
        options.context.options |= ssl.OP_NO_RENEGOTIATION
        return options.context
    context = new_context(ssl.PROTOCOL_TLS_CLIENT, options.alpn)
    if options.verify:
        load_authorities(context, checked_path(options.ca, "ca"))
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    cert = checked_path(options.cert, "cert")
    if cert is not None:
        key = checked_path(options.key, "key")
        load_certificate(context, cert, key, options.key_password)
    return context
