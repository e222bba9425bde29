"""TlsInfo: what the two sides of a TLS connection have agreed on."""

from __future__ import annotations

import dataclasses
import ssl
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class TlsInfo:
    """As it was when the handshake was over; readable by any thread."""

    version: str
    """ "TLSv1.3" or "TLSv1.2"."""
    cipher: str
    alpn: str | None
    """The protocol that both named, or `None`."""
    peer_certificate: dict[str, Any] | None
    """The peer's, decoded as by `ssl.SSLSocket.getpeercert()`; `None` if it showed none, or if it
    was not verified."""
    peer_certificate_der: bytes | None = dataclasses.field(repr=False)
    """The same as it came, verified or not."""

    @classmethod
    def of(cls, tls: ssl.SSLObject) -> TlsInfo:
        """Of a connection whose handshake is over."""
        cipher = tls.cipher()
        return cls(
            version=tls.version() or "",
            cipher=cipher[0] if cipher else "",
            alpn=tls.selected_alpn_protocol(),
            peer_certificate=tls.getpeercert() or None,
            peer_certificate_der=tls.getpeercert(binary_form=True),
        )
