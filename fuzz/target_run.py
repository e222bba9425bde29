"""TargetRun: a child process that fuzzes one target, and what came of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from fuzz.options import FuzzOptions
from fuzz.targets import target_named
from fuzz.unguided import Finding, error_of, smallest

_EXECUTED = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_REACHED = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one target. `reached`: places in the code, and inputs that were kept for them;
    `finding`: the smallest input that shows a defect."""

    name: str
    seconds: float
    executed: int
    reached: str
    finding: Path | None
    text: str
    """The exception as text, or ""."""


class TargetRun:
    """Runs from its making on."""

    def __init__(self, name: str, options: FuzzOptions) -> None:
        self._name = name
        self._folder = options.folder / name
        self._folder.mkdir(parents=True, exist_ok=True)
        for old in self._folder.glob("finding-*"):
            old.unlink()
        self._log = self._folder / "log.txt"
        self._began_at = time.monotonic()
        command = [sys.executable, "-m", "fuzz.child", name, str(options.seconds)]
        command += [str(options.seed), str(self._folder), str(options.is_guided)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def is_over(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def outcome(self) -> Outcome:
        """After its end. A process that died without a word has found something too."""
        seconds = time.monotonic() - self._began_at
        log = self._log.read_text(errors="replace")
        executed = _EXECUTED.findall(log)
        reached = _REACHED.findall(log)
        finding, text = None, ""
        if self._process.returncode:
            finding, text = self._finding()
            text = text or log[-3000:]
        return Outcome(
            self._name,
            seconds,
            int(executed[-1]) if executed else 0,
            "{} places, {} features, {} inputs".format(*reached[-1]) if reached else "",
            finding or (self._log if self._process.returncode else None),
            text,
        )

    def _finding(self) -> tuple[Path | None, str]:
        """The input, made small if it raises: a hang or a crash of the process stays as it is."""
        found = sorted(self._folder.glob("finding-*"))
        if not found:
            return None, ""
        target, path = target_named(self._name), found[0]
        if path.name.startswith(("finding-timeout", "finding-oom", "finding-slow")):
            return path, f"{path.name}: see {self._log}"
        data = path.read_bytes()
        error = error_of(target, data)
        if error is None:
            return path, ""
        small = self._folder / "finding-smallest"
        small.write_bytes(smallest(target, Finding(data, error)))
        shutil.copy(path, self._folder / "finding-first")
        return small, f"{type(error).__name__}: {error}"
