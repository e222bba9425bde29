"""ServerTlsContexts: the certificates of a running server, which can be loaded again."""

from __future__ import annotations

from pybrpc.errors import TlsConfigError
from pybrpc.transport.layer import ConnectionLayer
from pybrpc.transport.tls.plain_or_tls_layer import PlainOrTlsLayer
from pybrpc.transport.tls.server_tls import ServerTls
from pybrpc.transport.tls.tls_layer import TlsLayer


class ServerTlsContexts:
    """Makes the layers of accepted connections. Thread-safe."""

    def __init__(self, options: ServerTls) -> None:
        """Load the files; blocks for that. TlsConfigError."""
        self.options = options
        self._context = options.load()

    def reload(self) -> None:
        """Load the files again, for new connections; those that stand keep what they have.

        TlsConfigError if one can't be loaded: then all stays as it was. Blocks for reading files.
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
