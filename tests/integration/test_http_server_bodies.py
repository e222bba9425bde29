"""Bodies of requests over HTTP to a server: their types, JSON and its options, compressed ones.

Names of tests in quotes are those of bRPC's test/brpc_http_rpc_protocol_unittest.cpp and
test/brpc_server_unittest.cpp.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from tests.peers.http_server import (
    JSON,
    PATH,
    ask,
    client_of,
    connected,
    post,
    read_responses,
    serving_http,
)
from tests.peers.json_service import json_service
from tests.protos import conformance_pb2 as pb

FORMS = [
    ("application/proto", lambda m: m.SerializeToString(), pb.EchoResponse.FromString),
    ("application/x-protobuf", lambda m: m.SerializeToString(), pb.EchoResponse.FromString),
    ("application/proto-json", lambda m: b'{"message": "x", "failCode": 0}', None),
    ("application/proto-text", lambda m: b'message: "x"', None),
    ("application/json; charset=utf-8", lambda m: b'{"message":"x"}', None),
    ("application/x-www-form-urlencoded", lambda m: b'{"message":"x"}', None),
]


@pytest.mark.parametrize(("content_type", "write", "read"), FORMS, ids=[f[0] for f in FORMS])
def test_body_is_what_its_content_type_says(content_type: str, write: Any, read: Any) -> None:
    """ "spring_protobuf_content_type", "proto_text_content_type", "proto_json_content_type" """
    with serving_http() as server, client_of(server) as client:
        body = write(pb.EchoRequest(message="x"))
        answer = ask(client, "POST", PATH, body, {"Content-Type": content_type})
        assert answer.status == 200, answer.text
        if read is not None:
            assert read(answer.body).message == "x"
            assert answer.headers["content-type"] == content_type
        else:
            assert "x" in answer.text
        if "form" in content_type:
            assert answer.headers["content-type"] == "application/json"


def test_chunked_body_with_trailers() -> None:
    """ "chunked_uploading" """
    head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving_http() as server, connected(server) as sock:
        for part in (head, '4;ext=1\r\n{"me\r\n', '10\r\nssage":"chunked"\r\n', "1\r\n}\r\n"):
            sock.sendall(part.encode())
            time.sleep(0.01)
        sock.sendall(b"0\r\nX-Trailer: 1\r\n\r\n")
        assert read_responses(sock, 1)[0].json["message"] == "chunked"


class JsonForms:
    """Answers with the request, or with its attachment."""

    def Bytes(self, request: Any, controller: pybrpc.Controller) -> Any:
        controller.response_attachment = controller.request_attachment
        return request

    def List(self, request: Any, controller: pybrpc.Controller) -> Any:
        return request


@contextlib.contextmanager
def serving_forms(**options: Any) -> Iterator[http.client.HTTPConnection]:
    server = pybrpc.Server()
    server.add_service(json_service(), JsonForms(), **options)
    with server:
        server.start("127.0.0.1:0")
        with client_of(server) as client:
            yield client


def test_disallow_http_body_to_pb() -> None:
    """ "disallow_http_body_to_pb": the body is the attachment, as it came."""
    with serving_forms(allow_http_body_to_pb=False) as client:
        answer = ask(client, "POST", "/JsonForms/Bytes", b"\0{no json", JSON)
        assert answer.body == b"\0{no json"
        assert answer.headers["content-type"] == "application/octet-stream"
        assert ask(client, "POST", "/JsonForms/Bytes", b"").json == {}


def test_long_json_is_refused_before_it_is_read() -> None:
    """No other thread runs while JSON is read."""
    with serving_forms(json_options=pybrpc.JsonOptions(max_json_bytes=1000)) as client:
        texts = json.dumps({"texts": ["x" * 400] * 2})
        assert ask(client, "POST", "/JsonForms/List", texts, JSON).status == 200
        answer = ask(client, "POST", "/JsonForms/List", json.dumps({"texts": ["x" * 1000]}), JSON)
        assert (answer.status, "max_json_bytes=1000" in answer.text) == (400, True)
        proto = {"Content-Type": "application/proto"}
        data = b"\x0a\xd0\x0f" + b"x" * 2000
        assert ask(client, "POST", "/JsonForms/List", data, proto).status == 200


def test_options_of_json_are_checked() -> None:
    with pytest.raises(TypeError, match="json_options must be "):
        pybrpc.Server().add_service(json_service(), JsonForms(), json_options={})  # type: ignore[arg-type]


def test_base64_to_string_and_single_repeated_to_array() -> None:
    """ "base64_to_string", "single_repeated_to_array" """
    for options, data, listed in (
        (pybrpc.JsonOptions(), "aGVsbG8=", b'{"texts":["a","b"]}'),
        (
            pybrpc.JsonOptions(
                pb_bytes_to_base64=False,
                array_to_single_repeated=True,
                single_repeated_to_array=True,
            ),
            "hello",
            b'["a","b"]',
        ),
    ):
        with serving_forms(json_options=options) as client:
            body = json.dumps({"data": data})
            assert ask(client, "POST", "/JsonForms/Bytes", body, JSON).json == {"data": data}
            assert ask(client, "POST", "/JsonForms/List", listed, JSON).body == listed


def test_gzip_both_ways() -> None:
    text = "z" * 2000

    def compress(request: Any, controller: pybrpc.Controller) -> None:
        controller.response_compress_type = pybrpc.CompressType.GZIP

    with serving_http(compress) as server, client_of(server) as client:
        headers = {**JSON, "Content-Encoding": "gzip", "Accept-Encoding": "gzip, br"}
        body = gzip.compress(json.dumps({"message": text}).encode())
        answer = ask(client, "POST", PATH, body, headers)
        assert answer.headers["content-encoding"] == "gzip"
        assert json.loads(gzip.decompress(answer.body))["message"] == text
        answer = ask(client, "POST", PATH, body, {**JSON, "Content-Encoding": "gzip"})
        assert answer.json["message"] == text
        assert post(client, "short").headers["content-encoding"] is None
        answer = ask(client, "POST", PATH, body[:20], headers)
        assert answer.status == 400


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "x" * 1000])
def test_unknown_coding_of_a_message_is_refused(coding: str) -> None:
    with serving_http() as server, client_of(server) as client:
        headers = {**JSON, "Content-Encoding": coding}
        answer = ask(client, "POST", PATH, b'{"message":"a"}', headers)
        assert (answer.status, answer.headers["accept-encoding"]) == (415, "gzip")
        assert answer.headers["x-bd-error-code"] == "1003"
        assert "is not supported" in answer.text
        assert len(answer.text) < 200
        headers["Content-Encoding"] = "Identity"
        assert ask(client, "POST", PATH, b'{"message":"a"}', headers).status == 200


def test_attachment_may_have_any_coding() -> None:
    with serving_forms(allow_http_body_to_pb=False) as client:
        answer = ask(client, "POST", "/JsonForms/Bytes", b"\x0b", {"Content-Encoding": "br"})
        assert (answer.status, answer.body) == (200, b"\x0b")


def test_body_that_grows_too_much_is_refused() -> None:
    with serving_http(max_body_size=10_000) as server, client_of(server) as client:
        body = gzip.compress(b'{"message":"' + b"z" * 1_000_000 + b'"}')
        answer = ask(client, "POST", PATH, body, {**JSON, "Content-Encoding": "gzip"})
        assert answer.status == 400
        assert post(client).status == 200
