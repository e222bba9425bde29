"""ServerTls: the TLS options of a server, and ServerTlsContexts, which loads and uses them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from pybrpc.base.checked_options import (
    checked_flag,
    checked_flag_or_none,
    checked_text_or_none,
)
from pybrpc.base.lazy_modules import ssl
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
from pybrpc.transport.tls.plain_or_tls_layer import PlainOrTlsLayer
from pybrpc.transport.tls.tls_layer import TlsLayer

SniFiles = Mapping[str, tuple[StrPath, StrPath | None]]


@dataclasses.dataclass(frozen=True, slots=True)
class ServerTls:
    """TLS options of a server, a value. `ServerTlsContexts` loads the files, and can reload them.

    cert, key            PEM files of the server's certificate (with its chain) and key; without
                         `key` the key is in the file of `cert`
    key_password         password of encrypted keys
    client_ca            PEM file or directory of the authorities whose certificates clients may
                         present (mutual TLS)
    require_client_cert  whether a client must present one; default: yes, if `client_ca` is given
    alpn                 names of protocols, the preferred one first
    sni                  {name: (cert, key)} for clients that ask for that name; "*.example.com" is
                         for all names of one label more. Other clients get `cert`.
    allow_plaintext      whether clients may also speak plaintext on the same port
    context              an `ssl.SSLContext` of your own, instead of all but `allow_plaintext`

    TLS 1.2 at least, no renegotiation. Raises TlsConfigError if the options contradict each other.
    """

    cert: StrPath | None = None
    key: StrPath | None = None
    key_password: str | None = dataclasses.field(default=None, repr=False)
    client_ca: StrPath | None = None
    require_client_cert: bool | None = None
    alpn: Sequence[str] = ()
    sni: SniFiles | tuple[tuple[str, tuple[str, str | None]], ...] = ()
    allow_plaintext: bool = False
    context: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        for name in ("cert", "key", "client_ca"):
            object.__setattr__(self, name, checked_path(getattr(self, name), name))
        object.__setattr__(self, "alpn", checked_alpn(self.alpn))
        object.__setattr__(self, "sni", _checked_sni(self.sni))
        checked_text_or_none("key_password", self.key_password)
        checked_flag_or_none("require_client_cert", self.require_client_cert)
        checked_flag("allow_plaintext", self.allow_plaintext)
        checked_context(self.context)
        if (self.cert is None) == (self.context is None):
            raise TlsConfigError("a server needs either a certificate (cert, key) or a context")
        if self.require_client_cert and self.client_ca is None and self.context is None:
            raise TlsConfigError("require_client_cert needs client_ca, to check certificates")
        others = (self.key, self.client_ca, self.require_client_cert, self.alpn, self.sni)
        if self.context is not None and others != (None, None, None, (), ()):
            raise TlsConfigError("give either a context or files and options, not both")

    def __dir__(self) -> list[str]:
        return public_dir(self, frozenset({"load", "of"}))

    @classmethod
    def of(cls, tls: ServerTls | ssl.SSLContext) -> ServerTls:
        """From the value of a `tls=` option."""
        if isinstance(tls, ssl.SSLContext):
            return cls(context=tls)
        if isinstance(tls, ServerTls):
            return tls
        raise TlsConfigError(f"tls must be a ServerTls or an ssl.SSLContext, not {tls!r}")

    def load(self) -> ssl.SSLContext:
        """Load the files. Raises TlsConfigError if one of them can't be loaded."""
        if self.context is not None:
            self.context.options |= ssl.OP_NO_RENEGOTIATION
            return self.context
        context = self._load(self.cert, self.key)
        by_name = {name: self._load(*files) for name, files in dict(self.sni).items()}
        if by_name:
            _choose_by_name(context, by_name)
        return context

    def _load(self, cert: StrPath | None, key: StrPath | None) -> ssl.SSLContext:
        context = new_context(ssl.PROTOCOL_TLS_SERVER, self.alpn)
        load_certificate(context, str(cert), checked_path(key, "key"), self.key_password)
        if self.client_ca is not None:
            load_authorities(context, checked_path(self.client_ca, "client_ca"))
            is_optional = self.require_client_cert is False
            context.verify_mode = ssl.CERT_OPTIONAL if is_optional else ssl.CERT_REQUIRED
        return context


def _checked_sni(
    sni: SniFiles | tuple[tuple[str, tuple[str, str | None]], ...],
) -> tuple[tuple[str, tuple[str | None, str | None]], ...]:
    try:
        return tuple(
            (name.lower(), (checked_path(cert, "sni"), checked_path(key, "sni")))
            for name, (cert, key) in dict(sni).items()
        )
    except (TypeError, ValueError, AttributeError):
        raise TlsConfigError(f"sni is {{name: (cert, key)}}, not {sni!r}") from None


def _choose_by_name(context: ssl.SSLContext, by_name: Mapping[str, ssl.SSLContext]) -> None:
    def choose(tls: ssl.SSLObject, name: str | None, initial: ssl.SSLContext) -> None:
        found = name and context_for(name, by_name)
        if found:
            tls.context = found

    context.sni_callback = choose


def context_for(name: str, by_name: Mapping[str, ssl.SSLContext]) -> ssl.SSLContext | None:
    """The context of the name itself, else that of its wildcard, which stands for one label."""
    lower = name.lower()
    return by_name.get(lower) or by_name.get("*." + lower.partition(".")[2])


class ServerTlsContexts:
    """Makes the layers of accepted connections. Thread-safe."""

    def __init__(self, options: ServerTls) -> None:
        """Load the files, which blocks. Raises TlsConfigError."""
        self.options = options
        self._context = options.load()

    def reload(self) -> None:
        """Load the files again, for new connections; established ones keep their certificates.

        Blocks to read files. Raises TlsConfigError if one can't be loaded: nothing changes then.
        """
        if self.options.context is not None:
            raise TlsConfigError("load new certificates into your own SSLContext yourself")
        self._context = self.options.load()

    def new_layer(self) -> ConnectionLayer:
        """The layer of one accepted connection."""
        if self.options.allow_plaintext:
            return PlainOrTlsLayer(self._new_tls_layer)
        return self._new_tls_layer()

    def _new_tls_layer(self) -> TlsLayer:
        return TlsLayer(self._context, is_server=True)

    def __repr__(self) -> str:
        return f"<ServerTlsContexts of {self.options!r}>"
