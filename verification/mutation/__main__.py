"""python -m verification.mutation: which small changes to the code do its tests not notice?

Every survivor must be on docs/mutation.md with a reason. Exits with 1 if one is not, with 2 if
mutmut fails. A survivor on the page that a test catches by now is reported, and is no failure.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from verification.mutation.mutmut_run import MutmutError, Outcome, run
from verification.mutation.page import (
    PAGE,
    explained_everywhere,
    explained_in,
    is_explained_by,
    row_of,
)
from verification.mutation.target import TARGETS, Target


def main(arguments: Sequence[str] | None = None) -> int:
    names = [target.name for target in TARGETS]
    parser = argparse.ArgumentParser(prog="verification.mutation", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(names)}; all")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at once (%(default)s)")
    options = parser.parse_args(arguments)
    if unknown := set(options.targets) - set(names):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    chosen = [target for target in TARGETS if target.name in (options.targets or names)]
    try:
        unexplained = sum(_try_out(target, options.jobs) for target in chosen)
    except MutmutError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"FAILED: {unexplained} unexplained" if unexplained else "PASSED: all are explained")
    return 1 if unexplained else 0


def _try_out(target: Target, jobs: int) -> int:
    """How many mutants survived that the page does not know."""
    began = time.monotonic()
    outcome = run(target, jobs)
    seconds = time.monotonic() - began
    text = PAGE.read_text()
    explained, everywhere = explained_in(text, target.name), explained_everywhere(text)
    _tell(target, outcome, seconds)
    for survivor in sorted(explained.keys() - outcome.survivors):
        print("caught now, strike it out:", row_of(survivor, explained[survivor]))
    unexplained = sorted(
        survivor
        for survivor in outcome.survivors - explained.keys()
        if not is_explained_by(everywhere, survivor)
    )
    for survivor in unexplained:
        print("survived:", row_of(survivor, "?"))
    return len(unexplained)


def _tell(target: Target, outcome: Outcome, seconds: float) -> None:
    print(
        f"{target.name}: {outcome.mutants} mutants, {outcome.caught} caught, "
        f"{outcome.mutants - outcome.caught} survived, {seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
