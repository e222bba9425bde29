"""All errors that pybrpc raises, and the error codes of bRPC.

    PyBrpcError
    +-- AddressError (ValueError)         an invalid address string
    +-- ServerStateError                  start() twice, add_service() while running, ...
    +-- ChannelClosedError                a call on a channel that was closed
    +-- TlsConfigError (ValueError)       certificates that can't be loaded, options that clash
    +-- WouldDeadlockError                a blocking call on the thread that receives its answer
    +-- MissingExtraError (ImportError)   a required optional package is not installed
    +-- RedisError                        an error reply of a Redis server (in pybrpc.redis)
    +-- RpcError                          a call or a write failed; carries a bRPC code
        +-- ProtocolError                    the peer sent invalid bytes
        +-- RpcTimeoutError (TimeoutError)   ERPCTIMEDOUT: the deadline of the call passed
        +-- RpcCanceledError                 ECANCELED: the caller gave up
        +-- OvercrowdedError                 EOVERCROWDED: too many unwritten bytes
        +-- ConnectionFailedError (ConnectionError)  EFAILEDSOCKET, EEOF, ECONNRESET, EPIPE, ...
        |   +-- ConnectError                 ... while resolving or connecting
        |   +-- HandshakeError               ... during a handshake: ESSL, ETIMEDOUT, EEOF, ...
        |   +-- TlsError                     ESSL: TLS failed after the handshake
        |   +-- WriteShutdownError           ESHUTDOWNWRITE: this side has shut down writing
        +-- NoServiceError, NoMethodError    ENOSERVICE, ENOMETHOD
        +-- BadRequestError                  EREQUEST
        +-- BadResponseError                 ERESPONSE
        +-- AuthenticationError              ERPCAUTH
        +-- InternalServerError              EINTERNAL: the handler raised
        +-- ServerStoppingError              ELOGOFF
        +-- LimitReachedError                ELIMIT

An RpcError has a code, the phase in which it arose, the peer, and the side that found it.
Codes: apache/brpc src/brpc/errno.proto; codes below 1000 are errnos of the operating system.
"""

from __future__ import annotations

import enum
import errno
import os
from typing import Self


class ErrorCode(enum.IntEnum):
    """bRPC's error codes. Any other errno of the operating system may appear as a plain int."""

    ENOSERVICE = 1001
    ENOMETHOD = 1002
    EREQUEST = 1003
    ERPCAUTH = 1004
    ETOOMANYFAILS = 1005
    EPCHANFINISH = 1006
    EBACKUPREQUEST = 1007
    ERPCTIMEDOUT = 1008
    EFAILEDSOCKET = 1009
    EHTTP = 1010
    EOVERCROWDED = 1011
    ERTMPPUBLISHABLE = 1012
    ERTMPCREATESTREAM = 1013
    EEOF = 1014
    EUNUSED = 1015
    ESSL = 1016
    EH2RUNOUTSTREAMS = 1017
    EREJECT = 1018
    EPROGREADTIMEOUT = 1019

    EINTERNAL = 2001
    ERESPONSE = 2002
    ELOGOFF = 2003
    ELIMIT = 2004
    ECLOSE = 2005
    EITP = 2006
    ESHUTDOWNWRITE = 2007

    ERDMA = 3001
    ERDMAMEM = 3002

    ECANCELED = errno.ECANCELED
    ECONNREFUSED = errno.ECONNREFUSED
    ECONNRESET = errno.ECONNRESET
    ECONNABORTED = errno.ECONNABORTED
    EPIPE = errno.EPIPE
    ETIMEDOUT = errno.ETIMEDOUT
    EHOSTUNREACH = errno.EHOSTUNREACH
    ENETUNREACH = errno.ENETUNREACH
    EHOSTDOWN = errno.EHOSTDOWN
    EINVAL = errno.EINVAL


class Phase(enum.StrEnum):
    """The phase of a call or a write in which it failed."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    HANDSHAKE = "handshake"
    QUEUED = "queued"
    """None of its bytes had left this process."""
    SENT = "sent"
    """Some of its bytes had been handed to the kernel."""
    WAITING = "waiting"
    """It had been written completely, and the response was awaited."""
    SERVER = "server"
    """The response arrived, and it is an error."""


class PyBrpcError(Exception):
    """Base of all errors of this package."""


class AddressError(PyBrpcError, ValueError):
    """An invalid address string. The text says what is expected."""


class ServerStateError(PyBrpcError, RuntimeError):
    """An operation that the state of the server does not allow."""


class ChannelClosedError(PyBrpcError, RuntimeError):
    """A call on a channel that was closed."""


class TlsConfigError(PyBrpcError, ValueError):
    """TLS options that contradict each other, or a file that can't be loaded."""


class WouldDeadlockError(PyBrpcError, RuntimeError):
    """A blocking call on the dispatcher thread, which would wait for itself forever."""


class MissingExtraError(PyBrpcError, ImportError):
    """A required optional package is not installed. The text says what to install."""


class RpcError(PyBrpcError):
    """A call or a write failed.

    `code` is bRPC's number (or an errno), `name` its name, and `text` the text that C++ bRPC's
    `Controller::ErrorText()` would give. `phase` is the phase in which it failed, `peer` the
    address that it was sent to ("" if there is none yet). `is_remote` is True if the peer sent the
    error, False if this side found it.
    """

    default_code: int = ErrorCode.EINTERNAL

    def __init__(
        self,
        text: str,
        *,
        code: int | None = None,
        phase: Phase | None = None,
        peer: str = "",
        is_remote: bool = False,
    ) -> None:
        super().__init__(text)
        self.code = int(self.default_code if code is None else code)
        self.text = text
        self.phase = phase
        self.peer = peer
        self.is_remote = is_remote

    @property
    def name(self) -> str:
        return error_name(self.code)

    def copy(self, came_to: Phase | None = None, peer: str = "") -> Self:
        """A copy of the error for one of several callers, whose call was in phase `came_to`.

        If no connection was established, all calls failed in the phase of this error. Each caller
        raises a copy, because an exception collects the stack of the thread that raises it.
        """
        never_connected = self.phase in (Phase.RESOLVE, Phase.CONNECT, Phase.HANDSHAKE)
        copy = type(self)(
            self.text,
            code=self.code,
            phase=self.phase if never_connected or came_to is None else came_to,
            peer=self.peer or peer,
            is_remote=self.is_remote,
        )
        copy.__cause__ = self.__cause__
        return copy

    def __str__(self) -> str:
        where = [f"phase={self.phase}"] if self.phase else []
        if self.peer:
            where.append(f"peer={self.peer}")
        tail = f" ({', '.join(where)})" if where else ""
        return f"{self.name}: {self.text}{tail}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.text, self.code, self.phase, self.peer, self.is_remote)


class ProtocolError(RpcError):
    """The peer sent invalid bytes; the connection is closed."""

    default_code = ErrorCode.EINVAL


class RpcTimeoutError(RpcError, TimeoutError):
    default_code = ErrorCode.ERPCTIMEDOUT


class RpcCanceledError(RpcError):
    default_code = ErrorCode.ECANCELED


class OvercrowdedError(RpcError):
    default_code = ErrorCode.EOVERCROWDED


class ConnectionFailedError(RpcError, ConnectionError):
    default_code = ErrorCode.EFAILEDSOCKET


class ConnectError(ConnectionFailedError):
    default_code = ErrorCode.ECONNREFUSED


class HandshakeError(ConnectionFailedError):
    """TCP was connected, but the handshake of TLS or of the protocol failed."""

    default_code = ErrorCode.ESSL


class TlsError(ConnectionFailedError):
    """TLS failed after its handshake: an invalid record, or an alert of the peer."""

    default_code = ErrorCode.ESSL


class WriteShutdownError(ConnectionFailedError):
    default_code = ErrorCode.ESHUTDOWNWRITE


class NoServiceError(RpcError):
    default_code = ErrorCode.ENOSERVICE


class NoMethodError(RpcError):
    default_code = ErrorCode.ENOMETHOD


class BadRequestError(RpcError):
    default_code = ErrorCode.EREQUEST


class BadResponseError(RpcError):
    default_code = ErrorCode.ERESPONSE


class AuthenticationError(RpcError):
    default_code = ErrorCode.ERPCAUTH


class InternalServerError(RpcError):
    default_code = ErrorCode.EINTERNAL


class ServerStoppingError(RpcError):
    default_code = ErrorCode.ELOGOFF


class LimitReachedError(RpcError):
    default_code = ErrorCode.ELIMIT


CONNECTION_CODES = frozenset(
    {
        ErrorCode.EFAILEDSOCKET,
        ErrorCode.EEOF,
        ErrorCode.ECLOSE,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.EPIPE,
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.ENOTCONN,
    }
)

_CLASS_OF_CODE: dict[int, type[RpcError]] = {
    **dict.fromkeys(map(int, CONNECTION_CODES), ConnectionFailedError),
    **{
        int(cls.default_code): cls
        for cls in (
            RpcTimeoutError,
            RpcCanceledError,
            OvercrowdedError,
            TlsError,
            WriteShutdownError,
            NoServiceError,
            NoMethodError,
            BadRequestError,
            BadResponseError,
            AuthenticationError,
            InternalServerError,
            ServerStoppingError,
            LimitReachedError,
        )
    },
}

_CLASS_OF_PHASE: dict[Phase | None, type[RpcError]] = {
    Phase.RESOLVE: ConnectError,
    Phase.CONNECT: ConnectError,
    Phase.HANDSHAKE: HandshakeError,
}
"""The class of an error of the connection that arose before the connection was established."""

_ERRORS_OF_THIS_SIDE = frozenset({ErrorCode.ECLOSE, ErrorCode.EFAILEDSOCKET, ErrorCode.ECANCELED})
_ERRORS_AFTER_ACCEPT = frozenset(
    {ErrorCode.EEOF, ErrorCode.ECONNRESET, ErrorCode.ECONNABORTED, ErrorCode.EPIPE}
)
"""Errors of a connection that the peer accepted and dropped: during a handshake, or so early that
connecting itself reports it."""


def is_unreachable(error: RpcError) -> bool:
    """Whether a connection failed with `error` because its endpoint could not be reached."""
    if error.phase is not Phase.RESOLVE and error.code in _ERRORS_AFTER_ACCEPT:
        return False
    return error.phase in _CLASS_OF_PHASE and error.code not in _ERRORS_OF_THIS_SIDE


def error_name(code: int) -> str:
    """ "ERPCTIMEDOUT" for 1008, "ECONNRESET" for 104, "E4711" for an unknown number."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return errno.errorcode.get(code, f"E{code}")


def make_rpc_error(
    code: int,
    text: str,
    *,
    phase: Phase | None = None,
    peer: str = "",
    is_remote: bool = False,
) -> RpcError:
    """An RpcError of the subclass that belongs to a code."""
    cls = _CLASS_OF_CODE.get(code, RpcError)
    if cls is ConnectionFailedError or cls is TlsError:
        cls = _CLASS_OF_PHASE.get(phase, cls)
    return cls(text, code=code, phase=phase, peer=peer, is_remote=is_remote)


def from_os_error(error: OSError, what: str, *, phase: Phase | None, peer: str) -> RpcError:
    """The RpcError for an OSError of a socket call; `what` says which, "Fail to write into ..."."""
    code = error.errno or ErrorCode.EFAILEDSOCKET
    reason = os.strerror(code) if code in errno.errorcode else str(error)
    text = f"{what}: {reason}"
    if code in _CLASS_OF_CODE:
        return make_rpc_error(code, text, phase=phase, peer=peer)
    cls = _CLASS_OF_PHASE.get(phase, ConnectionFailedError)
    return cls(text, code=code, phase=phase, peer=peer)


def _rebuild(
    cls: type[RpcError], text: str, code: int, phase: Phase | None, peer: str, is_remote: bool
) -> RpcError:
    return cls(text, code=code, phase=phase, peer=peer, is_remote=is_remote)
