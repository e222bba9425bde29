"""pybrpc descriptor, and where commands get descriptors from: files, servers."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

import pybrpc
from pybrpc.cli.main import main
from pybrpc.cli.schema import loading
from tests.peers.command import command
from tests.peers.pages import ROOT
from tests.peers.serving import make_server, start

pytestmark = pytest.mark.same_everywhere

PROTO = ROOT / "tests" / "protos" / "conformance.proto"
ECHO_LINE = (
    "conformance.EchoService.Echo (conformance.EchoRequest) returns (conformance.EchoResponse)"
)
LOOPBACK = ["127.0.0.0/8"]


@pytest.fixture
def address() -> Iterator[str]:
    with make_server(builtin_allow=LOOPBACK) as server:
        yield str(start(server))


def test_methods_of_a_server_are_listed(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["descriptor", address]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [ECHO_LINE, ECHO_LINE.replace(".Echo ", ".Stream ")]
    assert main(["descriptor", address, "--json"]) == 0
    first, _ = json.loads(capsys.readouterr().out)
    assert first["method"] == "conformance.EchoService.Echo"
    assert first["request"] == "conformance.EchoRequest"
    assert not first["server_streaming"]


def test_source_of_a_message_is_shown(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["descriptor", address, "conformance.EchoRequest"]) == 0
    assert "  required string message = 1;\n" in capsys.readouterr().out
    assert main(["descriptor", address, "conformance.EchoRequest", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["descriptor"]["field"][0]["name"] == "message"
    assert main(["descriptor", address, "conformance.Nothing"]) == 2


def test_set_that_is_written_can_be_read_again(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "set"
    assert main(["descriptor", address, "-o", str(path)]) == 0
    assert [file.package for file in FileDescriptorSet.FromString(path.read_bytes()).file] == [
        "conformance"
    ]
    assert main(["descriptor", "-d", str(path)]) == 0
    assert capsys.readouterr().out.startswith(ECHO_LINE)
    written = subprocess.check_output(command("descriptor", "-d", path, "-o", "-"), cwd=ROOT)
    assert written == path.read_bytes()


@pytest.mark.skipif(shutil.which("protoc") is None, reason="protoc is not installed")
def test_proto_files_are_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["descriptor", "--proto", str(PROTO)]) == 0
    assert capsys.readouterr().out.startswith(ECHO_LINE)


def test_server_that_hides_its_pages_is_an_error_that_says_what_helps(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with make_server(internal_port=0) as server:
        hidden = str(start(server))
        assert main(["descriptor", hidden]) == 1
        said = capsys.readouterr().err
        assert "/protobufs: 403 Forbidden" in said
        assert "give --descriptor-set or --proto, or the internal port of the server" in said
        assert main(["descriptor", "--pages", str(server.internal_endpoint)]) == 0
    assert capsys.readouterr().out.startswith(ECHO_LINE)


def test_server_without_services_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pybrpc.Server(builtin_allow=LOOPBACK) as server:
        assert main(["descriptor", str(start(server))]) == 2
    assert "has no descriptors" in capsys.readouterr().err


class LongSources(BaseHTTPRequestHandler):
    """As a server in C++ whose messages have long sources."""

    def do_GET(self) -> None:
        is_list = self.path.partition("?")[0] == "/protobufs"
        body = (
            b"a.A\na.B\na.C\n"
            if is_list
            else (b"message %s {\n}\n" % self.path[-1:].encode()).ljust(1000)
        )
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.mark.parametrize(("limit", "status"), [(2500, 1), (3000, 0)])
def test_sources_of_a_server_are_limited_together(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], limit: int, status: int
) -> None:
    monkeypatch.setattr(loading, "MAX_SOURCE_BYTES", limit)
    with ThreadingHTTPServer(("127.0.0.1", 0), LongSources) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert main(["descriptor", f"127.0.0.1:{server.server_port}"]) == status
        finally:
            server.shutdown()
            thread.join()
    assert ("the sources have over 2500 bytes" in capsys.readouterr().err) == (status == 1)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "SERVER, or one of --descriptor-set, --proto and --pages, is needed"),
        (["-d", "/no/such/file"], "/no/such/file: No such file"),
        (["-d", str(PROTO)], "is no descriptor set"),
        (["-d", "/dev/null"], "has no descriptors"),
    ],
)
def test_wrong_usage_is_told(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["descriptor", *arguments]) == 2
    assert text in capsys.readouterr().err
