"""The command `pybrpc serve`: what it takes, what it prints, and its exit status."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.server import SupervisorStatistics, WorkerStartError
from pybrpc.server.workers import cli

DONE = SupervisorStatistics(deaths=3)


class FakeServe:
    """Serves at once, or raises; keeps what it was asked for."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.target = self.address = ""
        self.options: dict[str, Any] = {}

    def __call__(self, target: str, address: str, **options: Any) -> SupervisorStatistics:
        self.target, self.address, self.options = target, address, options
        if self.error is not None:
            raise self.error
        options["on_started"](Endpoint("127.0.0.1", 8001))
        return DONE


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> FakeServe:
    made = FakeServe()
    monkeypatch.setattr(cli, "serve", made)
    return made


def test_command_prints_the_address_and_the_statistics(
    played: FakeServe, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["serve", "app:make", "--bind", "127.0.0.1:0", "--workers", "2"]) == 0
    assert capsys.readouterr().out == (
        f"serving app:make on 127.0.0.1:8001, pid {os.getpid()}\n{DONE}\n"
    )
    assert (played.target, played.address) == ("app:make", "127.0.0.1:0")
    assert played.options["workers"] == 2


def test_options_of_the_command_are_passed_on(played: FakeServe) -> None:
    given = ["--grace", "1.5", "--start-timeout", "9", "--loop", "uvloop", "--log-level", "error"]
    cli.main(["serve", "app:make", *given])
    told = {name: value for name, value in played.options.items() if name != "on_started"}
    assert told == {
        "workers": 1,
        "grace": 1.5,
        "start_timeout": 9.0,
        "loop": "uvloop",
        "log_level": "error",
    }
    assert played.address == "127.0.0.1:8000"


def test_target_is_looked_for_in_the_current_directory(
    played: FakeServe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", ["/elsewhere"])
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        cli.main(["serve", "app:make"])
        assert sys.path == [os.getcwd(), "/elsewhere"]


@pytest.mark.parametrize("error", [WorkerStartError("worker 0 died"), ValueError("no target")])
def test_command_that_can_not_start_prints_the_reason(
    played: FakeServe, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    played.error = error
    assert cli.main(["serve", "app:make"]) == 1
    assert capsys.readouterr() == ("", f"pybrpc serve: {error}\n")


@pytest.mark.parametrize("arguments", [[], ["serve"], ["serve", "app:make", "--loop", "trio"]])
def test_command_line_that_makes_no_sense(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
