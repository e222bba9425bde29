from __future__ import annotations

import copy
import errno
import pickle
from typing import Any

import pytest

from pybrpc import errors
from pybrpc.client.calls.failed_attempts import FailedAttempts
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
    from_os_error,
    make_rpc_error,
)

RPC_ERRORS = [
    cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, RpcError) and cls.__module__ == errors.__name__
]


def has_run() -> FailedAttempts:
    """The attempts of a call that the server may have run."""
    attempts = FailedAttempts()
    attempts.add(make_rpc_error(ErrorCode.EEOF, "broken", phase=Phase.WAITING), 0)
    return attempts


@pytest.mark.parametrize("cls", RPC_ERRORS)
@pytest.mark.parametrize("remake", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_survives_copying_and_pickling(cls: type[RpcError], remake: object) -> None:
    error = cls("why", code=4711, phase=Phase.SENT, peer="10.0.0.1:80", is_remote=True)
    error.remote_text = "[10.0.0.1:80]why"
    has_run().describe_in(error)
    error.ended_call = True
    again = remake(error)  # type: ignore[operator]
    assert type(again) is cls
    assert vars(again) == vars(error)
    assert str(again) == str(error)


@pytest.mark.parametrize("phase", [*Phase, None])
def test_call_may_have_run_once_a_byte_of_it_may_have_left(phase: Phase | None) -> None:
    error = make_rpc_error(ErrorCode.EEOF, "x", phase=phase)
    nothing_left = ("resolve", "connect", "handshake", "queued")
    assert error.may_have_run is (phase not in nothing_left)


def test_call_that_was_answered_with_elogoff_has_not_run() -> None:
    codes = (ErrorCode.ELOGOFF, ErrorCode.ELIMIT)
    errors = [make_rpc_error(code, "x", phase=Phase.SERVER) for code in codes]
    assert [error.may_have_run for error in errors] == [False, True]


def test_call_may_have_run_if_an_earlier_attempt_may() -> None:
    error = ConnectError("refused", phase=Phase.CONNECT)
    has_run().describe_in(error)
    assert error.may_have_run
    assert str(error) == (
        "ECONNREFUSED: [E1014]broken (phase=connect, an earlier attempt may have run)"
    )
    assert error.copy().may_have_run
    assert not error.copy(Phase.QUEUED).may_have_run, "that is another call"


class NoSuchUserError(RpcError):
    """As users write their errors: with a constructor, and attributes, of its own."""

    def __init__(self, user: int, tries: int) -> None:
        super().__init__(f"no user {user}", code=20001)
        self.user = user


class SilentError(RpcError):
    def __init__(self) -> None:
        """Without that of RpcError."""


@pytest.mark.parametrize("error", [NoSuchUserError(7, 2), SilentError()])
@pytest.mark.parametrize(
    "remake", [copy.copy, lambda error: pickle.loads(pickle.dumps(error)), lambda e: e.copy()]
)
def test_class_of_a_user_with_any_constructor_is_copied(error: RpcError, remake: Any) -> None:
    again = remake(error)
    assert type(again) is type(error)
    assert vars(error).items() <= vars(again).items()
    assert (str(again), again.args, again.code) == (str(error), error.args, error.code)


def test_note_of_one_caller_is_not_seen_by_another() -> None:
    error = RpcError("broken")
    error.add_note("of all")
    one, other = error.copy(), error.copy()
    one.add_note("of one")
    assert (one.__notes__, other.__notes__) == (["of all", "of one"], ["of all"])


def test_copy_was_not_the_end_of_a_call() -> None:
    error = RpcError("x")
    error.ended_call = True
    assert not error.copy().ended_call


def test_number_of_sent_messages_survives_pickling() -> None:
    error = errors.StreamTimeoutError("too late")
    error.sent = 5
    assert pickle.loads(pickle.dumps(error)).sent == 5


@pytest.mark.parametrize("phase", [Phase.RESOLVE, Phase.CONNECT, Phase.HANDSHAKE])
def test_call_whose_request_may_have_left_never_failed_before_the_connection(phase: Phase) -> None:
    """A thread was interrupted while its call saw the connection being made."""
    error = make_rpc_error(ErrorCode.EFAILEDSOCKET, "interrupted", phase=phase)
    assert [error.copy(came_to).may_have_run for came_to in Phase] == [
        came_to in (Phase.SENT, Phase.WAITING, Phase.SERVER) for came_to in Phase
    ]
    assert error.copy(Phase.QUEUED).phase is phase


def test_text_says_only_what_the_phase_does_not() -> None:
    error = RpcTimeoutError("too late", phase=Phase.WAITING)
    has_run().describe_in(error)
    assert str(error) == "ERPCTIMEDOUT: [E1014]broken (phase=waiting)"


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
