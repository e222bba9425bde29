"""The programs that tests start, and which tests those are. `make programs` installs them.

    python -m tests.peers.programs    install what is missing, with apt-get; exit status 1 if
                                      something is missing after that

A test whose program is missing is skipped; with PYBRPC_PROGRAMS=required in the environment, as
`.ci/run` sets it, it fails.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys


@dataclasses.dataclass(frozen=True)
class Program:
    """A command, the package of Debian that has it, and the tests that run it."""

    package: str
    tests: str


PROGRAMS = {
    "redis-server": Program("redis-server", "tests/integration/test_redis_*.py, test_bench.py"),
    "spin": Program("spin", "tests/integration/test_verification.py"),
    "gcc": Program("gcc", "tests/integration/test_verification.py"),
    "valgrind": Program("valgrind", "tests/unit/bench/test_instructions.py"),
    "ip": Program("iproute2", "tests/network"),
}
VARIABLE = "PYBRPC_PROGRAMS"


def require_program(name: str) -> None:
    """Skip the test that runs, or fail it, if the program is missing."""
    import pytest

    program = PROGRAMS[name]
    if shutil.which(name) is not None:
        return
    reason = f"there is no program {name} here: make programs, or apt-get install {program.package}"
    if os.environ.get(VARIABLE) == "required":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def missing() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name) is None]


def main() -> int:
    """Install what is missing. Return the exit status."""
    for name, program in PROGRAMS.items():
        print(f"{name:14}{shutil.which(name) or 'missing':24}{program.tests}")
    if packages := [PROGRAMS[name].package for name in missing()]:
        for command in (["update"], ["install", "--yes", *packages]):
            print("apt-get", *command, flush=True)
            try:
                subprocess.run(["apt-get", "--quiet=2", *command], check=False)
            except OSError as error:
                print(error, file=sys.stderr)
    if left := missing():
        print(
            f"missing: {', '.join(left)}. Install them (Debian: {' '.join(packages)}); until then "
            "the tests that need them are skipped",
            file=sys.stderr,
        )
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
