"""Credentials of a client's connections: who carries one, and what becomes of those that are
refused or can't be made. bRPC: authentication."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import AuthenticationError, ErrorCode, Phase, RpcError
from pybrpc.protocols.message import RpcRequest
from pybrpc.rpc.authenticator import AuthContext
from tests.peers.callers import FORMS, LOOPS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.forgetful import echo_in_batches
from tests.peers.passwords import Password
from tests.peers.scripted_server import Peer, ScriptedServer, echo
from tests.protos import conformance_pb2 as pb

every_form = pytest.mark.parametrize("form", FORMS)
every_loop = pytest.mark.parametrize("loop", LOOPS)


class Tokens:
    """An Authenticator whose n-th credential is b"token n"; the server believes the good ones."""

    def __init__(self, is_good: Callable[[int], bool] = lambda number: True) -> None:
        self.made = 0
        self._is_good = is_good

    def generate_credential(self) -> bytes:
        self.made += 1
        return b"token %d" % self.made

    def verify_credential(self, credential: bytes, client: pybrpc.Endpoint) -> AuthContext | None:
        word, _, number = credential.partition(b" ")
        if word != b"token" or not self._is_good(int(number)):
            raise PermissionError("not one of ours")
        return AuthContext(user=number.decode())


def refuse(peer: Peer) -> None:
    """Refuse a credential as servers do: send an error, then close."""
    request = peer.read_request()
    if request is not None:
        peer.answer(
            request, error_code=ErrorCode.ERPCAUTH, error_text="Fail to authenticate", body=b""
        )


def credentials(requests: list[RpcRequest]) -> list[bytes | None]:
    return [request.credential for request in requests]


@every_form
def test_first_request_of_a_connection_carries_the_credential(form: str) -> None:
    auth = Tokens()
    with ScriptedServer() as server, caller(form, server.address, auth=auth) as client:
        for i in range(3):
            assert client.call(echo_request(str(i))).message == str(i)
        assert client.call_many([echo_request(str(i)) for i in range(5)])
    assert credentials(server.requests) == [b"token 1", *[None] * 7]
    assert auth.made == 1


@every_form
def test_each_connection_has_its_own(form: str) -> None:
    """A retry over a new connection carries another one, with the attachment."""

    def break_down(peer: Peer) -> None:
        peer.expect_request()

    auth = Tokens()
    controller = pybrpc.Controller()
    controller.request_attachment.append(b"attached")
    controller.request_user_fields["who"] = "me"
    with ScriptedServer(break_down, break_down, echo) as server:
        with caller(form, server.address, auth=auth) as client:
            client.call(echo_request("a"), controller=controller)
    assert credentials(server.requests) == [b"token 1", b"token 2", b"token 3"]
    for request in server.requests:
        assert request.attachment == b"attached"
        assert request.user_fields == {"who": "me"}


def test_many_threads_on_a_fresh_connection_have_one_fight() -> None:
    """bRPC: BrpcSocketTest.authentication: of 64 at once exactly one wins."""
    count = 64
    auth = Tokens()
    everybody = threading.Barrier(count)
    ends: list[object] = []

    def call(i: int) -> None:
        everybody.wait()
        ends.append(stub.Echo(echo_request(str(i))).message)

    with ScriptedServer() as server:
        with pybrpc.Channel(server.address, timeout=60, auth=auth) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            threads = [threading.Thread(target=call, args=(i,)) for i in range(count)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert sorted(ends) == sorted(map(str, range(count)))
    assert auth.made == server.connections == 1
    assert credentials(server.requests) == [b"token 1", *[None] * (count - 1)]


@pytest.mark.slow
def test_ten_threads_many_calls_one_credential() -> None:
    """bRPC: multiple_threads_single_channel, with authentication."""
    auth = Tokens()
    failures: list[object] = []

    def call() -> None:
        try:
            for i in range(1000):
                assert stub.Echo(echo_request(str(i))).message == str(i)
        except BaseException as error:
            failures.append(error)

    with ScriptedServer(echo_in_batches) as server:
        with pybrpc.Channel(server.address, timeout=60, auth=auth) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            threads = [threading.Thread(target=call) for _ in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert failures == []
    assert auth.made == server.connections == 1


def test_refusal_fails_every_call_on_the_connection() -> None:
    """64 threads: each call fails, none is retried; one credential for each connection."""
    count = 64
    auth = Tokens()
    everybody = threading.Barrier(count)
    ends: list[object] = []

    def call() -> None:
        everybody.wait()
        try:
            ends.append(stub.Echo(echo_request()))
        except RpcError as error:
            ends.append(error)

    with ScriptedServer(refuse) as server:
        with pybrpc.Channel(server.address, timeout=60, auth=auth) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            threads = [threading.Thread(target=call) for _ in range(count)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert [type(end) for end in ends] == [AuthenticationError] * count
    assert {end.code for end in ends} == {ErrorCode.ERPCAUTH}  # type: ignore[attr-defined]
    assert auth.made == server.connections
    assert all(request.credential for request in server.requests)


@every_loop
def test_refusal_reaches_those_behind_it(loop: str) -> None:
    """All on one connection, since one loop has called them all in one turn."""

    async def main() -> list[Any]:
        async with pybrpc.aio.Channel(server.address, timeout=60, auth=auth) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            futures = [stub.Echo(echo_request(str(i))) for i in range(64)]
            return await asyncio.gather(*futures, return_exceptions=True)

    auth = Tokens()
    with ScriptedServer(refuse) as server, asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        ends = runner.run(main())
    assert {type(end) for end in ends} == {AuthenticationError}
    assert {end.is_remote for end in ends} == {True}
    assert "Fail to authenticate" in ends[0].text
    assert auth.made == server.connections == 1


@every_form
def test_refused_connection_is_given_up_and_the_next_call_fights_anew(form: str) -> None:
    auth = Tokens()
    controller = pybrpc.Controller()
    with (
        ScriptedServer(refuse, echo) as server,
        caller(form, server.address, auth=auth) as client,
    ):
        with pytest.raises(AuthenticationError) as caught:
            client.call(echo_request(), controller=controller)
        assert client.call(echo_request("next")).message == "next"
    error = caught.value
    assert (error.code, error.phase, error.is_remote) == (ErrorCode.ERPCAUTH, Phase.SERVER, True)
    assert error.text == controller.error_text == "[E1004]Fail to authenticate"
    assert controller.retried_count == 0
    assert credentials(server.requests) == [b"token 1", b"token 2"]


@every_form
def test_handlers_own_refusal_of_a_later_request_is_no_verdict_on_the_connection(form: str) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        peer.answer(peer.expect_request(), error_code=ErrorCode.ERPCAUTH, error_text="not you")
        peer.echo_until_closed()

    with ScriptedServer(script) as server, caller(form, server.address, auth=Tokens()) as client:
        client.call(echo_request())
        with pytest.raises(AuthenticationError):
            client.call(echo_request())
        assert client.call(echo_request("next")).message == "next"
    assert server.connections == 1


class Broken:
    """An Authenticator that gives what it is told to, or raises it."""

    def __init__(self, *results: object) -> None:
        self._results = list(results)
        self.asked = 0

    def generate_credential(self) -> bytes:
        self.asked += 1
        result = self._results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result  # type: ignore[return-value]

    def verify_credential(self, credential: bytes, client: object) -> None:
        raise NotImplementedError


BAD = {
    "raises": (RuntimeError("vault is sealed"), r"RuntimeError\('vault is sealed'\)"),
    "str": ("secret", "a str is not bytes"),
    "None": (None, "a NoneType is not bytes"),
    "bytearray": (bytearray(b"x"), "a bytearray is not bytes"),
}


@every_form
@pytest.mark.parametrize("bad", BAD)
def test_authenticator_that_fails_fails_the_call(form: str, bad: str) -> None:
    result, text = BAD[bad]
    auth = Broken(result, b"good")
    with ScriptedServer() as server, caller(form, server.address, auth=auth) as client:
        with pytest.raises(
            AuthenticationError, match=f"Fail to generate a credential: {text}"
        ) as e:
            client.call(echo_request())
        assert (e.value.code, e.value.is_remote) == (ErrorCode.ERPCAUTH, False)
        assert e.value.phase is Phase.QUEUED
        assert isinstance(e.value.__cause__, RuntimeError) == (bad == "raises")
        assert auth.asked == 1, "it is not asked again for the same call"
        assert client.call(echo_request("next")).message == "next"
        assert client.statistics().in_flight == 0
    assert credentials(server.requests) == [b"good"]


@every_loop
def test_authenticator_that_fails_fails_everybody_on_the_connection(loop: str) -> None:
    async def main() -> list[Any]:
        async with pybrpc.aio.Channel(server.address, timeout=60, auth=auth) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            futures = [stub.Echo(echo_request(str(i))) for i in range(300)]
            ends = await asyncio.gather(*futures, return_exceptions=True)
            assert channel.statistics() is not None
            assert (await stub.Echo(echo_request("next"))).message == "next"
            return ends

    auth = Broken(RuntimeError("sealed"), b"good")
    with ScriptedServer() as server, asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        ends = runner.run(main())
    assert {type(end) for end in ends} == {AuthenticationError}
    assert len({id(end) for end in ends}) == 300, "each caller raises an error of its own"
    assert auth.asked == 2
    assert credentials(server.requests) == [b"good"]


@every_loop
def test_canceled_first_request_leaves_the_credential_to_the_next(loop: str) -> None:
    async def main() -> None:
        async with pybrpc.aio.Channel(server.address, timeout=60, auth=auth) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            futures = [stub.Echo(echo_request(str(i))) for i in range(5)]
            for future in futures[:3]:
                future.cancel()
            for i in (3, 4):
                assert (await futures[i]).message == str(i)

    auth = Tokens()
    with ScriptedServer() as server, asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())
    assert auth.made == 1
    assert credentials(server.requests) == [b"token 1", None]
    assert pb.EchoRequest.FromString(bytes(server.requests[0].body)).message == "3"


@every_loop
def test_request_is_sent_as_it_was_when_it_was_called(loop: str) -> None:
    """It is packed for good only when its turn comes, and its controller changes before."""

    async def main() -> None:
        async with pybrpc.aio.Channel(server.address, timeout=60, auth=Tokens()) as channel:
            controller = pybrpc.Controller(request_id="before")
            controller.request_attachment.append(b"before")
            controller.request_user_fields["when"] = "before"
            future = pybrpc.Stub(ECHO, channel).Echo(echo_request(), controller=controller)
            controller.request_attachment.append(b" and after")
            controller.request_user_fields["when"] = "after"
            controller.request_id = "after"
            await future

    with ScriptedServer() as server, asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())
    (request,) = server.requests
    assert (request.credential, request.request_id) == (b"token 1", "before")
    assert request.attachment == b"before"
    assert request.user_fields == {"when": "before"}


def test_senseless_request_takes_no_credential() -> None:
    controller = pybrpc.Controller()
    controller.request_user_fields["seven"] = 7  # type: ignore[assignment]
    auth = Tokens()
    with ScriptedServer() as server:
        with pybrpc.Channel(server.address, timeout=60, auth=auth) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            with pytest.raises(pybrpc.errors.BadRequestError):
                stub.Echo(echo_request(), controller=controller)
            assert auth.made == 0
            stub.Echo(echo_request())
    assert credentials(server.requests) == [b"token 1"]


@pytest.mark.parametrize(
    ("one", "other", "connections"),
    [
        (Password("a"), Password("a"), 1),
        (Password("a"), Password("b"), 2),
        (Password("a"), None, 2),
        (Tokens(), Tokens(), 2),
    ],
    ids=["equal", "not equal", "none", "not the same"],
)
def test_channels_with_equal_authenticators_share(one: Any, other: Any, connections: int) -> None:
    with ScriptedServer() as server:
        with (
            pybrpc.Channel(server.address, timeout=60, auth=one) as first,
            pybrpc.Channel(server.address, timeout=60, auth=other) as second,
        ):
            for channel in (first, second, first, second):
                pybrpc.Stub(ECHO, channel).Echo(echo_request())
    assert server.connections == connections


@pytest.mark.parametrize("channel_class", [pybrpc.Channel, pybrpc.aio.Channel])
def test_channel_refuses_what_is_no_authenticator(channel_class: type) -> None:
    with pytest.raises(TypeError, match="with a plain function generate_credential"):
        channel_class("127.0.0.1:1", auth="secret")
    unhashable = type("Unhashable", (Tokens,), {"__hash__": None})()
    with pytest.raises(TypeError, match="must define __hash__ too"):
        channel_class("127.0.0.1:1", auth=unhashable)


class Service:
    """Says who calls."""

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        context = controller.auth_context
        return pb.EchoResponse(message=f"{context.user} says {request.message}")

    Stream = Echo


@every_form
def test_real_server_believes_the_credential_for_the_whole_connection(form: str) -> None:
    auth = Tokens()
    server = pybrpc.Server(auth=auth)
    server.add_service(ECHO, Service())
    with server:
        address = str(server.start("127.0.0.1:0"))
        with caller(form, address, auth=auth) as client:
            for _ in range(3):
                assert client.call(echo_request("hello")).message == "1 says hello"
            many = client.call_many([echo_request(str(i)) for i in range(20)])
    assert [response.message for response in many] == [f"1 says {i}" for i in range(20)]
    assert auth.made == 1


@every_form
def test_real_server_refuses_the_credential(form: str) -> None:
    auth = Tokens(is_good=lambda number: number > 1)
    server = pybrpc.Server(auth=auth)
    server.add_service(ECHO, Service())
    with server:
        address = str(server.start("127.0.0.1:0"))
        with caller(form, address, auth=auth) as client:
            with pytest.raises(AuthenticationError, match="Fail to authenticate"):
                client.call(echo_request())
            assert client.call(echo_request("hello")).message == "2 says hello"


@pytest.mark.parametrize("threads", [64])
def test_real_server_refuses_many_at_once(threads: int) -> None:
    """Every call fails, no matter how far its request had come."""
    ends: list[object] = []
    everybody = threading.Barrier(threads)

    def call() -> None:
        everybody.wait()
        try:
            ends.append(stub.Echo(echo_request()))
        except RpcError as error:
            ends.append(error)

    auth = Tokens(is_good=lambda number: False)
    server = pybrpc.Server(auth=auth)
    server.add_service(ECHO, Service())
    with server:
        address = str(server.start("127.0.0.1:0"))
        with pybrpc.Channel(address, timeout=60, auth=auth) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            callers = [threading.Thread(target=call) for _ in range(threads)]
            for thread in callers:
                thread.start()
            for thread in callers:
                thread.join()
    assert [type(end) for end in ends] == [AuthenticationError] * threads
