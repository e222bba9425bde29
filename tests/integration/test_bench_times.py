"""The bench of times, small: every scenario ends and prints its times. They are not judged."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.times.found import Found
from bench.times.scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"[a-z_]+_ms \d+(\.\d*)?(  # aim [\d.]+: (met|missed))?")

pytestmark = pytest.mark.same_everywhere


@pytest.mark.slow
@pytest.mark.proof
@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_prints_its_times(name: str) -> None:
    if not SCENARIOS[name].is_possible():
        pytest.skip("needs trustme")
    command = [sys.executable, "-m", "bench.times", "--quick", "--only", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith("#")]
    assert len(lines) >= 1
    assert [line for line in lines if not LINE.fullmatch(line)] == []


def test_time_is_compared_with_its_aim() -> None:
    assert str(Found("others", 12.34)) == "others_ms 12.3"
    assert str(Found("others", 12.34, 50)) == "others_ms 12.3  # aim 50.0: met"
    assert str(Found("others", 50.1, 50)) == "others_ms 50.1  # aim 50.0: missed"


def test_scenario_that_fails_is_told_and_fails_the_run() -> None:
    code = (
        "import sys; from bench.times import __main__, scenarios\n"
        "__main__.SCENARIOS = {'none': scenarios.Scenario(lambda site, count: 1 / 0, 1, 1)}\n"
        "sys.exit(__main__.main(['--quick']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 1
    assert "# none could not be measured" in done.stdout
