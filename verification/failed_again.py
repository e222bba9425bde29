"""Do the tests that failed in the last run fail again when they run alone, five times in a row?

A test of threads and deadlines can fail because the machine was busy with other tests. Such a
failure says nothing of the code, so a few of them, which never come again, don't refuse a change.
All are printed. Not run again, but failures: more than a few, and a process that crashed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

MOST = 3
TIMES = 5
LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")


def read_failed(cache: Path = LAST_FAILED) -> list[str]:
    """The node ids of the tests that failed."""
    return sorted(json.loads(cache.read_text())) if cache.exists() else []


def why_not_again(failed: Sequence[str], output: str) -> str:
    """Why these failures count at once; empty if they may run again."""
    if not failed:
        return "no test is known to have failed"
    if len(failed) > MOST:
        return f"{len(failed)} tests failed, more than {MOST}"
    if "crashed while running" in output:
        return "a process of the tests crashed"
    return ""


def run_again(failed: Sequence[str]) -> bool:
    for _ in range(TIMES):
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            "",
            *failed,
        ]
        if subprocess.run(command, check=False).returncode:
            return False
    return True


def main() -> int:
    """Reads what the run before has printed from standard input."""
    output = sys.stdin.read()
    failed = read_failed()
    if why := why_not_again(failed, output):
        print(f"== not run again: {why}")
        return 1
    print(
        f"== these failed once, and run {TIMES} times alone now:", *failed, sep="\n   ", flush=True
    )
    if not run_again(failed):
        return 1
    print("== FAILED ONCE, then passed alone, on", os.environ.get("PYBRPC_IMPL", "python"))
    print("  ", "\n   ".join(failed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
