"""The tests of how calls end notice each mutant: an end that is lost, runs twice, is never counted.

Each mutant runs the tests that must notice it, until the first one fails. That they pass without a
mutant shows in their own run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.schedules.end_mutants import MUTANTS, VARIABLE

ROOT = Path(__file__).parents[2]
PLUGIN = "tests.schedules.end_mutants"
TESTS_FAILED = 1
"""The exit code of pytest when tests have failed, and not for another reason."""

pytestmark = [pytest.mark.python_only, pytest.mark.slow, pytest.mark.proof]


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_of_the_ends_of_calls_is_caught(name: str) -> None:
    for tests in MUTANTS[name].tests:
        path, *chosen = tests.split(" ")
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-x",
                "-q",
                "--timeout=30",
                "-p",
                PLUGIN,
                path,
                *chosen,
            ],
            cwd=ROOT,
            env={**os.environ, VARIABLE: name, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=250,
        )
        assert done.returncode == TESTS_FAILED, f"{tests}\n{done.stdout}\n{done.stderr}"
