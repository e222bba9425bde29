"""The command `pybrpc`: which commands there are, and how each may end."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pybrpc.cli import check, main
from pybrpc.cli.command import CommandError, UsageError
from pybrpc.errors import AddressError, MissingExtraError, Phase, PyBrpcError, RpcTimeoutError
from tests.peers.command import command, run_command

NAMES = [entry.name for entry in main.COMMANDS]
NO_RICH = """
import sys
sys.modules["rich"] = None
from pybrpc.cli.main import main

sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_a_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main([name, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert f"  pybrpc {name} " in text or f"  pybrpc {name}\n" in text
    assert "--json" in text
    assert "exit status:" in text


def test_help_lists_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["--help"])
    text = capsys.readouterr().out
    listed = re.findall(r"^  (\w+) {2,}", text, re.MULTILINE)
    assert listed == NAMES


def test_each_command_has_its_file() -> None:
    folder = Path(main.__file__).parent
    assert all((folder / f"{name}.py").is_file() for name in NAMES)


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["check", "--nonsense"]])
def test_command_line_that_makes_no_sense_is_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["nonsense"], "argument COMMAND: invalid choice: 'nonsense'"),
        (["check", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["view", "a", "--timeout", "\x1b"], "argument -t/--timeout: must be a number of seconds"),
    ],
)
def test_error_of_the_command_line_is_json_too(
    capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    assert main.main([*arguments, "--json"]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error"]["text"].startswith(text)
    assert shown.err == ""


@pytest.mark.parametrize(
    ("error", "status", "facts"),
    [
        (CommandError("no", 1, more=5), 1, {"text": "no", "more": 5}),
        (UsageError("no"), 2, {"text": "no"}),
        (AddressError("no"), 2, {"text": "no"}),
        (MissingExtraError("no"), 3, {"text": "no"}),
        (PyBrpcError("no"), 1, {"text": "no"}),
        (OSError(13, "Permission denied"), 1, {"text": "Permission denied"}),
        (OSError(13, "Permission denied", "/x"), 1, {"text": "/x: Permission denied"}),
        (
            RpcTimeoutError("no", peer="10.0.0.1:80", phase=Phase.WAITING),
            1,
            {
                "text": "no",
                "code": 1008,
                "name": "ERPCTIMEDOUT",
                "phase": "waiting",
                "peer": "10.0.0.1:80",
            },
        ),
    ],
)
def test_error_has_its_status_and_is_one_line_or_json(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    status: int,
    facts: dict[str, object],
) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(check, "run", fail)
    assert main.main(["check"]) == status
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("pybrpc check: ")
    assert shown.err.count("\n") == 1
    assert main.main(["check", "--json"]) == status
    assert json.loads(capsys.readouterr().out) == {"error": facts}


def test_interruption_is_status_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(options: argparse.Namespace, output: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "run", interrupted)
    assert main.main(["check"]) == 130


def test_reader_that_has_gone_ends_the_command_quietly() -> None:
    with subprocess.Popen(
        command("check"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 141


def test_text_that_the_output_can_not_have_is_escaped() -> None:
    code = "from pybrpc.cli.output import Output; Output(is_json=True).value('\\xe9\\U0001f600')"
    shown = f"from pybrpc.cli import check, main; check.run = lambda *_: exec({code!r}) or 0"
    done = subprocess.run(
        [sys.executable, "-c", f"{shown}; main.main(['check'])"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=True,
    )
    assert done.stdout == b'"\\u00e9\\ud83d\\ude00"\n'
    assert json.loads(done.stdout) == "\xe9\U0001f600"


def test_check_and_serve_need_no_extra() -> None:
    for arguments in (["check"], ["serve", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", NO_RICH, *arguments], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_module_is_the_command() -> None:
    assert run_command("--version").out.startswith("pybrpc ")
