"""pybrpc health, against servers."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.cli.main import main
from tests.peers.command import command
from tests.peers.redis_server import free_port
from tests.peers.serving import make_server, start

pytestmark = pytest.mark.same_everywhere


@pytest.fixture
def reported() -> Iterator[dict[str, Any]]:
    """A server; "answer" is its health."""
    state: dict[str, Any] = {"answer": True}
    with make_server(health_reporter=lambda: state["answer"]) as server:
        state["address"] = str(start(server))
        yield state


def test_healthy_server_is_status_0(
    reported: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["health", reported["address"]]) == 0
    assert capsys.readouterr().out == f"{reported['address']}: healthy: OK\n"


def test_server_that_is_not_healthy_is_status_1(
    reported: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    reported["answer"] = pybrpc.HealthReport(False, "no\x1b[31m disk")
    assert main(["health", "--json", reported["address"]]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "server": reported["address"],
        "healthy": False,
        "status": 503,
        "text": "no\ufffd[31m disk",
    }
    assert main(["health", "--readiness", reported["address"]]) == 0


def test_one_of_several_that_does_not_answer_is_status_1(
    reported: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    assert main(["health", nobody, reported["address"]]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{nobody}: NOT healthy: ECONNREFUSED")
    assert second.endswith("healthy: OK")


def test_command_waits_until_a_server_is_healthy() -> None:
    asked: list[bool] = []

    def answer() -> bool:
        asked.append(len(asked) == 2)
        return asked[-1]

    with make_server(health_reporter=answer) as server:
        assert main(["health", "--wait", "60", str(start(server))]) == 0
    assert asked == [False, False, True]


def test_address_that_is_none_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


def test_missing_file_of_an_authority_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "127.0.0.1:1", "--ca", "/no/such/file"]) == 2
    assert "/no/such/file" in capsys.readouterr().err


def test_interruption_ends_it_without_a_traceback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        arguments = command("health", "--timeout", "600", address)
        with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(1) == b"G"
                process.send_signal(signal.SIGINT)
                assert process.wait(60) == 130
            assert process.stderr is not None
            assert process.stderr.read() == ""
