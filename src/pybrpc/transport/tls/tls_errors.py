"""The errors of TLS: OpenSSL's reason, with advice."""

from __future__ import annotations

from pybrpc.base.lazy_modules import ssl
from pybrpc.errors import ConnectionFailedError, ErrorCode, RpcError, TlsError

_ADVICE = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server asks for a certificate of the client: "
    "ClientTls(cert=..., key=...)",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client sent no certificate, which is required here",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer does not know the authority that signed our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer refuses our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the peer reports that our certificate has expired",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the peer requires another version of TLS",
}
_BYTES_SHOWN = 8


def tls_error(error: ssl.SSLError) -> RpcError:
    """The RpcError for an error of OpenSSL, without the name of the connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"certificate verify failed: {error.verify_message.rstrip('.')}"
        return _caused(TlsError(text), error)
    reason = getattr(error, "reason", None) or str(error)
    text = reason.replace("_", " ").lower()
    if reason in _ADVICE:
        text = f"{text} ({_ADVICE[reason]})"
    return _caused(TlsError(text, is_remote="ALERT" in reason), error)


def not_tls_error(data: bytes, is_server: bool) -> RpcError:
    """The error for a peer whose first bytes are not TLS."""
    begun = f"it began with {data[:_BYTES_SHOWN]!r}"
    if is_server:
        text = f"the peer does not speak TLS, {begun}; ServerTls(allow_plaintext=True) accepts it"
    else:
        text = f"the peer does not seem to speak TLS, {begun}"
    return TlsError(text, is_remote=True)


def gone_error(code: int, has_spoken: bool) -> RpcError:
    """The error for a peer that closed or reset the connection inside the handshake."""
    text = "the peer closed the connection inside the handshake of TLS"
    if not has_spoken:
        text += ", before it sent anything: does it speak TLS?"
    return ConnectionFailedError(text, code=code, is_remote=True)


def cut_off_error() -> RpcError:
    """The error for the end of TCP without the end of TLS: the last bytes may be missing."""
    text = "the connection ended without close_notify: the last bytes of the peer may be missing"
    return ConnectionFailedError(text, code=ErrorCode.EEOF, is_remote=True)


def flooded_error(limit_bytes: int) -> RpcError:
    text = f"the peer asks for more than {limit_bytes} bytes of TLS control messages and reads none"
    return TlsError(text, is_remote=True)


def control_flood_error(limit: int) -> RpcError:
    text = f"the peer has sent more than {limit} TLS records in a row that carry no data"
    return TlsError(text, is_remote=True)


def _caused(made: RpcError, cause: Exception) -> RpcError:
    made.__cause__ = cause
    return made
