"""The command `pybrpc serve`: what it takes, what it prints, and its exit status."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.base.endpoint import Endpoint
from pybrpc.cli import serve
from pybrpc.cli.main import main
from pybrpc.server import SupervisorStatistics, WorkerStartError
from pybrpc.server.workers.settings import SupervisorSettings

pytestmark = pytest.mark.same_everywhere

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
    monkeypatch.setattr(serve, "serve", made)
    return made


def test_command_prints_the_address_and_the_statistics(
    played: FakeServe, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "app:make", "--bind", "127.0.0.1:0", "--workers", "2"]) == 0
    assert capsys.readouterr().out == (
        f"serving app:make on 127.0.0.1:8001, pid {os.getpid()}\n{DONE}\n"
    )
    assert (played.target, played.address) == ("app:make", "127.0.0.1:0")
    assert played.options["workers"] == 2


CHANGED_AT_THE_END = """
import signal, sys
from pybrpc.cli import serve
from pybrpc.cli.main import main
from pybrpc.server import SupervisorStatistics

class Watch(serve.Reloading):
    def stop(self):
        serve.replace_workers(["changed.py"])
        super().stop()

serve.Reloading = Watch
serve.serve = lambda *_, **__: SupervisorStatistics()
status = main(["serve", "app:make", "--reload", "--json", "--directory", sys.argv[1]])
print(signal.getsignal(signal.SIGHUP) is signal.SIG_DFL)
sys.exit(status)
"""


def test_change_of_a_file_that_is_found_after_the_stop_ends_nothing(tmp_path: Path) -> None:
    """It comes as SIGHUP, which would end the process with 129."""
    arguments = [sys.executable, "-c", CHANGED_AT_THE_END, str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    statistics, is_default = done.stdout.splitlines()
    assert "total" in json.loads(statistics)
    assert is_default == "True"


def test_options_of_the_command_are_passed_on(played: FakeServe) -> None:
    given = {
        "--grace": "1.5",
        "--start-timeout": "9",
        "--stall-timeout": "0",
        "--loop": "uvloop",
        "--log-level": "error",
        "--directory": "/",
        "--internal-port": "8001",
        "--register": "etcd://127.0.0.1:2379/echo",
        "--advertise": "10.0.0.1:0 3 zone=a",
        "--drain-delay": "1.5",
        "--pin": "0-2,5",
    }
    main(["serve", "app:make", *(word for pair in given.items() for word in pair)])
    told = {name: value for name, value in played.options.items() if name != "on_started"}
    assert told == {
        "workers": 1,
        "grace": 1.5,
        "start_timeout": 9.0,
        "stall_timeout": 0.0,
        "directory": "/",
        "internal_port": 8001,
        "register": ["etcd://127.0.0.1:2379/echo"],
        "advertise": "10.0.0.1:0 3 zone=a",
        "drain_delay": 1.5,
        "pin": {0, 1, 2, 5},
        "keep_memory": True,
        "reuse_port": False,
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
        main(["serve", "app:make"])
        assert sys.path == [os.getcwd(), "/elsewhere"]


def test_target_is_looked_for_in_the_directory_by_its_name(
    played: FakeServe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "current").symlink_to("release")
    monkeypatch.setattr(sys, "path", ["/elsewhere"])
    main(["serve", "app:make", "-C", str(tmp_path / "current")])
    assert sys.path == [str(tmp_path / "current"), "/elsewhere"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (WorkerStartError("worker 0 died"), 1),
        (ValueError("no target"), 2),
        (OSError("no descriptors"), 1),
    ],
)
def test_command_that_can_not_start_prints_the_reason(
    played: FakeServe, capsys: pytest.CaptureFixture[str], error: Exception, status: int
) -> None:
    played.error = error
    assert main(["serve", "app:make"]) == status
    assert capsys.readouterr() == ("", f"pybrpc serve: {error}\n")


@pytest.mark.parametrize("arguments", [[], ["serve"], ["serve", "app:make", "--loop", "trio"]])
def test_command_line_that_makes_no_sense(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize("option", ["--grace", "--start-timeout", "--stall-timeout"])
@pytest.mark.parametrize("value", ["nan", "-1", "-inf", "5s", ""])
def test_time_that_is_no_number_of_seconds_is_told_in_one_line(
    played: FakeServe, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve", "app:make", f"{option}={value}"])
    assert caught.value.code == 2
    said = f"error: argument {option}: must be a number of seconds >= 0, not {value!r}"
    assert capsys.readouterr().err.splitlines()[-1] == f"pybrpc serve: {said}"


def test_infinite_time_is_no_limit(played: FakeServe) -> None:
    main(["serve", "app:make", "--grace", "inf"])
    settings = SupervisorSettings.of("app:make", {"grace": played.options["grace"]})
    assert settings.grace_s is None


@pytest.mark.parametrize("module", ["pybrpc", "pybrpc.cli.main"])
def test_version_and_form_are_told(module: str) -> None:
    command = [sys.executable, "-m", module, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    python = platform.python_version()
    assert done.stdout == f"pybrpc {pybrpc.__version__} ({pybrpc.__impl__}, Python {python})\n"


def test_address_without_a_naming_service_is_a_mistake(
    played: FakeServe, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "app:make", "--advertise", "10.0.0.1:8000"]) == 2
    assert "--advertise needs --register" in capsys.readouterr().err
    assert played.target == ""


def test_memory_is_given_back_if_the_command_is_told_to(played: FakeServe) -> None:
    main(["serve", "app:make", "--no-keep-memory"])
    assert (played.options["keep_memory"], played.options["pin"]) == (False, None)


def test_wrong_cores_end_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "app:make", "--pin", "two"])
    assert "cores must be a list such as \"0-3,8\", not 'two'" in capsys.readouterr().err


def test_target_that_names_no_function_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "x"]) == 2
    assert capsys.readouterr().err.startswith("pybrpc serve: ")


def test_cores_that_there_are_not_end_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "app:make", "--pin", "4000"]) == 2
    assert re.search("can't use the cores 4000|needs Linux", capsys.readouterr().err)


def test_machines_get_json(played: FakeServe, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "app:make", "--json"]) == 0
    started, done = map(json.loads, capsys.readouterr().out.splitlines())
    assert started == {"target": "app:make", "address": "127.0.0.1:8001", "pid": os.getpid()}
    assert done["deaths"] == 3


def test_sockets_of_systemd_are_the_default(
    played: FakeServe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    main(["serve", "app:make"])
    assert played.address == "fd://"
    main(["serve", "app:make", "--bind", "fd://web", "--reuse-port"])
    assert (played.address, played.options["reuse_port"]) == ("fd://web", True)
    monkeypatch.setenv("LISTEN_PID", "1")
    main(["serve", "app:make"])
    assert played.address == "127.0.0.1:8000"
