"""The examples of docs/serving.md run as they stand there."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.server import Supervisor
from tests.fakes.threads import wait_until
from tests.peers.command import command
from tests.peers.echo import ECHO
from tests.peers.pages import ROOT, examples_of, run_example
from tests.peers.redis_server import free_port
from tests.peers.serving import EchoService
from tests.peers.supervised import call
from tests.peers.worker_apps import AsyncEcho
from tests.protos import conformance_pb2 as pb

PAGE = "docs/serving.md"
MODULE = """
from tests.peers.echo import ECHO as SERVICE
from tests.peers.worker_apps import AsyncEcho as AsyncEchoService
from tests.peers.worker_apps import WorkerEcho as EchoService
"""
NAMES: dict[str, Any] = {
    "pybrpc": pybrpc,
    "SERVICE": ECHO,
    "EchoRequest": pb.EchoRequest,
    "EchoService": EchoService,
}


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those examples that are modules, and what they import."""
    (tmp_path / "echo_service.py").write_text(MODULE)
    for example in examples_of(PAGE):
        first_line = example.partition("\n")[0]
        if first_line.endswith(".py"):
            (tmp_path / first_line.removeprefix("# ")).write_text(example)
    monkeypatch.syspath_prepend(tmp_path)


def test_cores_and_memory() -> None:
    """In a process of its own, which stays bound."""
    if len(os.sched_getaffinity(0) & {1}) == 0:
        pytest.skip("the process may not use core 1")
    code = examples_of(PAGE)[5] + "\nimport os\nprint(os.sched_getaffinity(0))\n"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "{1}\n"


def test_from_python(capsys: pytest.CaptureFixture[str]) -> None:
    where = {"127.0.0.1:8000": f"127.0.0.1:{free_port()}"}
    run_example(examples_of(PAGE)[6], dict(NAMES), where)
    assert capsys.readouterr().out == "hello\n1\n"


def test_what_handlers_share_is_opened_and_closed(tmp_path: Path) -> None:
    module = tmp_path / "shared_echo_server.py"
    with socket.create_server(("127.0.0.1", 0)) as redis:
        redis.settimeout(60)
        module.write_text(module.read_text().replace("6379", str(redis.getsockname()[1])))
        with Supervisor("shared_echo_server:make_server") as supervisor:
            assert call(supervisor.start("127.0.0.1:0"), "hello") == "hello"
            connection, _ = redis.accept()
        with connection:
            assert connection.recv(1) == b""


def test_lines_of_the_access_log_are_json_and_nothing_else(tmp_path: Path) -> None:
    """Those of all workers; none of them is on the standard error."""
    target = "logged_echo_server:make_server"
    arguments = command("serve", target, "--bind", "127.0.0.1:0", "--workers", "2")
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    more = {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    with subprocess.Popen(
        arguments, cwd=tmp_path, env=os.environ | more, text=True, **pipes
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().partition(" on ")[2].partition(",")[0]
        for number in range(20):  # each over a connection of its own
            assert call(address, f"{number}") == f"{number}"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    lines = [json.loads(line) for line in (tmp_path / "access.jsonl").read_text().splitlines()]
    assert [(line["method"], line["code"]) for line in lines] == [
        (f"{ECHO.full_name}.Echo", 0)
    ] * 20
    assert "pybrpc.access" not in said


def test_in_a_loop() -> None:
    with Supervisor("async_echo_server:make_server", loop="uvloop") as supervisor:
        assert call(supervisor.start("127.0.0.1:0"), "loop") == "uvloop"


def test_in_a_loop_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    run_example(examples_of(PAGE)[3], NAMES | {"AsyncEchoService": AsyncEcho}, {})
    assert capsys.readouterr().out == "hello\n"


def test_without_a_supervisor() -> None:
    names = dict(NAMES)
    run_example(examples_of(PAGE)[7], names, {})
    assert names["endpoint"].port > 0
    wait_until(lambda: not names["server"].is_running)


def test_there_are_no_other_examples() -> None:
    assert len(examples_of(PAGE)) == 8


@pytest.mark.parametrize(("connections", "said"), [(8, "38 %"), (16, "4 %"), (32, "0.04 %")])
def test_page_names_the_chance_of_an_idle_worker(connections: int, said: str) -> None:
    chance = sum(
        (-1) ** (idle + 1) * math.comb(4, idle) * (1 - idle / 4) ** connections
        for idle in range(1, 5)
    )
    assert said in (ROOT / PAGE).read_text()
    assert f"{100 * chance:.1g} %" == said or f"{100 * chance:.2g} %" == said
