"""Runs Spin: model to verifier, verifier to verdict. In a directory of its own; leaves nothing.

A search that did not see every state is an error, never a verdict.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from verification.check import Check, Search, Verdict

MODELS = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.pml"))}
TOOLS = ("spin", "gcc")
DEEPEST = 2_000_000
"""Steps in one run of the model; a longer one is an error."""

_COMPILER_OPTIONS = {
    Search.SAFETY: "-DSAFETY",
    Search.PROGRESS: "-DNP",
    Search.FAIRNESS: "-DNFAIR=2",
}
_VERIFIER_OPTIONS = {Search.SAFETY: (), Search.PROGRESS: ("-l",), Search.FAIRNESS: ("-a", "-f")}
_VIOLATION = re.compile(r"^pan:1: (.*) \(at depth \d+\)$", re.MULTILINE)
_INCOMPLETE = re.compile(r"out of memory|reached -DMEMLIM|depth too small|not completed", re.I)


class SpinError(Exception):
    """Spin or the compiler is missing or failed, or the search did not see every state."""


def missing_tools() -> list[str]:
    """Which of Spin and the C compiler are not on the PATH."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def run(check: Check, memory_mb: int) -> Verdict:
    """Search all states of that configuration, or until something is broken. Blocks."""
    missing = missing_tools()
    if missing:
        raise SpinError(f"{' and '.join(missing)} must be installed (Debian: spin, gcc)")
    with tempfile.TemporaryDirectory() as place:
        return verdict_of(_verify(check, memory_mb, Path(place)))


def verdict_of(output: str) -> Verdict:
    """The result in the output of a verifier."""
    found = _VIOLATION.search(output)
    if found is None and (_INCOMPLETE.search(output) or "errors: 0" not in output):
        raise SpinError(f"not every state was seen:\n{output[-2000:]}")
    return Verdict(
        violation=None if found is None else found[1],
        states=int(_number(r"([\d.e+]+) states, stored", output)),
        seconds=_number(r"elapsed time ([\d.e+-]+) seconds", output),
        memory_mb=_number(r"([\d.e+-]+)\s+total actual memory", output),
    )


def _verify(check: Check, memory_mb: int, place: Path) -> str:
    _call(["spin", "-a", *check.definitions, str(MODELS[check.model])], place)
    options = [_COMPILER_OPTIONS[check.search], "-DCOLLAPSE", f"-DMEMLIM={memory_mb}"]
    # What is soon found takes less time than to optimize the search for it.
    level = "-O2" if check.caught_by is None else "-O0"
    _call(["gcc", level, "-w", *options, "-o", "pan", "pan.c"], place)
    return _call(["./pan", f"-m{DEEPEST}", *_VERIFIER_OPTIONS[check.search]], place)


def _call(command: list[str], place: Path) -> str:
    done = subprocess.run(
        command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        text = f"{' '.join(command)} ended with {done.returncode}"
        raise SpinError(f"{text}:\n{done.stdout[-2000:]}")
    return done.stdout


def _number(pattern: str, output: str) -> float:
    found = re.search(pattern, output)
    if found is None:
        raise SpinError(f"the verifier did not say {pattern}:\n{output[-2000:]}")
    return float(found[1])
