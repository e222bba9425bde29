"""`pybrpc serve` as a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.fakes.threads import wait_until
from tests.peers.pages import ROOT
from tests.peers.supervised import is_alive

COMMAND = [sys.executable, "-m", "pybrpc", "serve"]


class Serving:
    """The command, and where it serves."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self._log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [*COMMAND, *arguments, "--bind", "127.0.0.1:0"],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )
        assert self.process.stdout is not None
        self.stdout = self.process.stdout
        found = re.search(r" on (127.0.0.1:\d+), pid (\d+)\n", self.stdout.readline())
        assert found is not None, self.logged
        self.address = found[1]
        assert int(found[2]) == self.process.pid

    @property
    def logged(self) -> str:
        return self._log.read_text()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that have served, in order."""
        return [int(pid) for pid in re.findall(r"\(pid (\d+)\) serves", self.logged)]

    def wait_logged(self, text: str) -> None:
        wait_until(lambda: text in self.logged)


@contextlib.contextmanager
def serving(log: Path, *arguments: str) -> Iterator[Serving]:
    made = Serving(log, *arguments)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()
        made.stdout.close()
        for pid in filter(is_alive, made.pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not any(map(is_alive, made.pids)))
