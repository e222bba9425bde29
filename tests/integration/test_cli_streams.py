"""Commands of which a standard stream is closed, full or no file of text."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybrpc.cli.main import main
from tests.peers.cli_server import cli_server
from tests.peers.command import command
from tests.peers.pages import ROOT

pytestmark = pytest.mark.same_everywhere

FULL = "No space left on device"
NOT_UTF8 = "$'\\xff\\xfe'"


@pytest.fixture
def address() -> Iterator[str]:
    with cli_server() as served:
        yield served


def shell(text: str) -> tuple[int, str, str]:
    """Status, output and errors of a command line, in which `pybrpc` stands for this one."""
    line = text.replace("pybrpc", shlex.join(command()), 1)
    arguments = ["bash", "-c", line]
    done = subprocess.run(
        arguments, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("pybrpc view {a} health >&-", 0, ""),
        ("pybrpc health {a} <&- >&- 2>&-", 0, ""),
        ("pybrpc descriptor {a} -o - >&-", 0, ""),
        ("pybrpc call {a} EchoService.Echo --each <&-", 0, ""),
        ("pybrpc call {a} EchoService.Echo - <&-", 2, "this is no JSON"),
        ("pybrpc view 127.0.0.1:1 x 2>&-", 1, ""),
        ("pybrpc health {a} >/dev/full", 1, FULL),
        ("pybrpc health {a} --json >/dev/full", 1, FULL),
        ("pybrpc descriptor {a} -o - >/dev/full", 1, FULL),
        ("pybrpc view 127.0.0.1:1 x 2>/dev/full", 1, ""),
        ("head -c 68000000 /dev/zero | pybrpc call {a} EchoService.Echo --each", 1, "has over"),
        ("pybrpc view {a} " + NOT_UTF8, 2, "no UTF-8"),
        ("pybrpc descriptor -d {d} " + NOT_UTF8, 2, "there is no message"),
        ("pybrpc call {a} EchoService.Echo " + NOT_UTF8, 2, ""),
        ("pybrpc call {a} " + NOT_UTF8, 2, ""),
    ],
)
def test_command_ends_with_a_status_and_a_line_at_most(
    address: str, tmp_path: Path, line: str, status: int, said: str
) -> None:
    descriptors = tmp_path / "echo.bin"
    assert main(["descriptor", address, "-o", str(descriptors)]) == 0
    found, out, err = shell(line.format(a=address, d=descriptors))
    assert (found, out) == (status, ""), err
    assert said in err
    assert err.count("\n") == (1 if status and "2>" not in line else 0)
