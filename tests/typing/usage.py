"""The documented API as a program with types uses it. Never run: mypy and pyright check it.

Each `assert_type` says which type a user sees.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, BinaryIO, assert_type

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

import pybrpc
import pybrpc.naming
import pybrpc.redis
import pybrpc.rtmp
import pybrpc.server
from pybrpc import lowlevel, testing
from pybrpc.errors import ErrorCode, Phase
from pybrpc.streams import AioStream, Stream, TypedStream
from pybrpc.testing.faulty_proxy import FaultyProxy


class Service:
    """Handlers, plain and async."""

    def Echo(self, request: Message, controller: pybrpc.Controller) -> Message:
        assert_type(controller.deadline, float | None)
        assert_type(controller.is_canceled, bool)
        assert_type(controller.request_attachment, pybrpc.IOBuf)
        assert_type(controller.auth_context, pybrpc.AuthContext | None)
        controller.set_failed(ErrorCode.EINVAL, "no")
        controller.response_user_fields["key"] = "value"
        controller.response_attachment = b"bytes"
        raise pybrpc.RpcError("no such user", code=20001)

    async def Later(self, request: Message, controller: pybrpc.Controller) -> Message:
        with pybrpc.detached():
            return request


async def application(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """An application of ASGI."""
    assert_type(pybrpc.ServerSentEvent("data", event="a").to_bytes(), bytes)


class Token:
    """An Authenticator, by its methods alone."""

    def generate_credential(self) -> bytes:
        return b"token"

    def verify_credential(
        self, credential: bytes, client: pybrpc.Endpoint
    ) -> pybrpc.AuthContext | None:
        return pybrpc.AuthContext(user="alice")


def serve(service: ServiceDescriptor) -> None:
    with pybrpc.Server(auth=Token(), max_workers=4) as server:
        server.add_service(service, Service())
        server.set_method_options("a.S.Echo", enable_progressive_read=True)
        server.mount("/app", application, check_origin=False)

        @server.on_startup
        async def open_pools() -> None: ...

        @server.on_stopping
        def end_streams() -> None: ...

        server.set_max_concurrency("a.S.Echo", "auto")
        server.set_max_concurrency("a.S.Later", pybrpc.AdaptiveMaxConcurrency("10"))
        assert_type(server.is_stopping, bool)

        registration = server.register("etcd://127.0.0.1:2379/svc", "10.0.0.1:8000 3", tag="")
        assert_type(registration, pybrpc.server.ServerRegistration)
        assert_type(registration.state, pybrpc.naming.RegistrationState)
        assert_type(registration.wait_registered(5), bool)
        endpoint = server.start("127.0.0.1:0")
        assert_type(endpoint, pybrpc.Endpoint)
        assert_type(endpoint.port, int)
        assert_type(server.statistics(), pybrpc.server.ServerStatistics)
        server.stop(grace=5)
        assert_type(server.join(1), bool)


def call(service: ServiceDescriptor, request: Message) -> None:
    policy = pybrpc.RetryPolicy(backoff=pybrpc.Backoff(first_s=0.1), may_have_run=False)
    tls = pybrpc.ClientTls(ca="ca.pem", alpn=["baidu_std"])
    with pybrpc.Channel("127.0.0.1:8000", timeout=0.5, retry_policy=policy, tls=tls) as channel:
        assert_type(channel, pybrpc.Channel)
        stub = pybrpc.Stub(service, channel)
        controller = pybrpc.Controller(log_id=42)
        controller.request_attachment.append(b"bytes")
        assert_type(stub.Echo(request, controller=controller, timeout=None), Any)
        assert_type(controller.latency_us, int)
        assert_type(controller.remote_side, pybrpc.Endpoint | None)
        try:
            stub.Echo(request)
        except pybrpc.errors.RpcTimeoutError as error:
            assert_type(error.code, int)
            assert_type(error.message, str)
            assert_type(error.phase, Phase | None)
        except pybrpc.RpcError as error:
            assert_type(error.is_remote, bool)
            assert_type(error.may_have_run, bool)


def record(request: pybrpc.RawRequest, controller: pybrpc.Controller) -> bytes:
    assert_type(request.service, str)
    assert_type(request.body, bytes)
    assert_type(request.method_index, int | None)
    return request.body


async def record_later(request: pybrpc.RawRequest, controller: pybrpc.Controller) -> pybrpc.IOBuf:
    return pybrpc.IOBuf(request.body)


def serve_any_method() -> None:
    server = pybrpc.Server()
    server.add_generic_service(record)
    server.add_generic_service(record_later)

    @server.add_generic_service
    def decorated(request: pybrpc.RawRequest, controller: pybrpc.Controller) -> bytearray:
        return bytearray(request.body)

    assert_type(record(pybrpc.RawRequest("a.S", "M", b""), pybrpc.Controller()), bytes)


def call_with_bytes(done: Callable[[bytes | None, pybrpc.RpcError | None], None]) -> None:
    with pybrpc.Channel("127.0.0.1:8000") as channel:
        method = channel.raw_method("example.EchoService", "Echo", is_idempotent=True)
        assert_type(method(b"body", timeout=1, controller=pybrpc.Controller()), bytes)
        assert_type(method(pybrpc.IOBuf(b"body")), bytes)
        assert_type(method.future(b"body"), concurrent.futures.Future[bytes])
        method.with_callback(bytearray(b"body"), done, timeout=None)


async def call_with_bytes_in_a_loop() -> None:
    async with pybrpc.aio.Channel("127.0.0.1:8000") as channel:
        method = channel.raw_method("example.EchoService", "", index=3)
        assert_type(await method(b"body"), bytes)
        assert_type(await asyncio.gather(method(b"a"), method(b"b")), tuple[bytes, bytes])


async def call_in_a_loop(service: ServiceDescriptor, request: Message) -> None:
    async with pybrpc.aio.Channel("unix:/run/echo.sock") as channel:
        assert_type(channel, pybrpc.aio.Channel)
        stub = pybrpc.Stub(service, channel)
        replies = await asyncio.gather(*(stub.Echo(request) for _ in range(3)))
        assert_type(replies, list[Any])


class StreamingService:
    """Handlers that accept streams."""

    def Echo(self, request: Message, controller: pybrpc.Controller) -> Message:
        options = pybrpc.StreamOptions(max_buf_size=1 << 20, on_closed=self.on_closed)
        stream: Stream = controller.accept_stream(options, body=self.body)
        controller.accept_stream(self.body)  # type: ignore[arg-type]
        assert_type(stream.unread_bytes, int)
        assert_type(stream.failure, pybrpc.RpcError | None)
        return request

    def body(self, stream: Stream) -> None:
        for message in stream:
            assert_type(message, bytes)
            stream.send(message)

    def on_closed(self, stream: Stream, error: pybrpc.RpcError | None) -> None: ...


def use_streams(stream: Stream, message: Empty) -> None:
    stream.send(bytearray(b"bytes"), timeout=1)
    stream.send_many([b"a", pybrpc.IOBuf(b"b")])
    assert_type(stream.recv(timeout=0.5), bytes)
    assert_type(list(stream.batches(10)), list[list[bytes]])
    assert_type(stream.wait_closed(), pybrpc.RpcError | None)
    typed = stream.of(Empty)
    assert_type(typed, TypedStream[Empty])
    typed.send(message)
    assert_type(typed.recv(), Empty)


async def use_streams_in_a_loop(stream: AioStream) -> None:
    await stream.send(b"bytes", timeout=1)
    assert_type(await stream.recv(), bytes)
    async for batch in stream.batches():
        assert_type(batch, list[bytes])
    async for message in stream.of(Empty):
        assert_type(message, Empty)
    await stream.close(timeout=1)


def use_redis() -> None:
    with pybrpc.redis.RedisChannel("127.0.0.1:6379", password="secret", db=1) as channel:
        channel.execute("SET", "key", "value", timeout=1)
        request = pybrpc.redis.RedisRequest().add("INCR", "n").add("GET", "key")
        response = channel.call(request)
        assert_type(response, pybrpc.redis.RedisResponse)
        future = channel.future(request)
        assert_type(future, concurrent.futures.Future[pybrpc.redis.RedisResponse])


async def use_redis_in_a_loop() -> None:
    async with pybrpc.redis.aio.RedisChannel("127.0.0.1:6379") as channel:
        response = await channel.call(pybrpc.redis.RedisRequest().add("PING"))
        assert_type(response, pybrpc.redis.RedisResponse)
        response.raise_for_error()


class User(lowlevel.SocketUser):
    """The user of a socket."""

    def on_connected(self, socket: lowlevel.Socket) -> None:
        socket.start_write(pybrpc.IOBuf(b"hello"), notify_on_success=True)


def use_files_of_rtmp(stream: pybrpc.rtmp.RtmpStream, file: BinaryIO, copy: BinaryIO) -> None:
    writer = pybrpc.rtmp.FlvWriter(copy)
    for frame in pybrpc.rtmp.FlvReader(file):
        assert_type(frame, pybrpc.rtmp.Frame)
        stream.send(frame)
        writer.write(frame)


def intercept(call: pybrpc.InterceptedCall, proceed: Callable[..., Any]) -> Any:
    assert_type(call.metadata, dict[str, str])
    assert_type(call.peer, pybrpc.Endpoint | None)
    return proceed()


def use_interceptors() -> None:
    pybrpc.Server(interceptors=[intercept], access_log=pybrpc.AccessLog(format="json"))
    pybrpc.Channel("127.0.0.1:8000", interceptors=[intercept])


def use_the_tools() -> None:
    with FaultyProxy("127.0.0.1:8000") as proxy:
        print(proxy)
    assert_type(pybrpc.__version__, str)
    assert_type(pybrpc.errors.error_name(1008), str)


# --- what must be refused: without an error here, the comment would be one ---


def use_the_test_kit(service: ServiceDescriptor, request: Message, response: Message) -> None:
    fake = testing.FakeService(service)
    fake.Echo.answers(response).takes(0.1)
    assert_type(fake.Echo, testing.FakeMethod)
    with testing.assert_no_leaks(), testing.fake_clock() as clock:
        with testing.channel_for(fake, timeout=1, server_options={"max_workers": 1}) as channel:
            assert_type(channel, testing.InMemoryChannel)
            assert_type(channel.server, pybrpc.Server)
            pybrpc.Stub(service, channel)
        clock.advance(1, steps=2)

    def script(peer: testing.ScriptedPeer) -> None:
        peer.answer(peer.expect_request(), response)

    with testing.ScriptedServer(script, protocol="hulu_pbrpc") as server:
        assert_type(server.address, str)


async def use_the_test_kit_in_a_loop(service: ServiceDescriptor) -> None:
    async with testing.assert_no_leaks(), testing.aio.channel_for(service, Service()) as channel:
        assert_type(channel, testing.aio.InMemoryChannel)


def misuse(service: ServiceDescriptor) -> None:
    pybrpc.Channel("127.0.0.1:8000", no_such_option=1)  # type: ignore[call-arg]
    pybrpc.Channel("127.0.0.1:8000", timeout="soon")  # type: ignore[arg-type]
    pybrpc.rtmp.RtmpClient("host/app", timeout=1)  # type: ignore[arg-type]
    pybrpc.Server(max_workers="4")  # type: ignore[arg-type]
    pybrpc.Server(access_log="json")  # type: ignore[arg-type]
    pybrpc.Channel("127.0.0.1:8000", interceptors=intercept)  # type: ignore[arg-type]
    pybrpc.Stub(service, "127.0.0.1:8000")  # type: ignore[arg-type]
    pybrpc.Channel("127.0.0.1:8000").raw_method("a.S", "M")("text")  # type: ignore[arg-type]
    pybrpc.Server().add_generic_service(lambda request, controller: "text")  # type: ignore[type-var]
    print(pybrpc.Controller().no_such_attribute)  # type: ignore[attr-defined]
    pybrpc.Server(max_concurrency="atuo")  # type: ignore[arg-type]
    pybrpc.Server().set_max_concurrency("a.S.M", "atuo")  # type: ignore[arg-type]
    pybrpc.Channel("127.0.0.1:8000", connection_type="polled")  # type: ignore[arg-type]
    pybrpc.Channel("127.0.0.1:8000", compress_type="gzip")  # type: ignore[arg-type]
    pybrpc.AccessLog(format="yaml")  # type: ignore[arg-type]
    pybrpc.server.Supervisor("app:make_server", loop="trio")  # type: ignore[arg-type]
    pybrpc.server.Supervisor("app:make_server", log_level="loud")  # type: ignore[arg-type]
    pybrpc.rtmp.RtmpClient("rtmp://host/app").publish("name", mode="store")  # type: ignore[arg-type]
    pybrpc.Channel("127.0.0.1:8000", checksum_type="crc32c")  # type: ignore[arg-type]


def misuse_as_in_other_libraries(controller: pybrpc.Controller) -> None:
    """Names that a Controller refuses with a hint when the program runs."""
    controller.peer()  # type: ignore[attr-defined]
    controller.abort(5, "text")  # type: ignore[attr-defined]
    print(controller.metadata)  # type: ignore[attr-defined]
    print(controller.user_fields["key"])  # type: ignore[attr-defined]
    controller.timeout = 3  # type: ignore[attr-defined]
    controller.SetFailed(5, "text")  # type: ignore[attr-defined]


async def misuse_as_with_threads(channel: pybrpc.aio.Channel) -> None:
    """Names of a blocking stub."""
    method = channel.raw_method("a.S", "M")
    method.future(b"body")  # type: ignore[attr-defined]
    method.with_callback(b"body", print)  # type: ignore[attr-defined]


def plain_http(channel: pybrpc.Channel, controller: pybrpc.Controller) -> None:
    response = channel.http("GET", "/", headers={"A": "b"}, controller=controller)
    assert_type(response, pybrpc.HttpResponse)
    assert_type(response.status, int)
    assert_type(response.headers, pybrpc.HttpHeaders)
    assert_type(response.body, bytes)
    assert_type(controller.http_request, pybrpc.HttpHeader)
    assert_type(controller.http_response.status_code, int)
    controller.http_request.uri = "/path"
    with channel.http("POST", "/", body=iter([b"a"]), stream=True) as streamed:
        assert_type(streamed, pybrpc.HttpStreamResponse[pybrpc.HttpBody])
        for part in streamed.body:
            assert_type(part, bytes)


async def plain_http_of_a_task(channel: pybrpc.aio.Channel) -> None:
    assert_type(await channel.http("GET", "/"), pybrpc.HttpResponse)
    async with channel.http("GET", "/", stream=True) as streamed:
        async for part in streamed.body:
            assert_type(part, bytes)
        assert_type(await streamed.body.read(), bytes)
