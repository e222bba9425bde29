"""Channels in memory, sync and async: they behave as channels over TCP do."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    BadRequestError,
    ConnectError,
    LimitReachedError,
    NoMethodError,
    RpcTimeoutError,
    ServerStateError,
)
from pybrpc.protocols.registry import protocol_named
from pybrpc.protocols.traits import connection_types_of
from pybrpc.testing import FakeService, aio, assert_no_leaks, channel_for
from pybrpc.transport.memory_listeners import endpoints_in_memory
from tests.fakes.threads import WAIT_S
from tests.peers.forking import exit_code_of, fork
from tests.peers.raw_peer import SERVICE, EchoRequest, EchoResponse
from tests.peers.serving import EchoService, Gate, as_async, echo
from tests.peers.tls import NAME, Certificates
from tests.peers.typed_echo import EchoServiceAioStub, EchoServiceStub, TypedEcho

PROTOCOLS = [
    "baidu_std",
    "hulu_pbrpc",
    "sofa_pbrpc",
    "http",
    "http:proto",
    "http:proto-json",
    "http:proto-text",
]
HELLO = EchoRequest(message="hello")


def over_each_connection_type() -> list[tuple[str, str]]:
    return [
        (protocol, kind)
        for protocol in PROTOCOLS
        for kind in connection_types_of(protocol_named(protocol.partition(":")[0]))
    ]


@pytest.mark.parametrize(("protocol", "kind"), over_each_connection_type())
@pytest.mark.parametrize("is_async", [False, True])
def test_each_protocol_calls_over_each_type_of_connection(
    protocol: str, kind: Any, is_async: bool
) -> None:
    impl = EchoService(as_async(echo)) if is_async else EchoService()
    options: Any = {"protocol": protocol, "connection_type": kind, "timeout": WAIT_S}
    with assert_no_leaks(grace=WAIT_S), channel_for(SERVICE, impl, **options) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        assert [stub.Echo(HELLO).message for _ in range(3)] == ["hello"] * 3
        assert stub.Echo.future(HELLO).result(WAIT_S).message == "hello"

    async def call() -> None:
        async with assert_no_leaks(grace=WAIT_S), aio.channel_for(SERVICE, impl, **options) as one:
            stub = pybrpc.Stub(SERVICE, one)
            replies = await asyncio.gather(*(stub.Echo(HELLO) for _ in range(3)))
            assert [reply.message for reply in replies] == ["hello"] * 3

    asyncio.run(call())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_protocol_fails_as_over_tcp(protocol: str) -> None:
    def fail(request: Any, controller: pybrpc.Controller) -> Any:
        raise pybrpc.RpcError("no such user", code=20001)

    found = []
    with pybrpc.Server() as server:
        server.add_service(SERVICE, EchoService(fail))
        where = server.start("127.0.0.1:0")
        for make in (pybrpc.Channel(where, protocol=protocol), None):
            with make or channel_for(SERVICE, EchoService(fail), protocol=protocol) as channel:
                with pytest.raises(pybrpc.RpcError) as raised:
                    pybrpc.Stub(SERVICE, channel).Echo(HELLO, timeout=WAIT_S)
                error = raised.value
                found.append((type(error), error.code, error.message, error.phase))
    assert found[0] == found[1]
    assert found[0][1] == 20001


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_limit_of_a_response_and_of_a_request_hold(protocol: str) -> None:
    big = EchoRequest(message="x" * 100_000)
    with channel_for(SERVICE, EchoService(), protocol=protocol, max_body_size=1000) as channel:
        with pytest.raises(pybrpc.RpcError):
            pybrpc.Stub(SERVICE, channel).Echo(big, timeout=WAIT_S)
    options: Any = {"max_body_size": 1000}
    with channel_for(SERVICE, EchoService(), server_options=options, protocol=protocol) as channel:
        with pytest.raises(pybrpc.RpcError) as raised:
            pybrpc.Stub(SERVICE, channel).Echo(big, timeout=WAIT_S)
    assert not isinstance(raised.value, RpcTimeoutError)


def test_attachments_compression_checksums_and_user_fields_travel() -> None:
    def handle(request: Any, controller: pybrpc.Controller) -> Any:
        assert controller.request_compress_type == pybrpc.CompressType.GZIP
        controller.response_compress_type = pybrpc.CompressType.ZLIB
        controller.response_attachment.append(bytes(controller.request_attachment) * 2)
        controller.response_user_fields["who"] = controller.request_user_fields["who"]
        return EchoResponse(message=request.message, log_id=controller.log_id)

    controller = pybrpc.Controller(log_id=7)
    controller.request_attachment.append(b"big" * 100_000)
    controller.request_user_fields["who"] = "me"
    gzip = pybrpc.CompressType.GZIP
    crc32c = pybrpc.ChecksumType.CRC32C
    with channel_for(
        SERVICE, EchoService(handle), compress_type=gzip, checksum_type=crc32c
    ) as channel:
        reply = pybrpc.Stub(SERVICE, channel).Echo(HELLO, controller=controller, timeout=WAIT_S)
    assert (reply.message, reply.log_id) == ("hello", 7)
    assert bytes(controller.response_attachment) == b"big" * 200_000
    assert controller.response_user_fields == {"who": "me"}
    assert controller.response_compress_type == pybrpc.CompressType.ZLIB
    assert controller.remote_side == channel.endpoint


def test_streams_flow_both_ways() -> None:
    class Echoes(EchoService):
        def __init__(self) -> None:
            super().__init__(self.open)

        def open(self, request: Any, controller: pybrpc.Controller) -> Any:
            controller.accept_stream(body=self.body)
            return EchoResponse(message="welcome")

        def body(self, stream: Any) -> None:
            for message in stream:
                stream.send(message)

    with assert_no_leaks(grace=WAIT_S), channel_for(SERVICE, Echoes()) as channel:
        with pybrpc.Stub(SERVICE, channel).Echo.stream(HELLO, timeout=WAIT_S) as call:
            assert call.response.message == "welcome"
            for i in range(100):
                call.stream.send(b"%d" % i)
            assert [bytes(call.stream.recv(WAIT_S)) for _ in range(100)] == [
                b"%d" % i for i in range(100)
            ]


def test_deadline_ends_a_call_and_its_async_handler() -> None:
    ended = threading.Event()

    async def wait(request: Any, controller: pybrpc.Controller) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with assert_no_leaks(grace=WAIT_S), channel_for(SERVICE, EchoService(wait)) as channel:
        with pytest.raises(RpcTimeoutError):
            pybrpc.Stub(SERVICE, channel).Echo(HELLO, timeout=1)
        assert ended.wait(WAIT_S)


def test_cancelled_call_ends_at_once() -> None:
    fake = FakeService(SERVICE)
    fake.Echo.never_answers()
    with channel_for(fake, timeout=None) as channel:
        future = pybrpc.Stub(SERVICE, channel).Echo.future(HELLO)
        assert future.cancel()

    async def cancel() -> None:
        async with aio.channel_for(fake, timeout=None) as channel:
            call = pybrpc.Stub(SERVICE, channel).Echo(HELLO)
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    asyncio.run(cancel())


def test_interceptors_and_limits_of_server_and_channel_apply() -> None:
    seen: list[str] = []

    def note(side: str) -> Any:
        def intercept(call: pybrpc.InterceptedCall, proceed: Any) -> Any:
            seen.append(side)
            return proceed()

        return intercept

    gate = Gate()
    options: Any = {"interceptors": [note("server")], "max_concurrency": 1}
    with channel_for(
        SERVICE,
        EchoService(gate),
        server_options=options,
        interceptors=[note("client")],
        timeout=WAIT_S,
    ) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        first = stub.Echo.future(HELLO)
        gate.wait_entered()
        with pytest.raises(LimitReachedError):
            stub.Echo(HELLO)
        gate.open()
        assert first.result(WAIT_S).message == "hello"
    assert seen.count("client") == 2
    assert seen.count("server") == 1


def test_tls_and_credentials_work(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    server_options: Any = {"tls": certificates.server_tls()}
    tls = certificates.client_tls(server_name=NAME)
    with channel_for(SERVICE, EchoService(), server_options=server_options, tls=tls) as channel:
        assert pybrpc.Stub(SERVICE, channel).Echo(HELLO, timeout=WAIT_S).message == "hello"


def test_channel_in_memory_opens_no_port_and_listens_nowhere() -> None:
    with assert_no_leaks(), channel_for(SERVICE, EchoService()) as channel:
        assert pybrpc.Stub(SERVICE, channel).Echo(HELLO, timeout=WAIT_S).message == "hello"
        assert not channel.endpoint.has_port
        (connection,) = channel.server._run.connections
        sock = connection.socket._sock
        assert (sock.family, sock.getsockname()) == (socket.AF_UNIX, "")


def test_server_that_is_given_is_started_and_stopped_with_the_channel() -> None:
    server = pybrpc.Server()
    server.add_service(SERVICE, EchoService())
    for _ in range(2):
        with channel_for(server) as channel:
            assert server.is_running
            assert channel.server is server
            assert pybrpc.Stub(SERVICE, channel).Echo(HELLO, timeout=WAIT_S).message == "hello"
        assert not server.is_running


def test_server_that_runs_goes_on_after_the_channel() -> None:
    with pybrpc.Server() as server:
        server.add_service(SERVICE, EchoService())
        server.start("127.0.0.1:0")
        with channel_for(server) as channel:
            assert pybrpc.Stub(SERVICE, channel).Echo(HELLO, timeout=WAIT_S).message == "hello"
        assert server.is_running

    async def call() -> None:
        async with server:
            await server.start_async("127.0.0.1:0")
            async with aio.channel_for(server) as channel:
                reply = await pybrpc.Stub(SERVICE, channel).Echo(HELLO, timeout=WAIT_S)
                assert reply.message == "hello"
            assert server.is_running

    asyncio.run(call())


def test_calls_fail_once_the_server_has_stopped() -> None:
    with channel_for(SERVICE, EchoService()) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        stub.Echo(HELLO, timeout=WAIT_S)
        channel.server.stop(0)
        channel.server.join()
        with pytest.raises(ConnectError, match=r"ECONNREFUSED.*memory:"):
            stub.Echo(HELLO, timeout=WAIT_S)


def test_server_in_memory_comes_back_at_its_address() -> None:
    server = pybrpc.Server()
    server.add_service(SERVICE, EchoService())
    with server:
        where = server.start(pybrpc.Endpoint.in_memory("back-again"))
        with pybrpc.Channel(str(where), wait_for_ready=True, timeout=WAIT_S) as channel:
            stub = pybrpc.Stub(SERVICE, channel)
            stub.Echo(HELLO)
            server.stop(0)
            server.join()
            future = stub.Echo.future(HELLO)
            server.start(where)
            assert future.result(WAIT_S).message == "hello"


def test_several_servers_in_memory_are_a_cluster() -> None:
    servers = [pybrpc.Server() for _ in range(3)]
    for server in servers:
        server.add_service(SERVICE, EchoService())
    where = [str(server.start("memory:")) for server in servers]
    with pybrpc.Channel(where, load_balancer="rr", timeout=WAIT_S) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        for _ in range(6):
            stub.Echo(HELLO)
    assert all(server.statistics().requests for server in servers)
    for server in servers:
        server.stop()
        server.join()


def test_forked_child_can_not_call_and_leaves_the_parent_alone() -> None:
    with channel_for(SERVICE, EchoService(), max_retry=0) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        stub.Echo(HELLO, timeout=WAIT_S)

        def call() -> None:
            with pytest.raises(ConnectError, match="ECONNREFUSED"):
                stub.Echo(HELLO, timeout=WAIT_S)
            with channel_for(SERVICE, EchoService()) as own:
                assert pybrpc.Stub(SERVICE, own).Echo(HELLO, timeout=WAIT_S).message == "hello"

        assert exit_code_of(fork(call)) == 0
        assert stub.Echo(HELLO, timeout=WAIT_S).message == "hello"


def test_channel_and_server_may_be_closed_again() -> None:
    channel = channel_for(SERVICE, EchoService())
    channel.close()
    channel.close()
    assert not channel.server.is_running


def test_async_channel_serves_within_its_with() -> None:
    async def call() -> None:
        channel = aio.channel_for(SERVICE, EchoService())
        assert "open" in repr(channel)
        with pytest.raises(ConnectError, match="ECONNREFUSED"):
            await pybrpc.Stub(SERVICE, channel).Echo(HELLO)
        async with channel:
            assert channel.server.is_running
        assert not channel.server.is_running

    asyncio.run(call())


def test_object_of_a_generated_class_is_served_alone() -> None:
    with assert_no_leaks(grace=WAIT_S), channel_for(TypedEcho(), timeout=WAIT_S) as channel:
        assert EchoServiceStub(channel).Echo(HELLO).message == "hello"
        with pytest.raises(NoMethodError):
            EchoServiceStub(channel).Stream(HELLO)

    async def call() -> str:
        async with aio.channel_for(TypedEcho(), timeout=WAIT_S) as channel:
            reply = await EchoServiceAioStub(channel).Echo(HELLO)
            return str(reply.message)

    assert asyncio.run(call()) == "hello"


def test_object_of_a_generated_class_is_served_with_its_descriptor_too() -> None:
    with channel_for(SERVICE, TypedEcho(), timeout=WAIT_S) as channel:
        assert EchoServiceStub(channel).Echo(HELLO).message == "hello"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((EchoService(),), "an object of a class derived from a generated one; or a service and"),
        ((EchoService(), EchoService()), "or a FakeService, or a Server, not <"),
        ((EchoService,), "or a FakeService, or a Server, not <class"),
        ((TypedEcho,), r"TypedEcho is the class: pass an object, TypedEcho\(...\)"),
        ((TypedEcho(), EchoService()), r"pass TypedEcho\(...\) alone"),
        ((pybrpc.TypedService(),), "is derived from no class of protoc-gen-pybrpc"),
        ((SERVICE,), "needs the object that serves conformance.EchoService"),
        ((FakeService(SERVICE), EchoService()), "is the service and the object"),
        ((pybrpc.Server(), EchoService()), "give the server alone"),
    ],
)
def test_wrong_arguments_are_told(arguments: Any, text: str) -> None:
    for make in (channel_for, aio.channel_for):
        with pytest.raises(TypeError, match=text):
            make(*arguments)


def test_wrong_options_leave_no_server_behind() -> None:
    with assert_no_leaks():
        with pytest.raises(ValueError, match="timeout"):
            channel_for(SERVICE, EchoService(), timeout=-1)
        with pytest.raises(ValueError, match="max_workers"):
            channel_for(SERVICE, EchoService(), server_options={"max_workers": 0})


def test_server_in_memory_refuses_what_needs_a_port() -> None:
    server = pybrpc.Server(internal_port=0)
    with pytest.raises(pybrpc.errors.ListenError, match="needs a server on a TCP port"):
        server.start("memory:")
    registered = pybrpc.Server()
    registered.add_service(SERVICE, EchoService())
    assert not server.is_running
    with pytest.raises(ServerStateError):
        _ = registered.endpoint


def test_error_of_a_request_that_is_none_is_raised_before_it_is_sent() -> None:
    with channel_for(SERVICE, EchoService()) as channel:
        with pytest.raises(BadRequestError):
            pybrpc.Stub(SERVICE, channel).Echo(EchoResponse(message="wrong type"))
    assert channel.server.statistics().requests == 0


@pytest.mark.parametrize("turns", range(6))
def test_server_ends_also_if_the_end_of_the_block_is_canceled(turns: int) -> None:
    """At any of its awaits, and with a handler that would run for ever."""
    fake = FakeService(SERVICE)
    fake.Echo.never_answers()

    async def use(is_ending: asyncio.Event) -> None:
        async with aio.channel_for(fake, timeout=None) as channel:
            call = pybrpc.Stub(SERVICE, channel).Echo(EchoRequest(message="hello"))
            while not fake.calls:
                await asyncio.sleep(0.001)
            call.cancel()
            is_ending.set()

    async def cancel() -> None:
        is_ending = asyncio.Event()
        task = asyncio.create_task(use(is_ending))
        await is_ending.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while endpoints_in_memory():
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(cancel(), WAIT_S))
