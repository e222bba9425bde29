"""python -m bench [quick]: measure, show, and write down. Ctrl-C ends it with what there is."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Sequence

from bench import quick, screen
from bench.options import out_folder, parse_options, plan_from
from bench.report.result import Result
from bench.rounds import Plan, run
from bench.samples import Samples


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 130 if it was interrupted."""
    options = parse_options(arguments)
    if not options.headlines:
        import matplotlib  # noqa: F401  so that what the report needs is not found missing at last
    plan, samples = plan_from(options), Samples()
    is_complete = measure_all(plan, samples, is_quiet=bool(options.headlines))
    if options.headlines:
        quick.show(plan, samples)
    else:
        conclude(options, plan, samples, is_complete, arguments)
    return 0 if is_complete else 130


def measure_all(plan: Plan, samples: Samples, is_quiet: bool) -> bool:
    """Whether it came to its end."""
    try:
        with (
            screen.Progress(plan, samples, is_quiet) as progress,
            contextlib.closing(run(plan)) as measured,
        ):
            for sample in measured:
                samples.append(sample)
                progress.update(sample)
    except KeyboardInterrupt:
        return False
    return True


def conclude(
    options: argparse.Namespace,
    plan: Plan,
    samples: Samples,
    is_complete: bool,
    arguments: Sequence[str] | None,
) -> None:
    """Show all, and write it down, if there is anything."""
    from bench.report.writing import write_report  # plots, which the headlines do without

    screen.show_tables(plan, samples)
    quick.show_bars(plan, samples)
    if samples:
        words = sys.argv[1:] if arguments is None else arguments
        command = shlex.join(["python", "-m", "bench", *words])
        page = write_report(
            out_folder(options, is_complete), Result(plan, samples, command, is_complete)
        )
        print(f"Written to {page}")


if __name__ == "__main__":
    sys.exit(main())
