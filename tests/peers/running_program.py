"""RunningProgram: a program of the system that a test starts, with a log, limits and a sure end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from tests.peers.programs import require_program

LIMIT_S = 30.0
"""How long a program may take for a step; most take less than a second."""

POLL_S = 0.005


class RunningProgram:
    """Runs from `start` on until it ends, or until `stop`, in a process group of its own.

    All of the group is killed by `stop`. The kernel kills the program too when the thread that
    started it ends, so a killed test leaves no process. So start it in a thread that goes on.

    command   the first word is looked up in `tests.peers.programs`, unless it is a path
    folder    the working folder; the log is written there, as `<name>.log`
    """

    def __init__(self, command: Sequence[object], folder: Path, name: str) -> None:
        self.command = [str(word) for word in command]
        self.folder = folder
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it; return at once. The test is skipped if the program is missing."""
        if "/" not in self.command[0]:
            require_program(self.command[0])
        # Without the libraries that `make sanitize` preloads into Python.
        variables = {name: text for name, text in os.environ.items() if name != "LD_PRELOAD"}
        guard = ["setpriv", "--pdeathsig=KILL", "--"] if shutil.which("setpriv") else []
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*guard, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                # GStreamer would load its plugins in one more process, to look at them.
                env={**variables, "LC_ALL": "C", "GST_REGISTRY_FORK": "no"},
                start_new_session=True,
            )
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was not started, or has been stopped"
        return self._process.pid

    def log(self) -> str:
        """All that it has printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait(self) -> int:
        """Wait until it ends by itself; return its exit status. AssertionError after LIMIT_S."""
        assert self._process is not None, "it was not started, or has been stopped"
        try:
            return self._process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command[0]} does not end:\n{self.log()}") from None

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for what the program does; AssertionError if it ends before, or after LIMIT_S."""
        end = time.monotonic() + LIMIT_S
        while True:
            was_running = self.is_running()
            if condition():
                return
            assert was_running, f"{self.command[0]} has ended, not {what}:\n{self.log()}"
            assert time.monotonic() < end, f"{self.command[0]} is not {what}:\n{self.log()}"
            time.sleep(POLL_S)

    def wait_listening(self, port: int) -> None:
        """Wait until it listens on a TCP port of IPv4, without a connection to it."""
        self.wait_until(lambda: is_listening(port), f"listening on {port}")

    def interrupt(self) -> int:
        """End it as Ctrl-C does, so that it completes its files; return its exit status."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGINT)
        return self.wait()

    def stop(self) -> None:
        """Kill its process group, if it still runs, and wait for its end. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()


def is_listening(port: int) -> bool:
    """Whether any process of this host listens on a TCP port of IPv4; Linux only."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state = line.split()[:4]
        if state == "0A" and int(local.rpartition(":")[2], 16) == port:
            return True
    return False
