"""`pybrpc ...` as a process of its own."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.peers.pages import ROOT


class Done(NamedTuple):
    """A command that has ended."""

    status: int
    out: str
    err: str

    def values(self) -> list[Any]:
        """The JSON of each line of the output."""
        return list(map(json.loads, self.out.splitlines()))


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "pybrpc", *map(str, arguments)]


def run_command(*arguments: object, stdin: str = "", **options: Any) -> Done:
    """Run it to its end."""
    done = subprocess.run(
        command(*arguments),
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def in_terminal(
    arguments: list[str], number: int | None = None, when: bytes = b""
) -> tuple[int, str]:
    """The status of a command of which both outputs are a terminal, and what that got. It gets the
    signal of that number once it has printed `when`."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen(arguments, cwd=ROOT, env=environment, **pipes) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 65536):
                shown += data
                if number is not None and when in shown:
                    process.send_signal(number)
                    number = None
        except OSError:
            pass  # EIO: the other end is closed
        status = process.wait(60)
    os.close(ours)
    return status, shown.decode()


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    return iter(process.stdout)
