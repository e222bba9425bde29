"""ChildProcess: one that talks in lines, never outlives its owner, and never blocks it for good."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

LINE_LIMIT_S = 30.0
"""A process that should say something, and says nothing for so long, hangs."""
END_LIMIT_S = 5.0


class ChildFailedError(RuntimeError):
    """A server or client process ended, or hangs; with the last that it wrote to stderr."""


class ChildProcess:
    """A process whose stdin and stdout are lines. It shall end when its stdin does.

    It is in a process group of its own, so Ctrl-C is this process's business alone.
    `are_errors_lines`: what it writes to stderr is read too. `end_limit_s`: it is killed so long
    after it was asked to end.
    """

    def __init__(
        self,
        arguments: Sequence[str | Path],
        environment: Mapping[str, str],
        name: str,
        folder: Path | None = None,
        are_errors_lines: bool = False,
        end_limit_s: float = END_LIMIT_S,
    ) -> None:
        self._name = name
        self._end_limit_s = end_limit_s
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed by close()
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if are_errors_lines else self._errors,
            cwd=folder,
            env={**os.environ, **environment},
            process_group=0,
        )
        self._read = b""

    @classmethod
    def of_bench(
        cls, *arguments: object, name: str, environment: Mapping[str, str] | None = None
    ) -> Self:
        """A process of child.py."""
        command = [sys.executable, "-m", "bench.child", *map(str, arguments)]
        return cls(command, environment or {}, name)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def write_line(self, text: str) -> None:
        """ChildFailedError if it has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{text}\n".encode())
            self._process.stdin.flush()
        except OSError as error:
            raise self.failed("has ended") from error

    def read_line(self, limit_s: float = LINE_LIMIT_S) -> str:
        """The next line. ChildFailedError if there is none within `limit_s`."""
        assert self._process.stdout is not None
        end = time.monotonic() + limit_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._read:
                if not selector.select(max(0.0, end - time.monotonic())):
                    raise self.failed(f"said nothing for {limit_s:g} s")
                data = os.read(self._process.stdout.fileno(), 65536)
                if not data:
                    raise self.failed("has ended")
                self._read += data
        line, _, self._read = self._read.partition(b"\n")
        return line.decode(errors="replace")

    def failed(self, what: str) -> ChildFailedError:
        """The error that says so, with the last line of stderr."""
        if what == "has ended":
            self._wait()
        self._errors.seek(0)
        said = self._read + self._errors.read()
        lines = said.decode(errors="replace").strip().splitlines()
        return ChildFailedError(f"{self._name} {what}" + (f": {lines[-1]}" if lines else ""))

    def ask_to_end(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended, with something unread
            self._process.stdin.close()

    def close(self) -> None:
        """Ask it to end, wait, kill it if it doesn't."""
        assert self._process.stdout is not None
        self.ask_to_end()
        self._wait()
        self._process.stdout.close()
        self._errors.close()

    def kill(self) -> None:
        self._process.kill()

    def _wait(self) -> None:
        try:
            self._process.wait(self._end_limit_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is not None:
            self.kill()
        self.close()
