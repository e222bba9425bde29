"""All errors that pybrpc raises, and the error codes of bRPC.

    PyBrpcError
    +-- AddressError (ValueError)         an invalid address string
    +-- ServerStateError                  start() twice, add_service() while running, ...
    +-- ChannelClosedError                a call on a channel that was closed
    +-- TlsConfigError (ValueError)       certificates that can't be loaded, options that clash
    +-- InvalidTimeoutError (ValueError)  a timeout that is no number of seconds
    +-- InvalidBackoffError, BackupPolicyError (ValueError)  pauses, a policy, that can't be
    +-- WouldDeadlockError                a blocking call on the thread that receives its answer
    +-- ControllerInUseError              one Controller in two calls that run
    +-- StreamingMethodError (NotImplementedError)  a call of a streaming method
    +-- DispatcherClosedError             no turn of the dispatcher will come any more
    +-- MissingExtraError (ImportError)   a required optional package is not installed
    +-- NamingError                       a naming service failed, or its answer can't be used
    +-- MonkeyPatchError                  gevent or eventlet came too late, or without threads
    +-- ConversionError (ValueError)      a message can't be converted (json2pb/errors.py)
    +-- ListenError (OSError), WorkerStartError  a server can't listen; no worker can serve
    +-- RedisError                        an error reply of a Redis server
    +-- RpcError                          a call or a write failed; carries a bRPC code
        +-- ProtocolError                    the peer sent invalid bytes
        +-- RpcTimeoutError (TimeoutError)   ERPCTIMEDOUT: the deadline of the call passed
        +-- RpcCanceledError                 ECANCELED: the caller gave up
        |   +-- HandlerCanceledError         ... for the handler that made the call was canceled
        +-- OvercrowdedError                 EOVERCROWDED: too many unwritten bytes
        +-- ConnectionFailedError (ConnectionError)  EFAILEDSOCKET, EEOF, ECONNRESET, EPIPE, ...
        |   +-- ConnectError                 ... while resolving or connecting
        |   +-- HandshakeError               ... during a handshake: ESSL, ETIMEDOUT, EEOF, ...
        |   +-- TlsError, WriteShutdownError  ESSL: TLS failed later; ESHUTDOWNWRITE: by this side
        +-- NoServiceError, NoMethodError    ENOSERVICE, ENOMETHOD
        +-- BadRequestError, BadResponseError  EREQUEST, ERESPONSE
        +-- AuthenticationError              ERPCAUTH
        +-- InternalServerError              EINTERNAL: the handler raised
        +-- ServerStoppingError, LimitReachedError  ELOGOFF, ELIMIT
        +-- StreamClosedError, StreamResetError, StreamTimeoutError  EINVAL, ECONNRESET, ETIMEDOUT
        +-- HttpError                        EHTTP: an HTTP status other than 2xx
        +-- RtmpStatusError                  ERTMPCREATESTREAM: an RTMP server has refused

An RpcError has a code, the phase in which it arose, the peer, and the side that found it.
Codes: apache/brpc src/brpc/errno.proto; those below 1000 are errnos of the operating system.
"""

from __future__ import annotations

import errno
import os
from typing import Self

from pybrpc.error_codes import NOTHING_LEFT, ErrorCode, Phase, error_name

# fmt: off
__all__ = [
    "AddressError", "AuthenticationError", "BackupPolicyError", "BadRequestError",
    "BadResponseError", "ChannelClosedError", "ConnectError", "ConnectionFailedError",
    "ControllerInUseError", "DispatcherClosedError", "ErrorCode", "HandlerCanceledError",
    "HandshakeError", "HttpError", "InternalServerError", "InvalidBackoffError",
    "InvalidTimeoutError", "LimitReachedError", "ListenError", "MissingExtraError",
    "MonkeyPatchError", "NamingError", "NoMethodError", "NoServiceError", "OvercrowdedError",
    "Phase", "ProtocolError", "PyBrpcError", "RedisError", "RpcCanceledError", "RpcError",
    "RpcTimeoutError", "RtmpStatusError", "ServerStateError", "ServerStoppingError",
    "StreamClosedError", "StreamResetError", "StreamTimeoutError", "StreamingMethodError",
    "TlsConfigError", "TlsError", "WorkerStartError", "WouldDeadlockError",
    "WriteShutdownError", "error_name",
]
# fmt: on


def __dir__() -> list[str]:
    return __all__


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


class InvalidTimeoutError(PyBrpcError, ValueError):
    """A negative timeout."""


class InvalidBackoffError(PyBrpcError, ValueError):
    """An invalid number for a Backoff. The text names it and says which values are allowed."""


class BackupPolicyError(PyBrpcError, ValueError):
    """An invalid number for a BackupRequestPolicy."""


class WouldDeadlockError(PyBrpcError, RuntimeError):
    """A blocking call on the dispatcher thread, or in a loop that must answer it: it would wait for
    itself."""


class ControllerInUseError(PyBrpcError, RuntimeError):
    """A call with a Controller that another call uses, or that of a request which is served."""


class StreamingMethodError(PyBrpcError, NotImplementedError):
    """A call of a method that streams requests or responses, which pybrpc can't do yet."""


class DispatcherClosedError(PyBrpcError, RuntimeError):
    """The dispatcher has stopped: its thread has ended, or its loop is closed."""


class MissingExtraError(PyBrpcError, ImportError):
    """A required optional package is not installed. The text says what to install."""


class NamingError(PyBrpcError):
    """A naming service can't be reached or has failed, or its answer can't be used. Calls go on
    with its last list."""


class MonkeyPatchError(PyBrpcError, RuntimeError):
    """gevent or eventlet has replaced parts of the standard library after pybrpc was imported, or
    without threads."""


class ListenError(PyBrpcError, OSError):
    """The address can't be listened on: it is in use, not one of this machine, not allowed, ..."""


class WorkerStartError(PyBrpcError, RuntimeError):
    """A worker could not start, so the supervisor did not start either. The text says why."""


class RedisError(PyBrpcError):
    """The reply of Redis to a command that failed, such as "WRONGTYPE Operation ...".

    It is a value among the replies of a request; `raise_for_error()` and `execute` raise it. It is
    no RpcError, because the call itself succeeded. Like bRPC's REDIS_REPLY_ERROR.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    @property
    def code(self) -> str:
        """The first word, which names the kind of error: "WRONGTYPE", "NOPERM", "ERR"."""
        return self.text.partition(" ")[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RedisError) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"<RedisError {self.text}>"


class RpcError(PyBrpcError):
    """A call or a write failed.

    `code` is bRPC's number (or an errno), `name` its name. `message` is the bare text: that which
    the handler gave, or of this side the reason of the last attempt. `text` is what C++ bRPC's
    `Controller::ErrorText()` would give: it has the codes of all attempts, and the address of the
    server, beside. `phase` is the phase in which it failed, `peer` the address that it was sent to
    ("" if there is none yet). `is_remote` is True if the peer sent the error, False if this side
    found it. `remote_text` is the text that the peer sent, as a proxy passes it on; "" if none.
    Phase, class and code are those of the last attempt; `may_have_run` is about all of them.
    """

    default_code: int = ErrorCode.EINTERNAL

    ended_call: bool = False
    """Whether a call or a stream of this process has ended with it. A handler that lets such an
    error out has failed itself: its caller gets EINTERNAL, not the code of the nested call."""

    _earlier_may_have_run: bool = False
    """Whether the server may have run an earlier attempt of the call that has ended with it."""

    # For a class of a user whose constructor does not call this one.
    code: int = ErrorCode.EINTERNAL
    text: str = ""
    message: str = ""
    phase: Phase | None = None
    peer: str = ""
    is_remote: bool = False
    remote_text: str = ""

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
        self.text = self.message = text
        self.phase = phase
        self.peer = peer
        self.is_remote = is_remote
        self.remote_text = ""

    @property
    def name(self) -> str:
        """The name of the code, such as "ERPCTIMEDOUT"."""
        return error_name(self.code)

    @property
    def may_have_run(self) -> bool:
        """Whether the server may have run the call: a byte of the request, or of an earlier attempt
        of the call, may have left this process, and the server did not answer ELOGOFF to it."""
        return self._earlier_may_have_run or self._may_run_in_phase

    @property
    def _may_run_in_phase(self) -> bool:
        if self.phase is Phase.SERVER:
            return self.code != ErrorCode.ELOGOFF
        return self.phase not in NOTHING_LEFT

    def copy(self, came_to: Phase | None = None, peer: str = "") -> Self:
        """A copy of the error for one of several callers, whose call was in phase `came_to`.

        If no connection was established, all calls failed in the phase of this error, but for one
        whose request may have left. Each caller raises a copy, because an exception collects the
        stack of the thread that raises it.
        """
        phase = self.phase if came_to is None else came_to
        if phase in NOTHING_LEFT and self.phase in (Phase.RESOLVE, Phase.CONNECT, Phase.HANDSHAKE):
            phase = self.phase
        copy = type(self).__new__(type(self))  # see _new_error
        copy.args = self.args
        vars(copy).update(vars(self))
        if "__notes__" in vars(copy):
            copy.__notes__ = self.__notes__[:]
        vars(copy).pop("ended_call", None)
        if came_to is not None:
            vars(copy).pop("_earlier_may_have_run", None)
        copy.phase = phase
        copy.peer = self.peer or peer
        copy.__cause__ = self.__cause__
        return copy

    def __str__(self) -> str:
        where = [f"phase={self.phase}"] if self.phase else []
        if self.peer:
            where.append(f"peer={self.peer}")
        if self._earlier_may_have_run and not self._may_run_in_phase:
            where.append("an earlier attempt may have run")
        tail = f" ({', '.join(where)})" if where else ""
        return f"{self.name}: {self.text}{tail}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def __reduce__(self) -> tuple[object, ...]:
        return _new_error, (type(self),), {**vars(self), "args": self.args}


def _new_error(cls: type[RpcError]) -> RpcError:
    """An error without attributes, for `copy` and `pickle`: a class of a user may have any
    constructor."""
    return cls.__new__(cls)


class ProtocolError(RpcError):
    """The peer sent invalid bytes; the connection is closed."""

    default_code = ErrorCode.EINVAL


class RpcTimeoutError(RpcError, TimeoutError):
    """The deadline of the call has passed. The server may have run it, or run it still."""

    default_code = ErrorCode.ERPCTIMEDOUT


class RpcCanceledError(RpcError):
    """The call was canceled before it ended. The server may have run it."""

    default_code = ErrorCode.ECANCELED


class HandlerCanceledError(RpcCanceledError):
    """A call that a handler made was canceled together with the request that the handler serves."""


class OvercrowdedError(RpcError):
    """Too many bytes wait to be written to the peer, so nothing was sent. Try again later."""

    default_code = ErrorCode.EOVERCROWDED


class ConnectionFailedError(RpcError, ConnectionError):
    """The connection broke, or was closed, before the response came."""

    default_code = ErrorCode.EFAILEDSOCKET


class ConnectError(ConnectionFailedError):
    """No connection could be made: the address was not found, or nothing accepts there."""

    default_code = ErrorCode.ECONNREFUSED


class HandshakeError(ConnectionFailedError):
    """TCP was connected, but the handshake of TLS or of the protocol failed."""

    default_code = ErrorCode.ESSL


class TlsError(ConnectionFailedError):
    """TLS failed after its handshake: an invalid record, or an alert of the peer."""

    default_code = ErrorCode.ESSL


class WriteShutdownError(ConnectionFailedError):
    """This side has already shut down its writing direction, so nothing more can be sent."""

    default_code = ErrorCode.ESHUTDOWNWRITE


class NoServiceError(RpcError):
    """The server has no service of this name."""

    default_code = ErrorCode.ENOSERVICE


class NoMethodError(RpcError):
    """The service has no method of this name, or it is not implemented."""

    default_code = ErrorCode.ENOMETHOD


class BadRequestError(RpcError):
    """The request is invalid: it is too large, can't be parsed, or lacks required fields."""

    default_code = ErrorCode.EREQUEST


class BadResponseError(RpcError):
    """The response is invalid: it is too large, can't be parsed, or lacks required fields."""

    default_code = ErrorCode.ERESPONSE


class AuthenticationError(RpcError):
    """The server does not accept the credential of the client, or got none."""

    default_code = ErrorCode.ERPCAUTH


class InternalServerError(RpcError):
    """The handler of the server raised an exception, or the server failed otherwise."""

    default_code = ErrorCode.EINTERNAL


class ServerStoppingError(RpcError):
    """The server is stopping and has not run the call: another server may run it."""

    default_code = ErrorCode.ELOGOFF


class LimitReachedError(RpcError):
    """The server, or the method, runs as many requests as it may. It has not run the call."""

    default_code = ErrorCode.ELIMIT


class HttpError(RpcError):
    """The status of a response of HTTP is none of 2xx, and no `x-bd-error-code` says more."""

    default_code = ErrorCode.EHTTP


class StreamClosedError(RpcError):
    """The stream was closed, by this side or by the peer: nothing more is sent, or received."""

    default_code = ErrorCode.EINVAL
    ended_call = True


class StreamResetError(RpcError):
    """The stream has failed, by this side or by the peer. What was sent may not have arrived."""

    default_code = ErrorCode.ECONNRESET
    ended_call = True


class StreamTimeoutError(RpcTimeoutError):
    """A wait on a stream took too long. `sent`: the messages of `send_many` that were sent."""

    default_code = ErrorCode.ETIMEDOUT
    ended_call = True
    sent: int = 0


class RtmpStatusError(RpcError):
    """A server of RTMP has refused a connection or a stream, or ended a stream with an error.

    `status` is its code, such as "NetStream.Publish.BadName"; `remote_text` its description.
    """

    default_code = ErrorCode.ERTMPCREATESTREAM
    ended_call = True
    status: str = ""


# fmt: off
CONNECTION_CODES = frozenset({
    ErrorCode.EFAILEDSOCKET, ErrorCode.EEOF, ErrorCode.ECLOSE,
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT,
    errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENOTCONN,
})
# fmt: on

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
            HttpError,
            RtmpStatusError,
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
