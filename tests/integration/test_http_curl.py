"""curl as a judge of the server: what people type first."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from tests.peers.http_server import PATH, TIMEOUT_S, serving_http
from tests.peers.programs import require_program

pytestmark = pytest.mark.usefixtures("_curl")


@pytest.fixture
def _curl() -> None:
    require_program("curl")


def curl(*arguments: str, data: bytes = b"") -> bytes:
    """Run curl; return its output. An error of curl is one of the test."""
    command = ["curl", "-sS", "--fail-with-body", "--max-time", str(TIMEOUT_S), *arguments]
    done = subprocess.run(command, input=data, capture_output=True, timeout=2 * TIMEOUT_S)
    assert done.returncode in (0, 22), done.stderr
    return done.stdout


def test_json_is_sent_and_comes_back() -> None:
    with serving_http() as server:
        found = curl("-d", '{"message":"hi"}', f"http://{server.endpoint}{PATH}")
        assert found == b'{"message":"hi","attachment_bytes":0}'


def test_two_requests_use_one_connection() -> None:
    with serving_http() as server:
        url = f"http://{server.endpoint}{PATH}"
        found = curl("-w", "%{num_connects} ", "-d", '{"message":"a"}', url, url)
        assert found == b'{"message":"a","attachment_bytes":0}1 ' + (
            b'{"message":"a","attachment_bytes":0}0 '
        )
        assert server.statistics().accepted == 1


@pytest.mark.parametrize("form", [[], ["-H", "Transfer-Encoding: chunked"], ["-0"]])
def test_long_body(form: list[str], tmp_path: Path) -> None:
    """curl waits for "100 Continue" with a body of more than 1 MiB, at least by HTTP/1.1."""
    text = "x" * 3_000_000
    path = tmp_path / "body.json"
    path.write_text(f'{{"message":"{text}"}}')
    with serving_http() as server:
        more = ["--expect100-timeout", "10", "--data-binary", f"@{path}"]
        found = curl(*form, *more, f"http://{server.endpoint}{PATH}")
        assert len(found) == len(text) + len('{"message":"","attachment_bytes":0}')


def test_body_of_a_pipe_is_sent_in_chunks() -> None:
    with serving_http() as server:
        url = f"http://{server.endpoint}{PATH}"
        assert b'"piped"' in curl("-X", "POST", "-T", "-", url, data=b'{"message":"piped"}')


def test_gzip_both_ways() -> None:
    def compress(request: Any, controller: pybrpc.Controller) -> None:
        controller.response_compress_type = pybrpc.CompressType.GZIP

    body = gzip.compress(b'{"message":"%s"}' % (b"z" * 5000))
    with serving_http(compress) as server:
        url = f"http://{server.endpoint}{PATH}"
        headers = ["-H", "Content-Encoding: gzip", "--compressed", "-D", "-"]
        found = curl(*headers, "--data-binary", "@-", url, data=body)
        assert b"Content-Encoding: gzip" in found
        assert b"z" * 5000 in found


def test_head_has_no_body() -> None:
    with serving_http() as server:
        found = curl("-I", f"http://{server.endpoint}/status")
        assert found.startswith(b"HTTP/1.1 200 OK\r\n")
        assert found.endswith(b"\r\n\r\n")


def test_errors_have_a_status_and_a_text() -> None:
    with serving_http() as server:
        url = f"http://{server.endpoint}"
        for path, status in (("/nothing", b"404"), (PATH, b"405"), ("/flags", b"403")):
            text = curl("-w", "%{http_code}", f"{url}{path}")
            assert text.endswith(status)
            assert len(text) > 20
            assert b"<" not in text


def test_pages_are_text() -> None:
    with serving_http(internal_port=0) as server:
        for path in ("/", "/status", "/vars", "/connections", "/flags"):
            found = curl("-w", "%{content_type}", f"http://{server.internal_endpoint}{path}")
            assert found.endswith(b"text/plain; charset=utf-8")
