"""Certificates for the TLS part, if trustme is installed."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pybrpc


@dataclasses.dataclass(frozen=True, slots=True)
class TlsPair:
    """`tls=` of servers and of channels; `None` for plain connections."""

    server: pybrpc.ServerTls | None = None
    client: pybrpc.ClientTls | None = None


PLAIN = TlsPair()


def has_tls() -> bool:
    return importlib.util.find_spec("trustme") is not None


@contextlib.contextmanager
def tls_pair(ip: str = "127.0.0.1") -> Iterator[TlsPair]:
    """A certificate authority, a server at `ip` certified by it, and clients that trust it."""
    import trustme

    authority = trustme.CA()
    certificate = authority.issue_cert(ip)
    with tempfile.TemporaryDirectory(prefix="pybrpc-soak-") as folder:
        ca, cert, key = (str(Path(folder, name)) for name in ("ca.pem", "cert.pem", "key.pem"))
        authority.cert_pem.write_to_path(ca)
        certificate.private_key_pem.write_to_path(key)
        Path(cert).write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        yield TlsPair(pybrpc.ServerTls(cert=cert, key=key), pybrpc.ClientTls(ca=ca))
