"""python -m verification: check the models and their mutants; exit with 1 if one surprises.

Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from verification.check import Check, Verdict
from verification.checks import FULL, HOLDS, MUTANTS, QUICK
from verification.spin import SpinError, run

QUICK_MEMORY_MB = 2000
FULL_MEMORY_MB = 16000


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="verification", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the large configurations too")
    parser.add_argument("--only", default="", metavar="TEXT", help="what has TEXT in its name")
    options = parser.parse_args(arguments)
    checks = [*QUICK, *HOLDS, *MUTANTS, *(FULL if options.full else ())]
    memory_mb = FULL_MEMORY_MB if options.full else QUICK_MEMORY_MB
    chosen = [check for check in checks if options.only in check.name]
    try:
        surprises = sum(not _show(check, run(check, memory_mb)) for check in chosen)
    except SpinError as error:
        print(error, file=sys.stderr)
        return 2
    if not chosen:
        print(f"no check has {options.only!r} in its name", file=sys.stderr)
        return 2
    print(f"FAILED: {surprises} of {len(chosen)}" if surprises else "PASSED: all as expected")
    return 1 if surprises else 0


def _show(check: Check, verdict: Verdict) -> bool:
    is_expected = verdict.is_as_expected(check)
    found = "holds" if verdict.violation is None else f"caught: {verdict.violation}"
    print(
        f"{'ok' if is_expected else 'WRONG':<6}{check.name}, {check.producers} x {check.messages}: "
        f"{found} ({verdict.states:,} states, {verdict.seconds:.1f} s, "
        f"{verdict.memory_mb:,.0f} MB)",
        flush=True,
    )
    return is_expected


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
