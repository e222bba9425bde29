"""pybrpc top, against servers."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.cli import top
from pybrpc.cli.main import main
from tests.peers.cli_server import cli_server
from tests.peers.command import command
from tests.peers.commands import serving
from tests.peers.echo import ECHO, echo_request
from tests.peers.pages import ROOT
from tests.peers.redis_server import free_port
from tests.peers.serving import EchoService, make_server, start
from tests.peers.supervised import APPS

pytestmark = pytest.mark.same_everywhere

METHOD = "conformance.EchoService.Echo"


@pytest.fixture
def address() -> Iterator[str]:
    with cli_server() as served:
        yield served


def call_some(address: str) -> None:
    """Three calls, one of which fails."""
    with pybrpc.Channel(address, timeout=30) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        for message in ("a", "b", "fail"):
            with contextlib.suppress(pybrpc.RpcError):
                stub.Echo(echo_request(message))


def test_calls_errors_and_connections_are_shown(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call_some(address)
    assert main(["top", address, "-n", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    first, second = found["methods"]
    assert (first["method"], first["calls"], first["errors"]) == (METHOD, 2, 1)
    assert second["calls"] == 0
    assert found["server"] == address
    assert found["connections"] >= 1
    assert "http" in {each["protocol"] for each in found["busiest_connections"]}


def test_people_get_a_table(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    call_some(address)
    assert main(["top", address, "-n", "1"]) == 0
    text = capsys.readouterr().out
    assert re.search(rf"^ +{re.escape(METHOD)} .* 2 .* 1 ", text, re.MULTILINE)
    assert "\x1b" not in text


def test_rates_are_those_since_the_last_look() -> None:
    figures = {"count": 100, "error": 4, "qps": 7, "eps": 0}
    later = {"count": 150, "error": 9, "qps": 7, "eps": 0}

    def look(at_s: float, values: dict[str, int]) -> top.Look:
        return top.Look(at_s, top.Status(methods={"m": values}), "", [])

    (row,) = top.facts_of("s", look(12.0, later), look(2.0, figures))["methods"]
    assert (row["qps"], row["eps"]) == (5.0, 0.5)
    (first,) = top.facts_of("s", look(2.0, figures), None)["methods"]
    assert first["qps"] == 7
    (restarted,) = top.facts_of("s", look(12.0, figures), look(2.0, later))["methods"]
    assert restarted["qps"] == 0


def test_server_that_hides_its_connections_shows_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with make_server() as server:
        assert main(["top", str(start(server)), "-n", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["busiest_connections"], found["connections"]) == ([], 1)


def test_figures_of_all_workers_are_added_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = str(free_port())
    arguments = (f"{APPS}:make_server", "--workers", "2", "--internal-port", port)
    with serving(tmp_path / "log", *arguments) as served:
        for _ in range(8):
            call_some(served.address)
        assert main(["top", f"127.0.0.1:{port}", "-n", "1", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert main(["descriptor", f"127.0.0.1:{port}"]) == 0
    assert found["workers"] == 2
    assert found["methods"][0]["calls"] == 16
    assert METHOD in capsys.readouterr().out


def test_number_of_any_length_in_a_column_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    digits = "9" * 5000
    pages = {
        "/status": "version: x\n",
        "/connections": f"{' | '.join(['1'] * 5 + [digits] * 11)}\n{' | '.join(['1'] * 16)}\n",
    }

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages[self.path].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert main(["top", f"127.0.0.1:{server.server_port}", "-n", "1", "--json"]) == 0
        server.shutdown()
    found = json.loads(capsys.readouterr().out)["busiest_connections"]
    assert [each["in"] for each in found] == ["1", digits]


def test_server_that_is_none_of_brpc_is_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pybrpc.Server(builtin_services=False) as server:
        server.add_service(ECHO, EchoService())
        assert main(["top", str(start(server)), "-n", "1"]) == 1
    assert "/status: 404" in capsys.readouterr().err


def test_reader_that_has_gone_ends_it_quietly(address: str) -> None:
    arguments = command("top", address, "--interval", "0.01")
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(arguments, cwd=ROOT, text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(address)
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == ""


def test_terminal_gets_a_live_screen_that_ctrl_c_ends(address: str) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160"}
    arguments = command("top", address, "--interval", "0.1")
    pipes: dict[str, Any] = {"stdout": theirs, "stderr": subprocess.PIPE}
    with subprocess.Popen(arguments, cwd=ROOT, env=environment, **pipes) as process:
        os.close(theirs)
        shown = b""
        while shown.count(METHOD.encode()) < 2:
            shown += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):
            while data := os.read(ours, 65536):
                shown += data
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""
    os.close(ours)
    assert b"\x1b[?1049h" in shown
    assert shown.rstrip().endswith((b"\x1b[?1049l", b"\x1b[?25h"))
