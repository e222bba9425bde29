"""pybrpc view, against servers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from pybrpc.cli.main import main
from tests.peers.cli_server import cli_server
from tests.peers.command import command
from tests.peers.pages import ROOT
from tests.peers.serving import make_server, start

pytestmark = pytest.mark.same_everywhere


@pytest.fixture
def address() -> Iterator[str]:
    with cli_server(version="1.2\x1b[31m") as served:
        yield served


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ((), "/status : Status of services"),
        (("status",), "[conformance.EchoService]"),
        (("/vars/rpc_server_*_connection_count",), "_connection_count : 1"),
        (("connections",), "server_connection_count: 1"),
        (("vars?filter=no_such_name",), ""),
    ],
)
def test_page_is_shown_as_text(
    address: str, capsys: pytest.CaptureFixture[str], page: tuple[str, ...], text: str
) -> None:
    assert main(["view", address, *page]) == 0
    assert text in capsys.readouterr().out


def test_json_of_a_page_is_shown_in_lines(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view", address, "list"]) == 0
    text = capsys.readouterr().out
    assert text.count("\n") > 5
    assert json.loads(text)["service"][0]["name"] == "EchoService"


def test_machines_get_the_page_in_json(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view", address, "health", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"page": "/health", "content_type": "text/plain; charset=utf-8", "text": "OK"}


def test_text_of_the_server_is_not_obeyed_by_the_terminal(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["view", address, "version"]) == 0
    assert capsys.readouterr().out == "1.2\ufffd[31m\n"


def test_page_that_is_not_shown_is_status_1(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["view", address, "nothing"]) == 1
    assert f"{address}/nothing: 404 Not Found" in capsys.readouterr().err
    with make_server() as server:
        assert main(["view", str(start(server)), "connections", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["http_status"] == 403


def test_page_is_shown_again_and_again(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["view", address, "health", "--watch", "0.01", "-n", "3"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == "OK\n\n" * 3
    assert main([*arguments, "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_reader_that_has_gone_ends_a_page_that_is_watched(address: str) -> None:
    arguments = command("view", address, "health", "--watch", "0.01")
    with subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "OK\n"
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == ""


@pytest.mark.parametrize("name", ["view", "top", "dump", "health"])
def test_pages_are_those_of_one_server(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main([name, "list://127.0.0.1:1,127.0.0.1:2"]) == 2
    assert "may be several servers: give the host:port or unix:path of one" in (
        capsys.readouterr().err
    )
