from __future__ import annotations

import copy
import errno
import pickle

import pytest

from pybrpc import errors
from pybrpc.errors import (
    ConnectError,
    ConnectionFailedError,
    ErrorCode,
    OvercrowdedError,
    Phase,
    PyBrpcError,
    RpcError,
    RpcTimeoutError,
    WriteShutdownError,
    error_name,
    from_os_error,
    make_rpc_error,
)

RPC_ERRORS = [
    cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, RpcError) and cls.__module__ == errors.__name__
]
CODES_OF_BRPC = {
    "ENOSERVICE": 1001,
    "ENOMETHOD": 1002,
    "EREQUEST": 1003,
    "ERPCAUTH": 1004,
    "ERPCTIMEDOUT": 1008,
    "EFAILEDSOCKET": 1009,
    "EOVERCROWDED": 1011,
    "EEOF": 1014,
    "EINTERNAL": 2001,
    "ERESPONSE": 2002,
    "ELOGOFF": 2003,
    "ELIMIT": 2004,
    "ECLOSE": 2005,
    "ESHUTDOWNWRITE": 2007,
}


@pytest.mark.parametrize(("name", "number"), CODES_OF_BRPC.items())
def test_codes_are_those_of_brpc(name: str, number: int) -> None:
    assert ErrorCode[name] == number
    assert error_name(number) == name


@pytest.mark.parametrize(
    ("code", "name"), [(errno.ECONNRESET, "ECONNRESET"), (errno.ENOSPC, "ENOSPC"), (4711, "E4711")]
)
def test_name_of_any_code(code: int, name: str) -> None:
    assert error_name(code) == name
    assert make_rpc_error(code, "text").name == name


@pytest.mark.parametrize("cls", RPC_ERRORS)
@pytest.mark.parametrize("remake", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_survives_copying_and_pickling(cls: type[RpcError], remake: object) -> None:
    error = cls("why", code=4711, phase=Phase.SENT, peer="10.0.0.1:80", is_remote=True)
    error.remote_text = "[10.0.0.1:80]why"
    again = remake(error)  # type: ignore[operator]
    assert type(again) is cls
    assert vars(again) == vars(error)
    assert str(again) == str(error)


@pytest.mark.parametrize("cls", RPC_ERRORS)
def test_make_rpc_error_gives_the_class_of_the_code(cls: type[RpcError]) -> None:
    made = make_rpc_error(cls.default_code, "text")
    general = {
        RpcError: errors.InternalServerError,
        errors.ProtocolError: RpcError,
        errors.HandlerCanceledError: errors.RpcCanceledError,
        ConnectError: ConnectionFailedError,
        errors.HandshakeError: errors.TlsError,
        errors.StreamClosedError: RpcError,
        errors.StreamResetError: ConnectionFailedError,
        errors.StreamTimeoutError: ConnectionFailedError,
    }
    assert type(made) is general.get(cls, cls)
    assert made.code == cls.default_code


@pytest.mark.parametrize("phase", [Phase.RESOLVE, Phase.CONNECT])
def test_a_connection_that_never_stood_is_a_connect_error(phase: Phase) -> None:
    assert type(make_rpc_error(errno.ETIMEDOUT, "text", phase=phase)) is ConnectError
    assert type(make_rpc_error(errno.ETIMEDOUT, "text", phase=Phase.SENT)) is ConnectionFailedError


@pytest.mark.parametrize("code", [ErrorCode.ESSL, ErrorCode.EEOF, errno.ETIMEDOUT])
def test_a_connection_whose_handshake_failed_is_a_handshake_error(code: int) -> None:
    assert type(make_rpc_error(code, "text", phase=Phase.HANDSHAKE)) is errors.HandshakeError
    assert type(make_rpc_error(code, "text", phase=Phase.SENT)) is not errors.HandshakeError


@pytest.mark.parametrize(
    ("cls", "standard"),
    [
        (RpcTimeoutError, TimeoutError),
        (ConnectionFailedError, ConnectionError),
        (ConnectError, ConnectionError),
        (WriteShutdownError, ConnectionError),
        (errors.AddressError, ValueError),
        (errors.ChannelClosedError, RuntimeError),
        (OvercrowdedError, PyBrpcError),
    ],
)
def test_is_caught_as_what_python_calls_it(cls: type[Exception], standard: type[Exception]) -> None:
    assert issubclass(cls, standard)
    assert issubclass(cls, PyBrpcError)


def test_text_says_code_phase_and_peer() -> None:
    error = RpcTimeoutError("too late", phase=Phase.WAITING, peer="10.0.0.1:80")
    assert str(error) == "ERPCTIMEDOUT: too late (phase=waiting, peer=10.0.0.1:80)"
    assert repr(error) == f"<RpcTimeoutError {error}>"
    assert str(RpcError("why", code=1003)) == "EREQUEST: why"


@pytest.mark.parametrize(
    ("reason", "phase", "cls", "code", "text"),
    [
        (OSError(errno.EPIPE, "x"), Phase.SENT, ConnectionFailedError, errno.EPIPE, "Broken pipe"),
        (
            OSError(errno.EACCES, "x"),
            Phase.CONNECT,
            ConnectError,
            errno.EACCES,
            "Permission denied",
        ),
        (OSError(errno.ENOBUFS, "x"), Phase.SENT, ConnectionFailedError, errno.ENOBUFS, "buffer"),
        (OSError("no number"), None, ConnectionFailedError, ErrorCode.EFAILEDSOCKET, "no number"),
    ],
)
def test_from_os_error(
    reason: OSError, phase: Phase | None, cls: type[RpcError], code: int, text: str
) -> None:
    error = from_os_error(reason, "Fail to do it", phase=phase, peer="p:1")
    assert (type(error), error.code, error.phase, error.peer) == (cls, code, phase, "p:1")
    assert error.text.startswith("Fail to do it: ")
    assert text in error.text


@pytest.mark.parametrize(
    ("code", "phase", "expected"),
    [
        (errno.ECONNREFUSED, Phase.CONNECT, True),
        (errno.ETIMEDOUT, Phase.CONNECT, True),
        (errno.EHOSTUNREACH, Phase.RESOLVE, True),
        (ErrorCode.ESSL, Phase.HANDSHAKE, True),
        (ErrorCode.EEOF, Phase.HANDSHAKE, False),
        (errno.EHOSTDOWN, Phase.CONNECT, True),
        (errno.ECONNRESET, Phase.CONNECT, False),
        (errno.ECONNRESET, Phase.WAITING, False),
        (ErrorCode.EEOF, Phase.SENT, False),
        (ErrorCode.ECLOSE, Phase.CONNECT, False),
        (ErrorCode.EFAILEDSOCKET, Phase.CONNECT, False),
        (errno.ECONNREFUSED, None, False),
    ],
)
def test_endpoint_is_unreachable_if_connecting_failed_and_not_by_this_side(
    code: int, phase: Phase | None, expected: bool
) -> None:
    assert errors.is_unreachable(make_rpc_error(code, "broken", phase=phase)) is expected
