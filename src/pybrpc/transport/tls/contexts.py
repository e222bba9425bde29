"""Makes `ssl.SSLContext`s from the options of clients and servers."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pybrpc.base.checked_options import checked_list
from pybrpc.base.lazy_modules import ssl
from pybrpc.errors import TlsConfigError

StrPath = str | os.PathLike[str]


def new_context(protocol: int, alpn: Sequence[str]) -> ssl.SSLContext:
    """TLS 1.2 or later, without renegotiation, which would make writing wait for reading."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def load_certificate(
    context: ssl.SSLContext, cert: str, key: str | None, password: str | None
) -> None:
    """Load the chain of PEM certificates in `cert`, and its key if that is in another file."""

    def ask() -> str:
        if password is None:
            raise TlsConfigError(f"the key of {cert} is encrypted; give key_password")
        return password

    try:
        context.load_cert_chain(cert, key, ask)
    except (OSError, ValueError) as error:
        files = cert if key is None else f"{cert} with the key {key}"
        raise _config_error("certificate", files, error) from error


def load_authorities(context: ssl.SSLContext, ca: str | None) -> None:
    """Trust the authorities in a PEM file or a directory; those of the system if `None`."""
    if ca is None:
        context.load_default_certs()
        return
    try:
        if os.path.isdir(ca):
            context.load_verify_locations(capath=ca)
        else:
            context.load_verify_locations(cafile=ca)
    except (OSError, ValueError) as error:
        raise _config_error("authorities", ca, error) from error


def checked_path(path: StrPath | None, name: str) -> str | None:
    """`path` as a string. Raises TlsConfigError if it is no path."""
    if path is None:
        return None
    try:
        return os.fspath(path)
    except TypeError:
        raise TlsConfigError(f"{name} must be the path of a PEM file, not {path!r}") from None


def checked_alpn(alpn: Sequence[str]) -> tuple[str, ...]:
    """Names of protocols, in the order of preference."""
    if isinstance(alpn, str):
        raise TlsConfigError(f'alpn is a list of names, ("{alpn}",), not a string')
    names = checked_list("alpn", alpn, str, "names")
    if not all(0 < len(name.encode()) < 256 for name in names):
        raise TlsConfigError(f"alpn: each name has 1 to 255 bytes, not {alpn!r}")
    return names


def checked_context(context: object) -> None:
    """TypeError if `context` is neither an `ssl.SSLContext` nor `None`."""
    if context is not None and not isinstance(context, ssl.SSLContext):
        raise TypeError(f"context must be an ssl.SSLContext or None, not {context!r}")


def _config_error(what: str, where: str, error: Exception) -> TlsConfigError:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    words = str(reason).replace("_", " ").lower() if isinstance(error, ssl.SSLError) else reason
    return TlsConfigError(f"Fail to load the {what} of TLS from {where}: {words}")
