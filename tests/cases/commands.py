"""`pybrpc serve` as a process of its own, and calls to it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pybrpc.errors import RpcError
from tests.cases.child import ROOT, child_environment
from tests.cases.peers import NotReadyError, waited_for
from tests.peers.supervised import call, is_alive

APPS = "tests.cases.apps"


class Command:
    """`pybrpc serve`; `end` also ends each worker that `workers` has ever named."""

    def __init__(
        self, app: str, *arguments: str, cwd: Path = ROOT, bind: str = "127.0.0.1:0", **env: str
    ) -> None:
        command = [sys.executable, "-m", "pybrpc", "serve", app, "--bind", bind, *arguments]
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=child_environment(**env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = ""
        self._seen: set[int] = set()

    def wait_serving(self) -> bool:
        """Whether it says where it serves, rather than end."""
        if self.process.stdout is None:
            return False
        found = re.search(r" on (127\.0\.0\.1:\d+),", self.process.stdout.readline())
        self.address = found[1] if found else ""
        return found is not None

    @property
    def workers(self) -> list[int]:
        """The process ids of its workers, booting ones among them."""
        found = self._children_with("worker_main")
        self._seen.update(found)
        return found

    @property
    def orphan_watches(self) -> list[int]:
        """The process ids of the processes that watch over orphaned workers."""
        return self._children_with("watch_orphans")

    def _children_with(self, module: str) -> list[int]:
        """The children that run a module. Just after its fork, a child still has the command line
        of its parent."""
        files = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = [int(child) for file in files for child in file.read_text().split()]
        return [pid for pid in children if module in command_line_of(pid)]

    def outcome(self, message: str = "hello", **options: Any) -> str:
        """The response of one call over a connection of its own, or the name of its error."""
        try:
            return call(self.address, message, **{"timeout": 1, "max_retry": 0, **options})
        except RpcError as error:
            return error.name

    def end(self) -> None:
        if self.process.poll() is None:
            _ = self.workers
        self.process.kill()
        self.process.wait()
        for pid in filter(is_alive, self._seen):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextlib.contextmanager
def served(app: str, *arguments: str, **options: Any) -> Iterator[Command]:
    """A command that serves."""
    with started(app, *arguments, **options) as command:
        if not command.wait_serving():
            raise NotReadyError("the command does not serve")
        yield command


@contextlib.contextmanager
def started(app: str, *arguments: str, **options: Any) -> Iterator[Command]:
    """A command that is about to serve."""
    app = app if "." in app or ":" in app else f"{APPS}:{app}"
    command = Command(app, *arguments, **options)
    try:
        yield command
    finally:
        command.end()


def command_line_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def all_ended(pids: list[int], limit_s: float) -> bool:
    return waited_for(lambda: not any(map(is_alive, pids)), limit_s)
