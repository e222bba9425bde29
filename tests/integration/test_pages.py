"""The examples of the pages in docs/ run as they stand there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pybrpc
import pybrpc.redis
from bench.echo_messages import SERVICE, EchoRequest, EchoResponse
from pybrpc.transport.runtime import default_runtime
from soak.echo_services import PlainEcho
from tests.peers.pages import ROOT, examples_of, run_page
from tests.peers.redis_server import RedisServer, free_port
from tests.peers.tls import Certificates

SHOWN = "127.0.0.1:8000"
PAGES = {"tls.md": 5, "connections.md": 8, "redis.md": 2, "testing.md": 2}
"""How many examples there are on each."""


@pytest.fixture
def names() -> dict[str, Any]:
    """Names that the examples of all pages use without a definition."""
    return {
        "asyncio": asyncio,
        "pybrpc": pybrpc,
        "EchoRequest": EchoRequest,
        "EchoResponse": EchoResponse,
        "EchoService": PlainEcho,
        "SERVICE": SERVICE,
    }


@pytest.fixture
def served(names: dict[str, Any]) -> Iterator[str]:
    with pybrpc.Server() as server:
        server.add_service(SERVICE, PlainEcho())
        address = str(server.start("127.0.0.1:0"))
        with pybrpc.Channel(address) as channel:
            names["server"] = server
            names["stub"] = pybrpc.Stub(SERVICE, channel)
            yield address


def close_channels(names: dict[str, Any]) -> None:
    for each in list(names.values()):
        if isinstance(each, pybrpc.Channel):
            each.close()


def test_tls(
    names: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    certificates = Certificates(tmp_path)
    certificates.issue("client", "client.example")
    monkeypatch.chdir(tmp_path)
    run_page("docs/tls.md", names, {SHOWN: f"127.0.0.1:{free_port()}"})
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["ESSL handshake", "True", "client.example", "ERPCAUTH"]


def test_connections(
    names: dict[str, Any], served: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_page("docs/connections.md", names, {SHOWN: served})
    assert capsys.readouterr().out.startswith("ECONNREFUSED connect\n")
    close_channels(names)


def test_limits_on_the_page_are_those_of_the_code() -> None:
    page = (ROOT / "docs/connections.md").read_text()
    assert "| 1 GiB |" in page
    assert default_runtime().max_queued_bytes == 1 << 30


def test_redis(names: dict[str, Any]) -> None:
    with RedisServer() as server:
        run_page("docs/redis.md", names, {"127.0.0.1:6379": server.address})
        assert (names["number"], names["value"]) == (1, b"value")
        assert isinstance(names["error"], pybrpc.redis.RedisError)
        assert names["future"].result()[0] == 2
        assert names["values"] == ["value"] * 100


def test_testing(names: dict[str, Any], served: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_page("docs/testing.md", names, {SHOWN: served})
    assert names["reply"].message == "hello"
    assert capsys.readouterr().out == "ECONNRESET waiting\n"


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/verification.md"])
def test_page_names_files_that_exist(page: str) -> None:
    named = set(
        re.findall(r"`((?:[\w.-]+/)+(?:\w+\.(?:md|pml|pxd|py))?)`", (ROOT / page).read_text())
    )
    assert len(named) > 5
    assert {path for path in named if not exists(path)} == set()


def exists(path: str) -> bool:
    """As a page names a file or a folder: below src/pybrpc/, or in another folder of the root."""
    return any((root / path).exists() for root in (ROOT, ROOT / "src" / "pybrpc", ROOT / "tests"))


@pytest.mark.parametrize("page", PAGES)
def test_no_example_is_left_out(page: str) -> None:
    assert len(examples_of(f"docs/{page}")) == PAGES[page]
