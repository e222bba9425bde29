"""python -m soak: run it, show how it goes, exit with 1 if an invariant does not hold.

Ctrl-C ends it early, with the report; a second one at once.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from soak import screen
from soak.options import SoakOptions, parse_options
from soak.outcome import Outcome
from soak.soak_run import SoakRun


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_options(arguments)
    run = SoakRun(options, screen.Progress().show)

    def on_interrupt(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        run.stop.set()

    signal.signal(signal.SIGINT, on_interrupt)
    print(
        f"{options.minutes:g} minutes after a warm-up, seed {options.seed}; Ctrl-C ends it early",
        flush=True,
    )
    return conclude(run.run(), options)


def conclude(outcome: Outcome, options: SoakOptions) -> int:
    """Show and write down what was found; the exit code."""
    screen.show(outcome)
    if options.report is not None:
        outcome.write(options.report, options)
    return 1 if outcome.broken() else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
