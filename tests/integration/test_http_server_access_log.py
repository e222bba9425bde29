"""The access log of requests by HTTP: calls, pages, and what is refused before it is a call."""

from __future__ import annotations

import errno
import json
import socket
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import AuthenticationError, ErrorCode
from tests.peers.access_lines import HTTP, AccessLines
from tests.peers.http_server import (
    JSON,
    PATH,
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

ECHO = "conformance.EchoService.Echo"


@pytest.fixture
def lines() -> AccessLines:
    return AccessLines()


def test_line_of_a_call(lines: AccessLines) -> None:
    with serving_http(access_log=lines.option) as server, client_of(server) as client:
        path = f"{PATH}?token=secret"
        answer = ask(client, "POST", path, '{"message": "m"}', {**JSON, "x-request-id": "7"})
        assert answer.status == 200
    (line,) = lines.lines
    del line["time"], line["peer"], line["latency_ms"]
    assert line.pop("response_bytes") > len(answer.body)
    assert line == {
        "protocol": "http",
        "method": ECHO,
        "code": 0,
        "request_bytes": 16,
        "log_id": None,
        "request_id": "7",
        "http_method": "POST",
        "path": PATH,
        "status": 200,
    }


def test_status_is_that_of_the_response(lines: AccessLines) -> None:
    def then(request: Any, controller: Any) -> object:
        if request.message == "missing":
            controller.http_response.status_code = 404
        return None

    mapped = "GET /v1/files/* => Echo"
    with serving_http(then, mapped, True, access_log=lines.option) as server:
        with client_of(server) as client:
            post(client, "missing")
            post(client, fail_code=10042)
            post(client, "missing", fail_code=10042)
            ask(client, "POST", PATH, "{bad", JSON)
            ask(client, "GET", "/v1/files/a%20b?message=m")
    found = lines.wait(5, "code", "method", *HTTP)  # of different threads
    assert sorted(found) == [
        (0, ECHO, "GET", "/v1/files/a%20b", 200),
        (0, ECHO, "POST", PATH, 404),
        (ErrorCode.EREQUEST, ECHO, "POST", PATH, 400),
        (10042, ECHO, "POST", PATH, 404),
        (10042, ECHO, "POST", PATH, 500),
    ]


def test_responses_in_parts(lines: AccessLines) -> None:
    def then(request: Any, controller: Any) -> object:
        controller.http_response.status_code = 203
        if request.message == "generator":
            return iter([b"ab", b"cd"])
        with controller.create_progressive_attachment() as attachment:
            attachment.write(b"abcd")
        return pb.EchoResponse()

    with serving_http(then, access_log=lines.option) as server, client_of(server) as client:
        assert post(client, "generator").body == b"abcd"
        assert post(client, "attachment").body == b"abcd"
    assert lines.wait(2, "code", "status") == [(0, 203)] * 2
    assert all(line["response_bytes"] > 100 for line in lines.lines)


def test_refused_requests_have_lines(lines: AccessLines) -> None:
    with serving_http(access_log=lines.option, max_body_size=1000) as server:
        with client_of(server) as client:
            assert ask(client, "POST", "/nothing?token=secret").status == 404
            assert ask(client, "GET", PATH).status == 405
            assert ask(client, "POST", PATH, "{}", {"Origin": "http://evil.example"}).status == 403
            assert ask(client, "GET", "/flags").status == 403
            assert ask(client, "POST", PATH, "x" * 2000, JSON).status == 413
    found = lines.wait(5, "method", "code", *HTTP)
    assert sorted(found, key=lambda line: line[-1]) == [  # the page is of another thread
        *(line for line in found if line[-1] == 403),
        (None, ErrorCode.ENOMETHOD, "POST", "/nothing", 404),
        (None, ErrorCode.EREQUEST, "GET", PATH, 405),
        (None, ErrorCode.EREQUEST, "POST", PATH, 413),
    ]
    assert {line for line in found if line[-1] == 403} == {
        (None, errno.EPERM, "POST", PATH, 403),
        (None, errno.EPERM, "GET", "/flags", 403),
    }
    assert "secret" not in json.dumps(lines.lines)


def test_bytes_that_are_no_request_have_lines(lines: AccessLines) -> None:
    broken_body = b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"
    with serving_http(access_log=lines.option) as server:
        for sent in (
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            broken_body % PATH.encode(),
            b"GET /?token=secret%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"&a" * 1000),
        ):
            with connected(server) as sock:
                sock.sendall(sent)
                sock.shutdown(socket.SHUT_WR)
                assert read_all(sock).startswith(b"HTTP/1.1 400 ")
    assert lines.wait(3, "method", "code", *HTTP) == [
        (None, ErrorCode.EREQUEST, None, None, 400),
        (None, ErrorCode.EREQUEST, "POST", PATH, 400),
        (None, ErrorCode.EREQUEST, "GET", None, 400),
    ]
    assert all(line["response_bytes"] > 50 and line["peer"] for line in lines.lines)


class Refusing(pybrpc.Authenticator):
    def generate_credential(self) -> bytes:
        return b""

    def verify_credential(self, credential: bytes, client: Any) -> Any:
        raise AuthenticationError("no")


def test_refused_credentials_have_lines(lines: AccessLines) -> None:
    with serving_http(access_log=lines.option, auth=Refusing()) as server:
        with client_of(server) as client:
            headers = {"Authorization": "secret"}
            assert ask(client, "POST", PATH, "{}", headers).status == 403
    assert lines.wait(1, "code", *HTTP) == [(ErrorCode.ERPCAUTH, "POST", PATH, 403)]
    assert "secret" not in json.dumps(lines.lines)


def test_pages_and_preflights_have_lines(lines: AccessLines) -> None:
    options = {"access_log": lines.option, "cors": ["https://a.example"], "internal_port": 0}
    with serving_http(**options) as server:
        asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
        with client_of(server) as client:
            assert ask(client, "GET", "/health?token=secret").status == 200
            lines.wait(1)
            assert ask(client, "OPTIONS", PATH, headers=asked).status == 204
            lines.wait(2)
        with client_of(server, internal=True) as client:
            assert ask(client, "GET", "/vars/nothing_of_that_name").status == 404
    assert lines.wait(3, "method", "code", *HTTP) == [
        (None, 0, "GET", "/health", 200),
        (None, 0, "OPTIONS", PATH, 204),
        (None, ErrorCode.ENOMETHOD, "GET", "/vars/nothing_of_that_name", 404),
    ]
    assert all(line["response_bytes"] > 20 for line in lines.lines)
    assert "secret" not in json.dumps(lines.lines)


def test_flood_of_refused_requests_waits_within_the_limit(
    lines: AccessLines, caplog: pytest.LogCaptureFixture
) -> None:
    option = pybrpc.AccessLog(format="json", logger=lines.option.logger, max_waiting=10)
    with serving_http(access_log=option) as server, connected(server) as sock:
        sock.sendall(request_bytes("m", path="/nothing") * 200)
        assert {each.status for each in read_responses(sock, 200)} == {404}
    dropped = [each for each in caplog.messages if "lines were dropped" in each]
    counted = sum(int(each.split(": ")[1].split(" ")[0]) for each in dropped)
    assert 10 <= len(lines.lines) < 200
    assert len(lines.lines) + counted == 200
