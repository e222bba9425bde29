"""bRPC's own tests of HTTP/1 (test/brpc_http_rpc_protocol_unittest.cpp), in our terms, with clients
and servers of pybrpc at both ends. Where all of them are, in tests/integration unless said:

    reject_oversized_http_body, reject_oversized_chunked_http_body      test_http_server_limits
    parse_http_address                              here; unit/protocols/http1/test_uri
    verify_request                                  here; test_http_access
    verify_builtin_request_on_internal_port         test_http_access
    builtin_auth_policy_on_public_and_internal_port here
    process_request_logoff                          test_http_server_limits
    process_request_wrong_method,
        reject_get_to_pb_services_with_required_fields                  test_http_server
    process_response_error_code                     here; test_http_server, test_http_client
    complete_flow                                   test_http_server, test_http_client,
                                                    test_http_both_sides
    chunked_uploading                               test_http_plain, test_http_server_bodies
    read_chunked_response_normally                  here; test_http_plain
    read_failed_chunked_response                    here; test_http_plain
    read_short_body_progressively                   here; test_http_streams
    read_long_body_progressively, skip_progressive_reading, broken_socket_stops_progressive_reading,
        read_progressively_after_cntl_destroys      test_http_streams
    read_progressively_after_long_delay             here
    failed_on_read_one_part                         here
    progressive_read_timeout_keeps_active_reader_alive, _preserves_reader_error     here
    progressive_read_timeout_closes_idle_http1_reader_once, _before_first_body_part,
        _ignores_slow_user_callback                 test_http_streams
    server_end_read_short_body_progressively, server_end_read_failed    here; test_http_progressive
    spring_protobuf_content_type, proto_text_content_type,
        proto_json_content_type                     test_http_client, test_http_server_bodies
    http_head                                       here; test_http_server, test_http_plain
    http_expect                                     test_http_server
    http10_auth_failed_response                     here
    process_request_failed_socket                   test_http_server_limits: a client goes away
    process_response_after_eof                      test_http_plain, as connections that close
    dump_http_request                               nothing: bodies are not logged

Ours differ in these: a status 1xx is an interim response, and one of more than three digits is no
HTTP, so neither ends a call as a response does.

With HTTP/2, which is not spoken yet: http2_* (14), grpc_auth_failed_response and
progressive_read_timeout_rejects_http2. indenting_ostream is of C++ itself.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    AddressError,
    AuthenticationError,
    ConnectionFailedError,
    HttpError,
    InternalServerError,
    ProtocolError,
    RpcCanceledError,
    RpcTimeoutError,
)
from tests.fakes.threads import wait_until
from tests.peers.http_scripts import answer as response_bytes
from tests.peers.http_scripts import http_server, saying
from tests.peers.http_server import (
    JSON,
    PATH,
    TIMEOUT_S,
    ask,
    client_of,
    connected,
    post,
    read_responses,
    request_bytes,
    serving_http,
)
from tests.peers.http_server import SERVICE as ECHO
from tests.protos import conformance_pb2 as pb


@contextlib.contextmanager
def channel_to(server: pybrpc.Server, internal: bool = False) -> Iterator[pybrpc.Channel]:
    address = server.internal_endpoint if internal else server.endpoint
    options = {"protocol": "http", "timeout": TIMEOUT_S, "max_retry": 0}
    with pybrpc.Channel(str(address), **options) as channel:
        yield channel


class Judge:
    """Accepts the credential "mock", or none at all."""

    def __init__(self, accepted: bytes = b"mock") -> None:
        self.accepted = accepted

    def generate_credential(self) -> bytes:
        return b"mock"

    def verify_credential(self, credential: bytes, client: Any) -> pybrpc.AuthContext:
        if credential != self.accepted:
            raise AuthenticationError("Authentication failed for HTTP/1.0")
        return pybrpc.AuthContext(user="me")


# --- addresses ---


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("ftp://127.0.0.1:80", "ftp"),
        ("127.0.0.1:80/path", "port|URL"),
        ("invalid_url", "port"),
        ("", "empty|address"),
    ],
)
def test_parse_http_address(address: str, why: str) -> None:
    """An address is "host:port" whatever the protocol, and https is the option `tls`. C++ takes
    the URLs, and refuses the last two as we do."""
    with pytest.raises(AddressError, match=why):
        pybrpc.Channel(address, protocol="http")


# --- credentials ---


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type"),
    [
        ("POST", PATH, b'{"message":"a"}', "application/json"),
        ("POST", PATH, b'{"message":"a"}', "application/proto-json"),
        ("POST", PATH, b'message: "a"', "application/proto-text"),
        ("GET", "/status", b"", "text/plain"),
        ("GET", "/nothing", b"", "text/plain"),
    ],
)
def test_verify_request(method: str, path: str, body: bytes, content_type: str) -> None:
    """Whatever is asked for: without the credential it is 403, and no word about what there is."""
    with serving_http(auth=Judge()) as server, client_of(server) as client:
        headers = {"Content-Type": content_type}
        refused = ask(client, method, path, body, headers)
        assert (refused.status, refused.headers["x-bd-error-code"]) == (403, "1004")
        headers["Authorization"] = "mock"
        assert ask(client, method, path, body, headers).status == (404 if "no" in path else 200)


def test_builtin_auth_policy_on_public_and_internal_port() -> None:
    """A page that is asked for first opens the connection for nothing that comes later."""
    with serving_http(auth=Judge(), internal_port=0) as server:
        with channel_to(server) as channel:
            assert channel.http("GET", "/status").status == 403
            assert channel.http("GET", "/version").status == 403
            assert channel.http("POST", PATH, body=b'{"message":"a"}').status == 403
        with channel_to(server, internal=True) as channel:
            assert channel.http("GET", "/status").status == 200
            assert channel.http("POST", PATH, body=b'{"message":"a"}').status == 403


def test_http10_auth_failed_response() -> None:
    data = request_bytes("a").replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    with serving_http(auth=Judge(b"another")) as server, connected(server) as sock:
        sock.sendall(data)
        (answer,) = read_responses(sock, 1)
        assert answer.status == 403
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert answer.headers["content-type"].startswith("text/plain")
        assert "Authentication failed" in answer.text
        assert "1004" in answer.text
        assert sock.recv(1) == b""


# --- statuses, and HEAD ---


@pytest.mark.parametrize("status", ["307 Temporary Redirect", "400 Bad Request"])
def test_process_response_error_code(status: str) -> None:
    said = response_bytes(b'{"message":"world"}', status, content_type="application/json")
    controller = pybrpc.Controller()
    with http_server(saying(said)) as peer:
        with pybrpc.Channel(peer.address, protocol="http", timeout=TIMEOUT_S) as channel:
            with pytest.raises(HttpError, match=f"HTTP/1.1 {status}: ") as raised:
                pybrpc.Stub(ECHO, channel).Echo(
                    pb.EchoRequest(message="hello"), controller=controller
                )
    assert raised.value.name == "EHTTP"
    assert controller.http_response.status_code == int(status.split()[0])


@pytest.mark.parametrize(
    ("start", "error"),
    [("HTTP/1.1 100 Continue", RpcTimeoutError), ("HTTP/1.1 12345 Odd", ProtocolError)],
)
def test_process_response_error_code_of_no_response(
    start: str, error: type[pybrpc.RpcError]
) -> None:
    """C++ ends the call with this status."""
    said = f"{start}\r\n\r\n".encode()
    with http_server(saying(said)) as peer:
        options = {"protocol": "http", "timeout": 0.1, "max_retry": 0}
        with pybrpc.Channel(peer.address, **options) as channel:
            with pytest.raises(error):
                channel.http("GET", "/")


def test_http_head() -> None:
    """A handler may say how the body would come."""

    def say(request: Any, controller: pybrpc.Controller) -> None:
        if int(controller.http_request.headers["x-db-index"]) % 2:
            controller.http_response.headers["Transfer-Encoding"] = "chunked"
        else:
            controller.http_response.headers["Content-Length"] = "1024"

    with serving_http(say, restful_mappings="/head => Echo") as server:
        with channel_to(server) as channel:
            for index in range(10):
                headers = {"x-db-index": str(index)}
                answer = channel.http("HEAD", "/head?message=a", headers=headers)
                assert (answer.status, answer.body) == (200, b"")
                found = (
                    answer.headers.get("content-length"),
                    answer.headers.get("Transfer-Encoding"),
                )
                assert found == ((None, "chunked") if index % 2 else ("1024", None))


# --- bodies that come part by part ---


PART = b"abcdefghijklmnopqrstuvwxyz1234567890!@#$%^&*()_=-+"


class Download:
    """Writes parts into an attachment in a thread of its own, until there is an error."""

    def __init__(self, count: int, part: bytes = b"x" * 65536, pause_s: float = 0) -> None:
        self.count, self.part, self.pause_s = count, part, pause_s
        self.written = 0
        self.attachment: Any = None
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def __call__(self, request: Any, controller: pybrpc.Controller) -> Any:
        attachment = controller.create_progressive_attachment()
        if request.message == "fail":
            attachment.write(self.part)
            self.attachment = attachment
            controller.set_failed(2001, "Intentionally set controller failed")
            return None
        if request.message == "write first":
            self._write(attachment)
        else:
            threading.Thread(target=self._write, args=[attachment], daemon=True).start()
        return pb.EchoResponse(message="not sent")

    def _write(self, attachment: Any) -> None:
        try:
            with attachment:
                for _ in range(self.count):
                    attachment.write(self.part)
                    self.written += len(self.part)
                    time.sleep(self.pause_s)
        except BaseException as error:
            self.error = error
        self.ended.set()


def download(channel: pybrpc.Channel, message: str = "", **options: Any) -> Any:
    body = json.dumps({"message": message}).encode()
    return channel.http("POST", PATH, body=body, headers=JSON, stream=True, **options)


def read_badly(body: Any, text: str) -> None:
    """Fail at the first part."""
    for _ in body:
        raise OSError(text)


@pytest.mark.parametrize("message", ["write first", "write later"])
def test_read_chunked_response_normally(message: str) -> None:
    """The handler returns before, or after, the attachment is written and closed."""
    with serving_http(Download(1, PART)) as server, channel_to(server) as channel:
        answer = channel.http("POST", PATH, body=json.dumps({"message": message}).encode())
        assert (answer.status, answer.body) == (200, PART)
        assert answer.headers["transfer-encoding"] == "chunked"


def test_read_short_body_progressively() -> None:
    service = Download(1000, PART)
    with serving_http(service) as server, channel_to(server) as channel:
        with download(channel) as response:
            assert b"".join(response.body) == PART * 1000
    assert (service.error, service.written) == (None, len(PART) * 1000)


def test_read_failed_chunked_response() -> None:
    """A call that fails has no attachment: its body is the error, and no more can be written."""
    service = Download(1)
    with serving_http(service) as server, channel_to(server) as channel:
        with download(channel, "fail") as response:
            assert response.status == 500
            assert b"Intentionally set controller failed" in response.body.read()
        with pytest.raises(RpcCanceledError):
            service.attachment.write(PART)
        answer = channel.http("POST", PATH, body=b'{"message":"fail"}', headers=JSON)
        with pytest.raises(InternalServerError, match=r"HTTP/1.1 500 Internal Server Error: .*set"):
            answer.raise_for_status()


def test_read_progressively_after_long_delay() -> None:
    """The handler waits while nobody reads, and goes on when somebody does."""
    service = Download(10_000)
    with serving_http(service) as server, channel_to(server) as channel:
        with download(channel) as response:
            before = -1
            while before != service.written:
                before = service.written
                time.sleep(0.2)
            assert 0 < before < 64 << 20, "what is unread is bounded"
            read = 0
            for part in response.body:
                read += len(part)
                if read > 2 * before:
                    break
            assert service.written > before
        assert service.ended.wait(TIMEOUT_S), "the client has closed the body"
    assert isinstance(service.error, ConnectionFailedError)


def test_failed_on_read_one_part() -> None:
    """A reader that raises ends the body: the handler hears of it."""
    service = Download(10_000)
    with serving_http(service) as server, channel_to(server) as channel:
        with download(channel) as response:
            with pytest.raises(OSError, match="always fails"):
                read_badly(response.body, "always fails")
        assert service.ended.wait(TIMEOUT_S)
    assert isinstance(service.error, ConnectionFailedError)


def test_progressive_read_timeout_keeps_active_reader_alive() -> None:
    service = Download(12, b"part", 0.1)
    with serving_http(service) as server, channel_to(server) as channel:
        with download(channel, progressive_read_timeout=1.0) as response:
            assert response.body.read() == b"part" * 12
    assert service.error is None


def test_progressive_read_timeout_preserves_reader_error() -> None:
    service = Download(10_000)
    with serving_http(service) as server, channel_to(server) as channel:
        with download(channel, progressive_read_timeout=1.0) as response:
            with pytest.raises(OSError, match="EIO"):
                read_badly(response.body, "EIO")


# --- bodies that handlers read part by part ---


UPLOAD = f"{PATH}?message=-"
"""`message` is required, and the body has no fields."""


class Upload:
    """Counts the bytes of its body; reads one part alone if `fails`."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.size = 0

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        self.size = 0
        for part in controller.http_request.body:
            self.size += len(part)
            if self.fails:
                raise RuntimeError("the reader fails")
        return pb.EchoResponse(message=str(self.size))


@contextlib.contextmanager
def uploading(service: Upload) -> Iterator[tuple[pybrpc.Server, pybrpc.Channel]]:
    server = pybrpc.Server()
    server.add_service(ECHO, service, partial=True)
    server.set_method_options("EchoService.Echo", enable_progressive_read=True)
    with server:
        server.start("127.0.0.1:0")
        with channel_to(server) as channel:
            yield server, channel


def test_server_end_read_short_body_progressively() -> None:
    parts = [b"%064d" % number for number in range(10_000)]
    with uploading(Upload()) as (_, channel):
        response = channel.http("POST", UPLOAD, body=b"".join(parts))
        assert response.json() == {"message": "640000"}
        assert channel.http("POST", UPLOAD, body=iter(parts)).json() == {"message": "640000"}


def test_server_end_read_failed() -> None:
    service = Upload(fails=True)
    with uploading(service) as (server, channel):
        response = channel.http("POST", UPLOAD, body=b"x" * 640)
        assert response.status == 500
        wait_until(lambda: server.statistics().running == 0)
        service.fails = False
        assert channel.http("POST", UPLOAD, body=b"x").status == 200


def test_complete_flow_of_both_sides() -> None:
    with serving_http() as server, channel_to(server) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        assert stub.Echo(pb.EchoRequest(message="hello")).message == "hello"
        with client_of(server) as client:
            assert post(client).status == 200
