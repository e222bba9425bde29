"""Lines of the access log: no value of a peer ends a line, or looks like another value."""

from __future__ import annotations

import json
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from pybrpc.base.endpoint import Endpoint
from pybrpc.server.access_log.access_line import (
    AccessRecord,
    HttpSummary,
    cut_id,
    cut_path,
    json_line,
    text_line,
)

RECORD = AccessRecord(
    ended_at=1_700_000_000.125,
    peer=Endpoint.parse("10.0.0.1:4242"),
    protocol="baidu_std",
    method="echo.EchoService.Echo",
    code=0,
    latency_s=0.0012345,
    request_bytes=12,
    response_bytes=34,
    log_id=2**64 - 1,
    request_id="abc-1",
)
NOTHING = AccessRecord(1_700_000_000.0, None, "baidu_std", "", None, 0.0, 0, 0, None, None)


def test_text() -> None:
    assert text_line(RECORD) == (
        "2023-11-14T22:13:20.125+00:00 10.0.0.1:4242 baidu_std echo.EchoService.Echo code=0 "
        "latency_ms=1.234 request_bytes=12 response_bytes=34 log_id=18446744073709551615 "
        "request_id=abc-1"
    )
    assert text_line(NOTHING) == (
        "2023-11-14T22:13:20.000+00:00 - baidu_std - code=- latency_ms=0.000 request_bytes=0 "
        "response_bytes=0 log_id=- request_id=-"
    )


def test_json() -> None:
    assert json.loads(json_line(RECORD)) == {
        "time": "2023-11-14T22:13:20.125+00:00",
        "peer": "10.0.0.1:4242",
        "protocol": "baidu_std",
        "method": "echo.EchoService.Echo",
        "code": 0,
        "latency_ms": 1.234,
        "request_bytes": 12,
        "response_bytes": 34,
        "log_id": 2**64 - 1,
        "request_id": "abc-1",
    }
    nothing = json.loads(json_line(NOTHING))
    assert [nothing[name] for name in ("peer", "method", "code", "log_id", "request_id")] == (
        [None] * 5
    )


def test_requests_of_http_have_more_values() -> None:
    record = RECORD._replace(http=HttpSummary("POST", "/v1/a%20b", 201))
    assert text_line(record) == (f"{text_line(RECORD)} http_method=POST path=/v1/a%20b status=201")
    fields = json.loads(json_line(record))
    assert fields == json.loads(json_line(RECORD)) | {
        "http_method": "POST",
        "path": "/v1/a%20b",
        "status": 201,
    }
    broken = RECORD._replace(http=HttpSummary("", "", 0))
    assert text_line(broken).endswith(" http_method=- path=- status=-")
    fields = json.loads(json_line(broken))
    assert [fields[name] for name in ("http_method", "path", "status")] == [None] * 3


@pytest.mark.parametrize("path", ["/a status=200", '/"', "/\udcff", "/a\nb", "-"])
def test_paths_of_peers_are_escaped(path: str) -> None:
    line = text_line(RECORD._replace(http=HttpSummary("GET", path, 404)))
    assert line.endswith(f" http_method=GET path={json.dumps(path)} status=404")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a b", '"a b"'),
        ("-", '"-"'),
        ("x\ncode=0", '"x\\ncode=0"'),
        ('"', '"\\""'),
        ("\x1b[31m", '"\\u001b[31m"'),
        ("\u2028\x85\u202e", '"\\u2028\\u0085\\u202e"'),
        ("\ud800", '"\\ud800"'),
        ("line\r", '"line\\r"'),
        ("line\n", '"line\\n"'),
    ],
)
def test_values_of_peers_are_escaped(value: str, shown: str) -> None:
    line = text_line(RECORD._replace(request_id=value, method=value))
    assert line.endswith(f" request_id={shown}")
    assert f" baidu_std {shown} code=0 " in line
    assert json.loads(json_line(RECORD._replace(request_id=value)))["request_id"] == value


@hypothesis.given(method=st.text(min_size=1), request_id=st.text(min_size=1))
def test_lines_are_one_line_of_ascii_that_can_be_read_again(method: str, request_id: str) -> None:
    record = RECORD._replace(method=method, request_id=request_id)
    for line in (text_line(record), json_line(record)):
        assert line.isascii()
        assert line.isprintable()
    fields: dict[str, Any] = json.loads(json_line(record))
    assert (fields["method"], fields["request_id"]) == (method, request_id)
    shown = text_line(record).partition(" request_id=")[2] if " " not in method else ""
    if shown.startswith('"'):
        assert json.loads(shown) == request_id


def test_long_paths_are_cut() -> None:
    assert cut_path("/" + 511 * "x") == "/" + 511 * "x"
    assert cut_path("/" + 16_000 * "x") == "/" + 511 * "x" + "..."


def test_long_ids_are_cut() -> None:
    assert cut_id(None) is None
    assert cut_id("x" * 256) == "x" * 256
    assert cut_id("x" * 1_000_000) == "x" * 256 + "..."
