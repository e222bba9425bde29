"""The examples of docs/deployment.md run as they stand there."""

from __future__ import annotations

import re
import socket
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from tests.peers.echo import ECHO
from tests.peers.pages import ROOT, examples_of, run_example
from tests.peers.service_manager import NotifySocket, start_program
from tests.peers.serving import EchoService
from tests.peers.supervised import call

pytestmark = pytest.mark.same_everywhere

PAGE = "docs/deployment.md"
NAMES = """
import asyncio, signal, sys
import pybrpc
from tests.peers.echo import ECHO as SERVICE
from tests.peers.pages import examples_of, run_example
from tests.peers.worker_apps import AsyncEcho as AsyncEchoService, WorkerEcho as EchoService
run_example(examples_of(sys.argv[1])[int(sys.argv[2])], globals(), {"127.0.0.1:0": sys.argv[3]})
"""


@pytest.mark.parametrize("number", [0, 1])
def test_program_serves_tells_systemd_and_stops(unix_path: Path, number: int) -> None:
    """The first with a socket of systemd, the second in a loop, on a socket that is passed too."""
    with (
        NotifySocket(str(unix_path)) as manager,
        socket.create_server(("127.0.0.1", 0)) as sock,
    ):
        command = [sys.executable, "-c", NAMES, PAGE, str(number), "fd://3"]
        told = {"NOTIFY_SOCKET": manager.address}
        process = start_program(command, [sock], ["greeter"], told)
        try:
            manager.wait_received("READY=1")
            assert call(f"127.0.0.1:{sock.getsockname()[1]}", "hello") == "hello"
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.communicate()
        assert manager.states() == ["READY=1", "STOPPING=1"]


def test_two_servers_on_a_port() -> None:
    names: dict[str, Any] = {"pybrpc": pybrpc, "SERVICE": ECHO, "EchoService": EchoService}
    run_example(examples_of(PAGE)[2], names, {})
    assert names["endpoint"].port > 0


def test_pages_name_the_repository_and_the_tag_of_this_release() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = f"git+{project['urls']['Repository']}@v{project['version']}"
    for page, times in {PAGE: 1, "docs/install.md": 3}.items():
        assert re.findall(r"git\+[^\s\"]+", (ROOT / page).read_text()) == [wanted] * times, page


def test_there_are_no_other_examples() -> None:
    assert len(examples_of(PAGE)) == 3


def test_units_of_the_page_are_those_of_the_example() -> None:
    units = re.findall(r"```ini\n(.*?)```", (ROOT / PAGE).read_text(), re.DOTALL)
    for name, unit in zip(("greeter.socket", "greeter.service"), units, strict=True):
        lines = (ROOT / "examples" / "deploy" / name).read_text().splitlines()
        assert set(unit.splitlines()) <= set(lines)
