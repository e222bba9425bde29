"""HTTP/1.1 on the port of a server: calls, errors, order. Clients are Python's http.client, and
bare sockets.

Names of tests in quotes are those of bRPC's test/brpc_http_rpc_protocol_unittest.cpp and
test/brpc_server_unittest.cpp.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

import pybrpc
from tests.peers.http_server import (
    JSON,
    NAME,
    PATH,
    SERVICE,
    TIMEOUT_S,
    Gate,
    ask,
    client_of,
    connected,
    post,
    read_all,
    read_responses,
    request_bytes,
    serving_http,
)
from tests.protos import conformance_pb2 as pb


def test_complete_flow() -> None:
    """ "complete_flow" """
    with serving_http() as server, client_of(server) as client:
        for path in (PATH, "/conformance.EchoService/Echo", "//EchoService//Echo/"):
            answer = post(client, "hello", path)
            assert answer.status == 200
            assert answer.json == {"message": "hello", "attachment_bytes": 0}
            assert answer.headers["content-type"] == "application/json"
        assert server.statistics().accepted == 1


def test_other_protocols_share_the_port() -> None:
    with serving_http() as server, client_of(server) as client:
        with pybrpc.Channel(str(server.endpoint), timeout=TIMEOUT_S) as channel:
            stub = pybrpc.Stub(SERVICE, channel)
            assert stub.Echo(pb.EchoRequest(message="a")).message == "a"
            assert post(client, "b").json["message"] == "b"
            assert stub.Echo(pb.EchoRequest(message="c")).message == "c"


BODY = b'{"message":"m"}'


def test_ids_of_the_headers_reach_the_handler() -> None:
    with serving_http() as server, client_of(server) as client:
        headers = {**JSON, "log-id": "9223372036854775807", "x-request-id": "r-1"}
        answer = ask(client, "POST", PATH, BODY, headers)
        assert answer.json == {
            "message": "m",
            "log_id": 9223372036854775807,
            "request_id": "r-1",
            "attachment_bytes": 0,
        }
        headers["log-id"] = "no number"
        assert "log_id" not in ask(client, "POST", PATH, BODY, headers).json


def test_process_response_error_code() -> None:
    """ "process_response_error_code": the status follows from the code, which is in a header."""
    statuses = {1002: 404, 1003: 400, 1004: 401, 1008: 504, 2004: 503, 2003: 503, 2001: 500}
    statuses |= {10042: 500, 1: 403}
    with serving_http() as server, client_of(server) as client:
        for code, status in statuses.items():
            answer = post(client, fail_code=code, fail_text="as asked")
            assert answer.status == status
            assert answer.headers["x-bd-error-code"] == str(code)
            assert answer.headers["content-type"].startswith("text/plain")
            assert answer.text == f"[{server.endpoint}][E{code}]as asked"


def test_http_error_code_of_the_handler_is_kept() -> None:
    """ "http_error_code" """

    def fail(request: Any, controller: pybrpc.Controller) -> None:
        controller.http_response.status_code = 488
        controller.http_response.headers["X-Why"] = "so"
        controller.set_failed(10042, "no")

    with serving_http(fail) as server, client_of(server) as client:
        answer = post(client)
        assert (answer.status, answer.headers["x-why"]) == (488, "so")


def test_headers_that_a_handler_changes_are_those_of_its_request() -> None:
    seen: list[tuple[str | None, str | None]] = []

    def change(request: Any, controller: pybrpc.Controller) -> None:
        headers = controller.http_request.headers
        seen.append((headers.get("x-tenant"), headers.get("x-user")))
        headers["X-User"] = "me"
        del headers["X-Tenant"]

    with serving_http(change, restful_mappings="GET /v1/echo => Echo") as server:
        with client_of(server) as client:
            for _ in range(3):
                assert ask(client, "GET", "/v1/echo?message=m", headers={"X-Tenant": "a"}).status
    assert seen == [("a", None)] * 3


@pytest.mark.parametrize("fails", [False, True])
def test_headers_that_can_not_be_sent_fail_only_their_call(fails: bool) -> None:
    def zipped(request: Any, controller: pybrpc.Controller) -> None:
        if request.message == "zipped":
            controller.http_response.headers["Transfer-Encoding"] = "gzip"
            if fails:
                controller.set_failed("failed")

    with serving_http(zipped) as server, client_of(server) as client:
        answer = post(client, "zipped")
        assert (answer.status, answer.headers["x-bd-error-code"]) == (500, "2001")
        assert ("failed" if fails else "transfer coding 'gzip'") in answer.text
        assert post(client, "plain").status == 200
        assert server.statistics().accepted == 1


@pytest.mark.parametrize(
    ("name", "status", "line"),
    [
        ("Content-Type", 200, b"Content-Type: text/csv\r\n"),
        ("content-type", 200, b"content-type: text/csv\r\n"),
        ("Content-Type", 201, b"Content-Type: text/csv\r\n"),
    ],
)
def test_head_with_a_content_type_alone_is_as_any_other(
    name: str, status: int, line: bytes
) -> None:
    def answer(request: Any, controller: pybrpc.Controller) -> Any:
        assert controller.http_response is not None
        controller.http_response.headers[name] = "text/csv"
        controller.http_response.status_code = status
        controller.response_attachment = b"a,b"
        return pb.EchoResponse(message="not sent")

    with serving_http(answer) as server, connected(server) as sock:
        sock.sendall(request_bytes("a") + request_bytes("b", "Connection: close"))
        first, _, last = read_all(sock).partition(b"a,b")
    assert line in first
    assert first + b"a,b" == last.replace(b"Connection: close\r\n", b"")


def test_handler_sees_the_request_and_shapes_the_response() -> None:
    seen: list[Any] = []

    def shape(request: Any, controller: pybrpc.Controller) -> Any:
        http = controller.http_request
        seen.append((http.method, http.uri.path, http.uri.query, http.unresolved_path))
        seen.append(http.headers["x-mine"])
        controller.http_response.status_code = 201
        controller.http_response.reason = "Made"
        controller.http_response.content_type = "text/csv"
        controller.response_attachment = b"a,b\n"
        return pb.EchoResponse(message="not sent")

    with serving_http(shape, "/v1/x/* => Echo") as server, client_of(server) as client:
        answer = ask(client, "PUT", "/v1/x/a//b?message=d", b"", {"X-Mine": "yes"})
        assert (answer.status, answer.body) == (201, b"a,b\n")
        assert answer.headers["content-type"] == "text/csv"
    assert seen == [("PUT", "/v1/x/a//b", "message=d", "a/b"), "yes"]


def test_handler_of_another_protocol_sees_no_http() -> None:
    seen: list[Any] = []

    def look(request: Any, controller: pybrpc.Controller) -> None:
        seen.append((controller.http_request.uri.path, dict(controller.http_request.headers)))
        controller.http_response.status_code = 404

    with serving_http(look) as server:
        with pybrpc.Channel(str(server.endpoint), timeout=TIMEOUT_S) as channel:
            pybrpc.Stub(SERVICE, channel).Echo(pb.EchoRequest(message="m"))
    assert seen == [("", {})]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/EchoService/None", 404),
        ("POST", "/NoService/Echo", 404),
        ("POST", "/EchoService", 404),
        ("GET", PATH, 405),
        ("HEAD", PATH, 405),
        ("OPTIONS", PATH, 405),
        ("GET", "/nothing", 404),
    ],
)
def test_process_request_wrong_method(method: str, path: str, status: int) -> None:
    """ "process_request_wrong_method" """
    with serving_http() as server, client_of(server) as client:
        assert ask(client, method, path).status == status
        assert post(client).status == 200


def test_reject_get_to_pb_services_with_required_fields() -> None:
    with serving_http(restful_mappings="/v1/echo => Echo") as server, client_of(server) as client:
        answer = ask(client, "GET", "/v1/echo")
        assert (answer.status, "message" in answer.text) == (400, True)
        assert ask(client, "GET", "/v1/echo?message=a").json["message"] == "a"
        assert ask(client, "GET", "/v1/echo?fail_code=no").status == 400


def test_path_captures_are_fields() -> None:
    mapping = "GET /v1/say/{message} => Echo, POST /v1/say/{message} => Echo"
    with serving_http(restful_mappings=mapping) as server, client_of(server) as client:
        assert ask(client, "GET", "/v1/say/hello%20you").json["message"] == "hello you"
        answer = ask(client, "POST", "/v1/say/path", b'{"message":"body"}', JSON)
        assert answer.json["message"] == "path"
        answer = ask(client, "POST", "/v1/say/path", b'{"sleep_ms":0}', JSON)
        assert answer.json["message"] == "path"
        answer = ask(client, "DELETE", "/v1/say/x")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, POST")


def test_http_head() -> None:
    """ "http_head": the length of the body, and no body."""
    with serving_http(restful_mappings="/v1/echo => Echo") as server, client_of(server) as client:
        answer = ask(client, "HEAD", "/v1/echo?message=abc")
        assert (answer.status, answer.body) == (200, b"")
        assert int(answer.headers["content-length"]) == len(
            ask(client, "GET", "/v1/echo?message=abc").body
        )


def test_http_expect() -> None:
    """ "http_expect": the client is told to go on when the head has come, and only then."""
    data = request_bytes("later", "Expect: 100-continue")
    head, _, body = data.partition(b"\r\n\r\n")
    with serving_http() as server, connected(server) as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert read_responses(sock, 1)[0].json["message"] == "later"
        sock.sendall(data)
        assert read_responses(sock, 1)[0].json["message"] == "later"


def test_refused_request_is_not_asked_for_its_body() -> None:
    data = request_bytes("later", "Expect: 100-continue", path="/EchoService/None")
    with serving_http() as server, connected(server) as sock:
        sock.sendall(data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        assert read_all(sock).startswith(b"HTTP/1.1 404 ")


def test_pipelined_requests_are_answered_in_their_order() -> None:
    gate = Gate()
    with serving_http(gate) as server, connected(server) as sock:
        names = ["wait", *(f"m{i}" for i in range(50))]
        requests = [request_bytes(name) for name in names]
        requests[10:10] = [b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"]
        requests[20:20] = [b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n"]
        sock.sendall(b"".join(requests))
        assert gate.entered.acquire(timeout=TIMEOUT_S)
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(TIMEOUT_S)
        gate.opened.set()
        answers = read_responses(sock, len(requests))
        assert answers.pop(20).status == 404
        assert answers.pop(10).text == "OK"
        assert [answer.json["message"] for answer in answers] == names


@pytest.mark.parametrize("form", ["1.0", "1.0 keep-alive", "close"])
def test_connection_is_kept_as_the_client_asks(form: str) -> None:
    data = request_bytes("a", *(["Connection: close"] if form == "close" else []))
    if form.startswith("1.0"):
        data = data.replace(b"HTTP/1.1", b"HTTP/1.0")
    if form == "1.0 keep-alive":
        data = data.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n", 1)
    with serving_http() as server, connected(server) as sock:
        sock.sendall(data)
        if form == "1.0 keep-alive":
            assert read_responses(sock, 1)[0].headers["connection"] == "keep-alive"
            sock.sendall(data)
            assert read_responses(sock, 1)[0].json["message"] == "a"
        else:
            assert read_all(sock).endswith(b'{"message":"a","attachment_bytes":0}')


def test_requests_of_many_threads() -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with client_of(server) as client:
                for i in range(50):
                    assert post(client, f"{number}-{i}").json["message"] == f"{number}-{i}"
        except BaseException as error:
            errors.append(error)

    with serving_http() as server:
        threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.statistics().requests == 400
    assert not errors


def test_names_of_services_can_not_be_those_of_pages() -> None:
    """ "conflict_name_between_restful_mapping_and_builtin" """
    server = pybrpc.Server()
    service = pb.DESCRIPTOR.services_by_name[NAME]
    with pytest.raises(ValueError, match="is that of a builtin page"):
        with serving_http(restful_mappings="/status/x => Echo"):
            pass
    assert repr(server) == "<Server of no service, not started>"
    assert service.name == NAME
