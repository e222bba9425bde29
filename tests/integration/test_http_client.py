"""Stubs and raw methods over HTTP/1.1, in all forms of calling.

bRPC's cases are in test/brpc_http_rpc_protocol_unittest.cpp: process_response_error_code,
complete_flow, spring_protobuf_content_type, proto_text_content_type, proto_json_content_type,
grpc_auth_failed_response (of HTTP/1 here).
"""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, empty_pb2

import pybrpc
from pybrpc.errors import (
    AuthenticationError,
    BadRequestError,
    BadResponseError,
    HttpError,
    NoMethodError,
    ServerStoppingError,
)
from pybrpc.json2pb import message_to_json, message_to_text
from pybrpc.rpc.http_bodies import HttpContentType
from tests.fakes.threads import wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.http_scripts import Request, answer, answering, echo_answer, http_server, saying
from tests.peers.scripted_server import ScriptedServerOn, reserved_port
from tests.protos import conformance_pb2 as pb

JSON = "application/json"


def channel(address: str, protocol: str = "http", **options: Any) -> pybrpc.Channel:
    return pybrpc.Channel(address, protocol=protocol, timeout=30, **options)


def echo_of(address: str, **options: Any) -> Any:
    with channel(address, **options) as each:
        return pybrpc.Stub(ECHO, each).Echo(echo_request("hello"))


def test_blocking_calls_use_one_connection_again() -> None:
    with http_server() as server, channel(server.address) as each:
        stub = pybrpc.Stub(ECHO, each)
        for text in ("one", "two", "three"):
            assert stub.Echo(echo_request(text)).message == text
        statistics = each.endpoint_statistics()
        assert statistics is not None
        assert (statistics.created, statistics.idle) == (1, 1)


def test_futures_and_callbacks() -> None:
    with http_server() as server, channel(server.address) as each:
        stub = pybrpc.Stub(ECHO, each)
        futures = [stub.Echo.future(echo_request(str(number))) for number in range(20)]
        assert [future.result().message for future in futures] == [str(n) for n in range(20)]
        done = threading.Event()
        seen: list[Any] = []

        def on_done(response: Any, error: Any) -> None:
            seen.append((response.message, error))
            done.set()

        stub.Echo.with_callback(echo_request("called"), on_done)
        assert done.wait(30)
        assert seen == [("called", None)]


@pytest.mark.parametrize("share_with_threads", [False, True])
def test_asyncio(share_with_threads: bool) -> None:
    async def calls(address: str) -> list[str]:
        async with pybrpc.aio.Channel(
            address, protocol="http", timeout=30, share_with_threads=share_with_threads
        ) as each:
            stub = pybrpc.Stub(ECHO, each)
            replies = await asyncio.gather(*(stub.Echo(echo_request(str(n))) for n in range(20)))
            return [reply.message for reply in replies]

    with http_server() as server:
        assert asyncio.run(calls(server.address)) == [str(number) for number in range(20)]


def test_request_has_the_headers_of_brpc() -> None:
    seen: list[Request] = []

    def make(request: Request) -> bytes:
        seen.append(request)
        return echo_answer(request)

    with http_server(answering(make)) as server, channel(server.address) as each:
        controller = pybrpc.Controller(log_id=-1, request_id="a b")
        controller.http_request.headers["X-Own"] = "1"
        controller.http_request.uri = "/ignored?query=1"
        pybrpc.Stub(ECHO, each).Echo(echo_request(), controller=controller)
        address = server.address
    (request,) = seen
    assert (request.head.method, request.head.target) == (
        "POST",
        "/conformance.EchoService/Echo?query=1",
    )
    assert dict(request.headers.lower_fields()) == {
        "content-length": str(len(request.body)),
        "host": address,
        "content-type": JSON,
        "accept": "*/*",
        "user-agent": "brpc/1.0 curl/7.0",
        "log-id": str(2**64 - 1),
        "x-request-id": "a b",
        "x-own": "1",
    }
    assert (
        controller.http_request.headers == {"X-Own": "1"}
        or len(controller.http_request.headers) == 1
    ), "what the caller has set is not changed"
    assert (controller.http_response.status_code, controller.error_code) == (200, 0)


@pytest.mark.parametrize(
    ("protocol", "content_type"),
    [
        ("http", JSON),
        ("http:json", JSON),
        ("http:proto", "application/proto"),
        ("http:proto-json", "application/proto-json"),
        ("http:proto-text", "application/proto-text"),
    ],
)
def test_protocol_decides_how_messages_are_sent(protocol: str, content_type: str) -> None:
    """Also bRPC's proto_text_content_type and proto_json_content_type."""

    def make(request: Request) -> bytes:
        assert request.headers.content_type == content_type
        body = request.body
        if content_type == "application/proto":
            assert pb.EchoRequest.FromString(body).message == "hello"
            body = pb.EchoResponse(message="hello").SerializeToString()
        elif content_type == "application/proto-text":
            body = message_to_text(pb.EchoResponse(message="hello"))
        return answer(body, content_type=f"{content_type}; charset=utf-8")

    with http_server(answering(make)) as server:
        assert echo_of(server.address, protocol=protocol).message == "hello"


def test_content_type_of_one_call() -> None:
    def make(request: Request) -> bytes:
        assert pb.EchoRequest.FromString(request.body).message == "hello"
        return answer(b'{"message": "read"}', content_type=JSON)

    with http_server(answering(make)) as server, channel(server.address) as each:
        controller = pybrpc.Controller()
        controller.http_request.content_type = "application/x-protobuf"
        stub = pybrpc.Stub(ECHO, each)
        assert stub.Echo(echo_request("hello"), controller=controller).message == "read"
        controller.http_request.content_type = "text/html"
        with pytest.raises(BadRequestError, match="no message can be sent with the Content-Type"):
            stub.Echo(echo_request("hello"), controller=controller)


def test_spring_protobuf_content_type() -> None:
    body = pb.EchoResponse(message="spring").SerializeToString()
    said = answer(body, content_type="application/x-protobuf;charset=UTF-8")
    with http_server(saying(said)) as server:
        assert echo_of(server.address).message == "spring"


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (answer(b"<html>", content_type="text/html"), "the Content-Type 'text/html'"),
        (answer(b"{}"), "the Content-Type ''"),
        (answer(b"{", content_type=JSON), "Fail to parse the response as conformance.EchoResponse"),
        (answer(b"\xff", content_type="application/proto"), "no such message of protobuf"),
        (answer(b"x", content_type=JSON, content_encoding="gzip"), "cut short"),
        (answer(b"x", content_type=JSON, content_encoding="br"), "'br' is not supported"),
    ],
)
def test_response_that_is_no_such_message(said: bytes, text: str) -> None:
    with http_server(saying(said)) as server, pytest.raises(BadResponseError, match=text):
        echo_of(server.address)


def test_status_is_the_error_of_a_stub() -> None:
    said = answer(b"no such thing" + bytes(5000), "404 Not Found", content_type="text/plain")
    with http_server(saying(said)) as server, channel(server.address) as each:
        controller = pybrpc.Controller()
        with pytest.raises(HttpError) as raised:
            pybrpc.Stub(ECHO, each).Echo(echo_request(), controller=controller)
    error = raised.value
    assert (error.name, error.is_remote, error.phase) == ("EHTTP", True, pybrpc.errors.Phase.SERVER)
    assert "HTTP/1.1 404 Not Found: no such thing" in error.text
    assert len(error.remote_text) == 2048
    assert (controller.error_code, controller.http_response.status_code) == (error.code, 404)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("1002", NoMethodError), ("2003", ServerStoppingError), ("77777", pybrpc.RpcError)],
)
def test_error_code_in_the_header_counts(code: str, kind: type[Exception]) -> None:
    """bRPC's process_response_error_code; C++ needs -use_http_error_code for it."""
    said = answer(b"[10.0.0.1:80][E1002]why", "500 Internal Server Error", x_bd_error_code=code)
    with http_server(saying(said)) as server, pytest.raises(kind) as raised:
        echo_of(server.address, max_retry=0)
    assert raised.value.code == int(code)  # type: ignore[attr-defined]
    assert "why" in str(raised.value)


@pytest.mark.parametrize("code", ["0", "x", "-1", "99999999999", "4294967296"])
def test_error_code_that_is_none_does_not_count(code: str) -> None:
    said = answer(b"", "503 Later", x_bd_error_code=code)
    with http_server(saying(said)) as server, pytest.raises(HttpError, match="503 Later"):
        echo_of(server.address)


def test_call_is_sent_again_if_the_server_stops() -> None:
    stopping = answer(b"", "503 Later", x_bd_error_code="2003")
    with http_server(saying(stopping), answering(echo_answer)) as server:
        assert echo_of(server.address).message == "hello"
        assert server.connections == 2


def test_gzip_both_ways() -> None:
    def make(request: Request) -> bytes:
        assert request.headers["content-encoding"] == "gzip"
        message = json.loads(gzip.decompress(request.body))["message"]
        body = gzip.compress(json.dumps({"message": message}).encode())
        return answer(body, content_type=JSON, content_encoding="gzip")

    long = "long " * 1000
    with http_server(answering(make)) as server:
        gzipped = {"compress_type": pybrpc.CompressType.GZIP}
        with channel(server.address, **gzipped) as each:
            controller = pybrpc.Controller()
            stub = pybrpc.Stub(ECHO, each)
            assert stub.Echo(echo_request(long), controller=controller).message == long
            assert controller.response_compress_type == pybrpc.CompressType.GZIP


def test_short_requests_are_not_compressed() -> None:
    with http_server() as server:
        assert echo_of(server.address, compress_type=pybrpc.CompressType.GZIP).message == "hello"


def test_gzip_of_a_response_is_bounded() -> None:
    body = gzip.compress(bytes(10_000_000))
    said = answer(body, content_type=JSON, content_encoding="gzip")
    with http_server(saying(said)) as server:
        with pytest.raises(BadResponseError, match="larger than max_body_size=1000000"):
            echo_of(server.address, max_body_size=1_000_000)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"request_attachment": b"x"}, "request_attachment must be empty"),
        ({"request_user_fields": {"a": "b"}}, "no place for request_user_fields"),
        ({"request_checksum_type": 1}, "no place for a checksum"),
        ({"request_compress_type": 1}, "http does not support snappy"),
        ({"request_id": "a\r\nX: y"}, "request_id can't be sent"),
    ],
)
def test_what_http_has_no_place_for_is_refused(change: dict[str, Any], text: str) -> None:
    controller = pybrpc.Controller()
    for name, value in change.items():
        setattr(controller, name, value)
    with http_server() as server, channel(server.address) as each:
        stub = pybrpc.Stub(ECHO, each)
        with pytest.raises(BadRequestError, match=text):
            stub.Echo(echo_request("x" * 1000), controller=controller)
        assert server.connections == 0


def test_message_of_another_class_is_refused() -> None:
    with http_server() as server, channel(server.address) as each:
        with pytest.raises(BadRequestError, match="must be a conformance"):
            pybrpc.Stub(ECHO, each).Echo(pb.EchoResponse())
        with pytest.raises(BadRequestError, match="no place for streams"):
            pybrpc.Stub(ECHO, each).Echo.stream(echo_request()).open()


def test_raw_method_sends_and_gives_bodies_as_they_are() -> None:
    said = answer(gzip.compress(b"zipped"), content_type="x/y", content_encoding="gzip")
    with http_server(answering(echo_answer), saying(said)) as server:
        with channel(server.address, "http:json") as each:
            raw = each.raw_method("any.Service", "Method")
            assert json.loads(raw(b'{"message": "raw"}')) == {"message": "raw"}
        with channel(server.address, "http:proto") as each:
            controller = pybrpc.Controller()
            raw = each.raw_method("any.Service", "Method")
            assert gzip.decompress(raw(b"\x08\x01", controller=controller)) == b"zipped"
            assert controller.response_compress_type == pybrpc.CompressType.GZIP
            assert controller.http_response.content_type == "x/y"


def raw_service() -> Any:
    """A service whose messages have no fields, as those of plain HTTP services in bRPC."""
    file = descriptor_pb2.FileDescriptorProto(
        name="raw_http.proto", package="raw", dependency=["google/protobuf/empty.proto"]
    )
    method = file.service.add(name="Http").method.add(name="Get")
    method.input_type = method.output_type = ".google.protobuf.Empty"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(empty_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return pool.FindServiceByName("raw.Http")


def test_attachment_is_the_body_of_a_message_without_fields() -> None:
    def make(request: Request) -> bytes:
        assert request.headers.content_type == "x/y"
        status = "200 OK" if request.body == b"body" else "404 None"
        return answer(request.body + b" back", status, content_type="a/b")

    service = raw_service()
    with http_server(answering(make)) as server, channel(server.address) as each:
        stub = pybrpc.Stub(service, each)
        message_class = stub.Get.method.request_class
        controller = pybrpc.Controller()
        controller.http_request.content_type = "x/y"
        controller.request_attachment = b"body"
        stub.Get(message_class(), controller=controller)
        assert bytes(controller.response_attachment) == b"body back"
        assert bytes(controller.request_attachment) == b"body"
        controller.request_attachment = b""
        with pytest.raises(HttpError):
            stub.Get(message_class(), controller=controller)
        assert bytes(controller.response_attachment) == b" back", "also of a call that has failed"


class Token:
    """An Authenticator that makes another token each time."""

    def __init__(self) -> None:
        self.made = 0

    def generate_credential(self) -> bytes:
        self.made += 1
        return b"Bearer %d" % self.made

    def verify_credential(self, credential: bytes, client: Any) -> None: ...


def test_every_request_carries_the_credential_and_a_refused_one_is_made_again() -> None:
    seen: list[str] = []

    def make(request: Request) -> bytes:
        seen.append(request.headers["authorization"])
        return answer(status="401 Unauthorized") if len(seen) == 3 else echo_answer(request)

    auth: Any = Token()
    with http_server(answering(make)) as server, channel(server.address, auth=auth) as each:
        stub = pybrpc.Stub(ECHO, each)
        stub.Echo(echo_request())
        stub.Echo(echo_request())
        with pytest.raises(HttpError, match="401"):
            stub.Echo(echo_request())
        stub.Echo(echo_request())
        controller = pybrpc.Controller()
        controller.http_request.headers["Authorization"] = "own"
        stub.Echo(echo_request(), controller=controller)
        assert "Bearer" not in repr(each)
    assert seen == ["Bearer 1"] * 3 + ["Bearer 2", "own"]


@pytest.mark.parametrize("raised", [RuntimeError("no token"), SystemExit(3)])
def test_credential_that_can_not_be_made_fails_the_call(raised: BaseException) -> None:
    class Failing(Token):
        def generate_credential(self) -> bytes:
            raise raised

    auth: Any = Failing()
    with http_server() as server, pytest.raises(AuthenticationError, match="generate a credential"):
        echo_of(server.address, auth=auth)


def test_credential_that_is_no_header_fails_the_call_alone() -> None:
    class Wrong(Token):
        def generate_credential(self) -> bytes:
            return b"secret\r\nX: y"

    auth: Any = Wrong()
    with http_server() as server, pytest.raises(pybrpc.RpcError) as raised:
        echo_of(server.address, auth=auth)
    assert "secret" not in str(raised.value)


def test_health_check_calls_over_http() -> None:
    seen: list[str] = []

    def make(request: Request) -> bytes:
        seen.append(json.loads(request.body)["message"])
        return echo_answer(request)

    check = pybrpc.HealthCheck(ECHO.methods_by_name["Echo"], echo_request("are you well"))
    with (
        reserved_port() as address,
        channel(address, health_check=check, wait_for_ready=True) as each,
    ):
        future = pybrpc.Stub(ECHO, each).Echo.future(echo_request("hello"))
        wait_until(lambda: is_down(each))
        with ScriptedServerOn(address, answering(make)):
            assert future.result().message == "hello"
    assert seen == ["are you well", "hello"]


def is_down(each: pybrpc.Channel) -> bool:
    statistics = each.endpoint_statistics()
    return statistics is not None and statistics.is_down


def test_names_of_the_forms_are_those_of_brpc() -> None:
    assert [kind.value for kind in HttpContentType] == [
        JSON,
        "application/proto",
        "application/proto-json",
        "application/proto-text",
    ]
    assert json.loads(message_to_json(echo_request("x"))) == {"message": "x"}
