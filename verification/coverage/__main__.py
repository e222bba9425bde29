"""python -m verification.coverage: do every module's own tests run 95 % of it?

Exits with 1 if one does not, or if a test fails. Needs coverage.py and what the tests need.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from verification.coverage.measure import FOLDER, Measure, Measurements
from verification.coverage.own_tests import ROOT, all_modules, name_of, own_tests_of

AT_LEAST = 95.0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    modules = [module for module in all_modules() if _is_chosen(module, options.modules)]
    if not modules:
        print(f"no module has {' or '.join(options.modules)} in its name", file=sys.stderr)
        return 2
    tests_of = {module: own_tests_of(module) for module in modules}
    failed = _run({test for tests in tests_of.values() for test in tests}, options.jobs)
    measurements = Measurements(FOLDER.glob("data.*"))
    found = [measurements.of(module, tests) for module, tests in tests_of.items()]
    return 1 if failed else _report(found, options.at_least)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="verification.coverage", description=__doc__)
    parser.add_argument("modules", nargs="*", help="those that have this in their path; all")
    parser.add_argument("--at-least", type=float, default=AT_LEAST, help="percent (%(default)g)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (%(default)s)")
    return parser


def _is_chosen(module: Path, parts: Sequence[str]) -> bool:
    return not parts or any(part in name_of(module) for part in parts)


def _run(tests: Iterable[Path], jobs: int) -> bool:
    """Run those tests, and note what they run; say whether one failed."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    several = [f"--numprocesses={jobs}", "--dist=loadfile"] if jobs > 1 else []
    command = [sys.executable, "-m", "pytest", "-q", "-p", "verification.coverage.plugin"]
    done = subprocess.run(
        [*command, *several, *sorted(map(str, tests))],
        cwd=ROOT,
        env={**os.environ, "PYBRPC_IMPL": "python"},
        check=False,
    )
    return done.returncode != 0


def _report(found: Sequence[Measure], at_least: float) -> int:
    for measure in sorted(found, key=lambda measure: (measure.percent, measure.name)):
        missing = f"  {measure.missing}" if measure.percent < 100 else ""
        print(f"{measure.percent:6.1f} %  {measure.name}{missing}")
    low = [measure for measure in found if measure.percent < at_least]
    if low:
        print(f"FAILED: {len(low)} of {len(found)} modules are below {at_least:g} %")
        return 1
    print(f"PASSED: all {len(found)} modules are at {at_least:g} % or above")
    return 0


if __name__ == "__main__":
    sys.exit(main())
