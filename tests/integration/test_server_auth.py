"""Credentials: the first request of a connection is judged, as C++ bRPC does it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AuthenticationError, ErrorCode
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.rpc.authenticator import AuthContext
from pybrpc.rpc.controller import Controller
from pybrpc.server import Server
from tests.fakes.threads import wait_until
from tests.peers.raw_peer import EchoResponse, RawPeer, packed, request, text_of
from tests.peers.serving import as_async, echo, make_server, serving, start

VECTORS = Path(__file__).parents[1] / "golden" / "vectors"
GOOD = b"secret-token"
"""The credential that the recorded C++ client sends."""

KINDS = pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async"])


class Failed(BaseException):
    """No Exception, as what pytest.fail() raises."""


class Verdict:
    """Gives the same verdict on everybody."""

    def __init__(self, verdict: Any) -> None:
        self.verdict = verdict

    def generate_credential(self) -> bytes:
        return GOOD

    def verify_credential(self, credential: bytes, client: Endpoint) -> Any:
        return self.verdict


class AsyncVerdict(Verdict):
    async def verify_credential(self, credential: bytes, client: Endpoint) -> Any:
        return self.verdict


class TokenAuth:
    """Knows one token, and keeps whom it judged."""

    def __init__(self) -> None:
        self.judged: list[tuple[bytes, Endpoint]] = []

    def generate_credential(self) -> bytes:
        return GOOD

    def verify_credential(self, credential: bytes, client: Endpoint) -> AuthContext | None:
        self.judged.append((credential, client))
        if credential != GOOD:
            raise PermissionError(f"the token {credential!r} is not known here")
        return AuthContext(user="alice", roles="reader", is_service=True)


def recorded(case: str, role: str) -> bytes:
    return (VECTORS / f"baidu_std_{case}.{role}.bin").read_bytes()


def whoami(request: Any, controller: Controller) -> Any:
    context = controller.auth_context
    return EchoResponse(message="nobody" if context is None else f"{context.user}")


@pytest.mark.parametrize("is_bytewise", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("case", ["auth", "noauth"])
def test_answers_are_those_of_cpp(case: str, is_bytewise: bool) -> None:
    def answer(request: Any, controller: Controller) -> Any:
        return EchoResponse(message=request.message, attachment_bytes=0)

    frame, expected = recorded(case, "client"), recorded(case, "server")
    with serving(answer, auth=TokenAuth()) as peer:
        for piece in [bytes([byte]) for byte in frame] if is_bytewise else [frame]:
            peer.sock.sendall(piece)
        received = b""
        while len(received) < len(expected):
            received += peer.sock.recv(65536)
        assert received == expected
        peer.shut_writing()
        assert peer.read_to_end() == b""


@KINDS
def test_handlers_see_who_the_caller_is(kind: Any) -> None:
    auth = TokenAuth()
    with serving(kind(whoami), auth=auth) as peer:
        assert text_of(peer.call(credential=GOOD)) == "alice"
        assert text_of(peer.call()) == "alice"
        assert text_of(peer.call(credential=b"later ones are not looked at")) == "alice"
        assert auth.judged == [(GOOD, Endpoint(*peer.sock.getsockname()))]


def test_without_authenticator_nobody_is_asked() -> None:
    with serving(whoami) as peer:
        assert text_of(peer.call(credential=b"whatever")) == "nobody"


def test_each_connection_is_judged() -> None:
    auth = TokenAuth()
    with make_server(whoami, auth=auth) as server:
        endpoint = start(server)
        for _ in range(3):
            with RawPeer(endpoint) as peer:
                assert text_of(peer.call(credential=GOOD)) == "alice"
        assert len(auth.judged) == 3


@KINDS
@pytest.mark.parametrize("credential", [None, b"", b"wrong"])
def test_refused_peer_is_told_and_closed_and_nothing_of_it_is_run(
    credential: bytes | None, kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []

    def note(request: Any, controller: Controller) -> Any:
        ran.append(request.message)
        return echo(request, controller)

    with make_server(kind(note), auth=TokenAuth()) as server, RawPeer(start(server)) as peer:
        first = request(7, credential=credential)
        peer.sock.sendall(packed(first, *(request(i, credential=GOOD) for i in range(20))))
        answer = peer.read_answer()
        assert (answer.correlation_id, answer.error_code) == (7, ErrorCode.ERPCAUTH)
        assert answer.error_text == "Fail to authenticate"
        peer.send(request(8, credential=GOOD))
        assert peer.read_to_end() == b""
        peer.close()
        wait_until(lambda: server.statistics().connections == 0)
        statistics = server.statistics()
        assert (statistics.requests, statistics.errors) == (1, 1)
    assert ran == []
    assert "is not known here" in caplog.text
    assert "Fail to authenticate 127.0.0.1:" in caplog.text


@pytest.mark.parametrize("verdict", [False, -1, 0, "alice"])
def test_verdict_that_is_none_lets_nobody_in(
    verdict: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An authenticator of C++ that refuses returns -1."""
    with serving(whoami, auth=Verdict(verdict)) as peer:
        assert peer.call(credential=GOOD).error_code == ErrorCode.ERPCAUTH
        assert peer.read_to_end() == b""
    assert "must return an AuthContext or None" in caplog.text


def test_verdict_of_no_interest_lets_in() -> None:
    with serving(whoami, auth=Verdict(None)) as peer:
        assert text_of(peer.call(credential=GOOD)) == "nobody"


@pytest.mark.parametrize("auth", [None, TokenAuth()], ids=["open to all", "with credentials"])
def test_request_of_a_peer_that_reset_before_it_was_accepted_is_not_run(
    auth: TokenAuth | None,
) -> None:
    """Linux still lets it be read, but says no more whose it is."""
    ran: list[str] = []

    async def note(request: Any, controller: Controller) -> Any:
        ran.append(request.message)
        return echo(request, controller)

    async def run() -> None:
        async with make_server(note, auth=auth) as server:
            endpoint = start(server)
            for _ in range(20):
                # The loop, which accepts, doesn't turn meanwhile.
                peer = RawPeer(endpoint)
                peer.send(request(1))
                peer.reset()
            while server.statistics().accepted < 20 or server.statistics().connections:
                await asyncio.sleep(0.001)
            assert server.statistics().requests == 0

    asyncio.run(run())
    assert ran == []


def test_text_of_an_authentication_error_reaches_the_client() -> None:
    """As bRPC's GetUnauthorizedErrorText."""

    class Expired(Verdict):
        def verify_credential(self, credential: bytes, client: Endpoint) -> Any:
            raise AuthenticationError(f"{credential.decode()} has expired")

    with serving(auth=Expired(None)) as peer:
        answer = peer.call(credential=GOOD)
        assert answer.error_code == ErrorCode.ERPCAUTH
        assert answer.error_text == "Fail to authenticate: secret-token has expired"
        assert peer.read_to_end() == b""


def with_a_bad_attachment_size(good: RpcRequest) -> bytes:
    """The frame of `good`, the attachment of which is said to be larger than all of it."""
    frame = bytearray(packed(good))
    meta_size = int.from_bytes(frame[8:12], "big")
    attachment_size = b"\x28\xe8\x07"
    frame[12 + meta_size : 12 + meta_size] = attachment_size
    frame[4:8] = (int.from_bytes(frame[4:8], "big") + 3).to_bytes(4, "big")
    frame[8:12] = (meta_size + 3).to_bytes(4, "big")
    return bytes(frame)


@pytest.mark.parametrize("credential", [None, b"wrong"])
def test_bad_first_message_with_a_bad_credential_is_refused_for_that(
    credential: bytes | None,
) -> None:
    with serving(auth=TokenAuth()) as peer:
        peer.sock.sendall(with_a_bad_attachment_size(request(7, credential=credential)))
        assert peer.read_answer().error_code == ErrorCode.ERPCAUTH
        assert peer.read_to_end() == b""


def test_bad_first_message_with_a_good_credential_opens_the_connection() -> None:
    """As in C++, where the credential is verified before the rest is looked at."""
    auth = TokenAuth()
    with serving(whoami, auth=auth) as peer:
        peer.sock.sendall(with_a_bad_attachment_size(request(7, credential=GOOD)))
        assert peer.read_answer().error_code == ErrorCode.EREQUEST
        assert text_of(peer.call()) == "alice"
    assert len(auth.judged) == 1


@pytest.mark.parametrize(
    ("credential", "code"), [(GOOD, ErrorCode.EREQUEST), (b"wrong", ErrorCode.ERPCAUTH)]
)
def test_credential_of_a_first_message_over_the_limit_is_verified_first(
    credential: bytes, code: int
) -> None:
    with serving(auth=TokenAuth(), max_body_size=1000) as peer:
        peer.send(request(7, credential=credential, message="x" * 2000))
        assert peer.read_answer().error_code == code
        assert peer.read_to_end() == b""


def test_first_message_that_is_a_response_has_no_credential() -> None:
    with serving(auth=TokenAuth()) as peer:
        peer.sock.sendall(bytes(BAIDU_STD.pack_response(RpcResponse(7))))
        assert peer.read_answer().error_code == ErrorCode.ERPCAUTH
        assert peer.read_to_end() == b""


@pytest.mark.parametrize(
    "raised", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, Failed]
)
@pytest.mark.parametrize("logging_raises", [False, True])
def test_client_is_refused_whatever_the_verifier_raises(
    raised: type[BaseException], logging_raises: bool
) -> None:
    class Odd(TokenAuth):
        def verify_credential(self, credential: bytes, client: Endpoint) -> AuthContext | None:
            super().verify_credential(credential, client)
            raise raised

    def refuse(record: logging.LogRecord) -> bool:
        raise raised

    logger, auth = logging.getLogger("pybrpc.server"), Odd()
    if logging_raises:
        logger.addFilter(refuse)
    try:
        with serving(auth=auth) as peer:
            peer.send(request(7, credential=GOOD), request(8, credential=GOOD))
            answer = peer.read_answer()
            assert (answer.correlation_id, answer.error_code) == (7, ErrorCode.ERPCAUTH)
            assert peer.read_to_end() == b""
    finally:
        logger.removeFilter(refuse)
    assert len(auth.judged) == 1


def test_server_in_a_loop_checks_credentials_too() -> None:
    def talk(endpoint: Any) -> None:
        with RawPeer(endpoint) as peer, RawPeer(endpoint) as refused:
            assert text_of(peer.call(credential=GOOD)) == "alice"
            assert refused.call().error_code == ErrorCode.ERPCAUTH
            assert refused.read_to_end() == b""

    async def run() -> None:
        async with make_server(as_async(whoami), auth=TokenAuth()) as server:
            await asyncio.to_thread(talk, start(server))

    asyncio.run(run())


@pytest.mark.parametrize("auth", ["secret", AsyncVerdict(None)], ids=["str", "async"])
def test_server_refuses_auth_that_is_no_authenticator(auth: Any) -> None:
    with pytest.raises(TypeError, match="auth must be an Authenticator"):
        Server(auth=auth)
