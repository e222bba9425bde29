"""The credential of one connection, step by step, over a socket whose peer is the test."""

from __future__ import annotations

import contextlib
import socket as _socket
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.client.calls.attempt import Attempt, new_attempt
from pybrpc.client.connections.authentication import (
    Authentication,
    NoCredential,
    checked_authenticator,
)
from pybrpc.client.connections.rpc_connection import RpcConnection
from pybrpc.errors import (
    AuthenticationError,
    BadRequestError,
    ConnectionFailedError,
    ErrorCode,
    Phase,
    RpcCanceledError,
    make_rpc_error,
)
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BaiduStd
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.message_cutter import MessageCutter
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.socket.socket import Socket
from tests.fakes.client_socket import PEER
from tests.fakes.connections import FakeCall, start
from tests.fakes.threads import in_threads

LIMITS = ParseLimits()


class ShyOfLongCredentials(BaiduStd):
    """A protocol in which not every credential can be packed."""

    def pack_request(self, request: RpcRequest) -> IOBuf:
        if len(request.credential or b"") > 8:
            raise BadRequestError("the credential is too long")
        return super().pack_request(request)


class Credentials:
    """An Authenticator that gives one after the other."""

    def __init__(self, *credentials: Any) -> None:
        self.left = list(credentials)

    def generate_credential(self) -> bytes:
        return self.left.pop(0)  # type: ignore[no-any-return]

    def verify_credential(self, credential: bytes, client: object) -> None:
        raise NotImplementedError


class Wire:
    """One connection that has this source, and the peer's end of it.

    Nothing is written before `step`: the write right is held, as while a connection connects.
    """

    endpoint = PEER
    direct = live = pool = call_times = None
    gives_own_connections = False

    def __init__(self, ours: _socket.socket, theirs: _socket.socket, auth: Credentials) -> None:
        self.auth = auth
        self.dispatcher = StepDispatcher()
        self.timeouts = TimeoutQueues(self.dispatcher)
        protocol = ShyOfLongCredentials()
        socket = Socket.of(ours, self.dispatcher, session=MessageCutter(LIMITS, protocol=protocol))
        self.connection = RpcConnection(
            socket, self.timeouts, protocol, authentication=Authentication(auth)
        )
        socket.set_user(self.connection)
        self.dispatcher.post(lambda: socket._reader.start(socket))
        socket._writer.hold()
        self.dispatcher.post(lambda: socket._writer.keep_write(socket))
        self._peer = theirs
        self._buffer = IOBuf()

    def get(self, call: object) -> RpcConnection:
        self.connection.socket.raise_if_failed()
        return self.connection

    def call(self, **options: Any) -> FakeCall:
        return start(self, None, max_retry=0, **options)

    def step(self) -> None:
        self.dispatcher.run_until_idle()

    def requests(self) -> list[RpcRequest]:
        """The requests that were written since."""
        self.step()
        with contextlib.suppress(BlockingIOError):
            self._buffer.append(self._peer.recv(1 << 20))
        found: list[RpcRequest] = []
        while isinstance(request := BaiduStd().parse(self._buffer, LIMITS), RpcRequest):
            found.append(request)
        return found

    def answer(self, request: RpcRequest, code: int = 0) -> None:
        response = RpcResponse(request.correlation_id, code, "no" if code else "")
        self._peer.sendall(bytes(BaiduStd().pack_response(response)))
        self.step()

    def close(self) -> None:
        self._peer.shutdown(_socket.SHUT_WR)
        self.step()


@pytest.fixture
def pair() -> Iterator[tuple[_socket.socket, _socket.socket]]:
    ours, theirs = _socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with theirs:
        yield ours, theirs


@contextlib.contextmanager
def wire(pair: tuple[_socket.socket, _socket.socket], *credentials: Any) -> Iterator[Wire]:
    made = Wire(*pair, Credentials(*credentials))
    yield made
    made.connection.close()
    made.step()


def carried(requests: list[RpcRequest]) -> list[bytes | None]:
    return [request.credential for request in requests]


def test_oldest_request_carries_the_credential(pair: Any) -> None:
    with wire(pair, b"secret") as it:
        for _ in range(3):
            it.call()
        assert it.auth.left == [b"secret"], "made before its turn"
        assert carried(it.requests()) == [b"secret", None, None]
        it.call()
        assert carried(it.requests()) == [None]
        assert "sent" in repr(it.connection._authentication)


def test_backlog_counts_requests_that_wait_for_the_credential(pair: Any) -> None:
    with wire(pair, b"secret") as it:
        it.call()
        backlog = it.connection.socket.backlog
        assert backlog.size_bytes > 12
        it.step()
        assert (backlog.size_bytes, backlog.requests) == (0, 0)


def test_cancelled_request_does_not_carry_the_credential(pair: Any) -> None:
    with wire(pair, b"secret") as it:
        calls = [it.call() for _ in range(3)]
        for call in calls[:2]:
            assert call.abort(call.canceled_error())
        assert carried(it.requests()) == [b"secret"]
        assert [type(end) for call in calls[:2] for end in call.ends] == [RpcCanceledError] * 2


def test_request_that_can_not_be_packed_fails_alone_and_the_next_carries_the_credential(
    pair: Any,
) -> None:
    with wire(pair, b"far too long") as it:
        calls = [it.call() for _ in range(2)]
        assert it.requests() == []
        for call in calls:
            (error,) = call.ends
            assert "the credential is too long" in error.text
            assert (error.code, error.phase) == (ErrorCode.EINVAL, Phase.QUEUED)
        assert it.connection.is_usable()
        assert it.connection.in_flight == 0
        assert it.auth.left == []


def test_credential_that_can_not_be_made_fails_all_calls_and_is_not_made_again(pair: Any) -> None:
    with wire(pair, None, b"secret") as it:
        calls = [it.call() for _ in range(3)]
        assert it.requests() == []
        for call in calls:
            (error,) = call.ends
            assert type(error) is AuthenticationError
            assert error.text == "[E1004]Fail to generate a credential: a NoneType is not bytes"
        assert it.auth.left == [b"secret"]
        assert not it.connection.is_usable()
        assert "failed" in repr(it.connection._authentication)


def test_refused_credential_fails_the_other_calls_of_the_connection(pair: Any) -> None:
    with wire(pair, b"secret") as it:
        calls = [it.call() for _ in range(3)]
        first, *_ = it.requests()
        it.answer(first, ErrorCode.ERPCAUTH)
        assert [len(call.ends) for call in calls] == [1, 0, 0]
        assert not it.connection.is_usable(), "no new calls go over it"
        assert "refused" in repr(it.connection._authentication)
        it.close()
        assert [type(end) for call in calls for end in call.ends] == [AuthenticationError] * 3


def test_ERPCAUTH_for_another_request_does_not_fail_the_other_calls(pair: Any) -> None:
    """The handler of the first request has said ERPCAUTH of its own."""
    with wire(pair, b"secret") as it:
        calls = [it.call() for _ in range(3)]
        first, second, _ = it.requests()
        it.answer(first, ErrorCode.ERPCAUTH)
        it.answer(second)
        it.close()
        kinds = [type(end) for call in calls for end in call.ends]
        assert kinds == [AuthenticationError, RpcResponse, ConnectionFailedError]


def test_connection_is_closed_when_its_only_call_is_refused(pair: Any) -> None:
    with wire(pair, b"secret") as it:
        call = it.call()
        it.answer(*it.requests(), ErrorCode.ERPCAUTH)
        assert type(call.ends[0]) is AuthenticationError
        assert it.connection.socket.is_failed


@pytest.mark.parametrize("code", [0, ErrorCode.EINTERNAL])
def test_any_other_response_accepts_the_credential(pair: Any, code: int) -> None:
    with wire(pair, b"secret") as it:
        calls = [it.call() for _ in range(2)]
        first, _ = it.requests()
        it.answer(first, code)
        it.close()
        assert type(calls[1].ends[0]) is ConnectionFailedError


# --- without a connection ---


class Unequal:
    """Has == and so no hash."""

    def generate_credential(self) -> bytes:
        return b"mine"

    def __eq__(self, other: object) -> bool:
        return self is other


def test_credential_that_is_not_bytes_is_an_error() -> None:
    authentication = Authentication(Credentials("text"))
    for _ in range(2):
        with pytest.raises(AuthenticationError, match="Fail to generate a credential: a str is"):
            authentication.credential()


@pytest.mark.parametrize(
    "kind", [ValueError, SystemExit, GeneratorExit, KeyboardInterrupt, MemoryError]
)
def test_authenticator_may_raise_anything(kind: type[BaseException]) -> None:
    class Raising:
        def generate_credential(self) -> bytes:
            raise kind("no key")

    def run(index: int) -> None:
        authentication = Authentication(Raising())
        for _ in range(2):
            with pytest.raises(AuthenticationError, match="Fail to generate a cred") as caught:
                authentication.credential()
            assert isinstance(caught.value.__cause__, kind)

    # Not in the main thread, which would get the KeyboardInterrupt.
    in_threads(1, run)


def test_missing_credential_is_refused_by_erpcauth_only() -> None:
    missing = NoCredential()
    assert not missing.is_refused(any_attempt(), make_rpc_error(ErrorCode.EINTERNAL, "no"))
    assert (missing.refusal, repr(missing)) == (None, "<NoCredential>")
    assert not missing.is_refused(any_attempt(), make_rpc_error(ErrorCode.ERPCAUTH, "no"))
    assert missing.refusal is not None
    assert repr(missing) == "<NoCredential, refused>"


def any_attempt() -> Attempt:
    nothing: Any = None
    return new_attempt(nothing, nothing)


def test_only_the_response_to_the_carrier_can_refuse_the_credential() -> None:
    authentication = Authentication(Credentials())
    carrier, other = any_attempt(), any_attempt()
    authentication.note_sent(carrier)
    refusal = make_rpc_error(ErrorCode.ERPCAUTH, "no", phase=Phase.SERVER)
    assert not authentication.is_refused(other, refusal)
    assert not authentication.is_refused(
        carrier, make_rpc_error(ErrorCode.EINTERNAL, "no", phase=Phase.SERVER)
    )
    assert authentication.refusal is None
    assert authentication.is_refused(carrier, refusal)
    assert authentication.refusal is not refusal
    assert str(authentication.refusal) == str(refusal)


def test_repr_names_the_state() -> None:
    states = []
    authentication = Authentication(Credentials("text"))
    states.append(repr(authentication))
    carrier = any_attempt()
    authentication.note_sent(carrier)
    states.append(repr(authentication))
    authentication.is_refused(carrier, make_rpc_error(ErrorCode.ERPCAUTH, "no"))
    states.append(repr(authentication))
    with pytest.raises(AuthenticationError):
        authentication.credential()
    states.append(repr(authentication))
    assert [state.rpartition(", ")[2] for state in states] == [
        "not sent>",
        "sent>",
        "refused>",
        "failed>",
    ]


def test_authenticator_that_a_channel_can_use() -> None:
    auth = Credentials()
    assert checked_authenticator(auth) is auth
    assert checked_authenticator(None) is None


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        (object(), r"with a plain function generate_credential\(\)"),
        (Unequal(), "must define __hash__ too"),
    ],
)
def test_authenticator_that_a_channel_can_not_use(auth: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        checked_authenticator(auth)
