"""Recordings of C++ bRPC 1.17 with protocol=http, parsed by both sides, and written alike."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pybrpc.protocols.http1.error_responses import error_response
from pybrpc.protocols.http1.head import RequestHead, ResponseHead
from pybrpc.protocols.http1.head_parser import PATTERN_HEAD_PARSER
from pybrpc.protocols.http1.headers import HttpHeaders
from pybrpc.protocols.http1.parser import RequestParser, ResponseParser
from pybrpc.protocols.http1.status import error_code_in
from pybrpc.protocols.http1.writer import RequestWriter, ResponseWriter
from tests.fakes.http1_messages import HEAD_PARSERS, Seen, read_all, splits

VECTORS = Path(__file__).parent / "vectors"
CASES = ("echo", "fail", "gzip", "logid")
HELLO = "hello from C++ brpc"


def recorded(case: str, side: str) -> bytes:
    return (VECTORS / f"http_{case}.{side}.bin").read_bytes()


def request_of(case: str, pieces: list[bytes] | None = None, head_parser: Any = None) -> Seen:
    parser = RequestParser(head_parser=head_parser or PATTERN_HEAD_PARSER)
    (message,) = read_all(parser, pieces or [recorded(case, "client")])
    assert parser.broken is None
    assert message.is_whole
    return message


def response_of(case: str, pieces: list[bytes] | None = None, head_parser: Any = None) -> Seen:
    parser = ResponseParser(head_parser=head_parser or PATTERN_HEAD_PARSER)
    parser.expect("POST")
    (message,) = read_all(parser, pieces or [recorded(case, "server")])
    assert parser.broken is None
    assert message.is_whole
    return message


def test_manifest_names_the_sizes_of_all_recordings() -> None:
    manifest = json.loads((VECTORS / "manifest.json").read_text())
    entries = {entry["case"]: entry for entry in manifest if entry["case"].startswith("http_")}
    assert sorted(entries) == [f"http_{case}" for case in CASES]
    for case in CASES:
        for side in ("client", "server"):
            assert entries[f"http_{case}"][f"{side}_bytes"] == [len(recorded(case, side))]


@pytest.mark.parametrize("case", CASES)
def test_request_of_cpp_is_parsed(case: str) -> None:
    message = request_of(case)
    head = message.head
    assert isinstance(head, RequestHead)
    assert (head.method, head.target) == ("POST", "/conformance.EchoService/Echo")
    assert (head.version, head.keep_alive) == ("1.1", True)
    assert head.headers.content_type == "application/json"
    assert head.headers["user-agent"] == "brpc/1.0 curl/7.0"
    assert re.fullmatch(r"127\.0\.0\.1:\d+", head.headers["host"])
    body = gzip.decompress(message.body) if case == "gzip" else message.body
    assert json.loads(body)["message"] == ("z" * 2000 if case == "gzip" else HELLO)
    if case == "logid":
        assert (head.headers["Log-Id"], head.headers["X-Request-Id"]) == ("123456789", "req-42")


@pytest.mark.parametrize("case", CASES)
def test_response_of_cpp_is_parsed(case: str) -> None:
    message = response_of(case)
    head = message.head
    assert isinstance(head, ResponseHead)
    assert head.keep_alive
    if case == "fail":
        assert (head.status, head.reason) == (500, "Internal Server Error")
        assert error_code_in(head.headers["X-Bd-Error-Code"]) == 10042
        assert message.body == b"[127.0.0.1:9600][E10042]deliberate failure"
    else:
        assert (head.status, head.reason) == (200, "OK")
        assert json.loads(message.body)["message"] == ("z" * 2000 if case == "gzip" else HELLO)


@pytest.mark.parametrize("head_parser", HEAD_PARSERS, ids=lambda it: type(it).__name__)
@pytest.mark.parametrize("case", CASES)
def test_every_split_of_a_recording_gives_the_same_message(case: str, head_parser: Any) -> None:
    expected = request_of(case).told()
    for pieces in splits(recorded(case, "client")):
        assert request_of(case, pieces, head_parser).told() == expected
    answer = response_of(case).told()
    for pieces in splits(recorded(case, "server")):
        assert response_of(case, pieces, head_parser).told() == answer


@pytest.mark.parametrize("case", CASES)
def test_request_is_written_as_cpp_writes_it(case: str) -> None:
    message = request_of(case)
    headers = HttpHeaders(message.head.headers)
    host = headers.pop("host")
    for name in ("content-length", "accept", "user-agent"):
        del headers[name]
    sent = RequestWriter(host).whole("POST", "/conformance.EchoService/Echo", headers, message.body)
    assert sent == recorded(case, "client")


@pytest.mark.parametrize("case", CASES)
def test_response_is_written_as_cpp_writes_it(case: str) -> None:
    message = response_of(case)
    writer = ResponseWriter()
    if case == "fail":
        sent = error_response(writer, 10042, message.body.decode())
    else:
        sent = writer.whole(200, {"Content-Type": "application/json"}, message.body)
    assert sent == recorded(case, "server")
