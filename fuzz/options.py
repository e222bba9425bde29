"""The command line of the fuzzer: its targets and the duration."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz.guided import has_atheris
from fuzz.targets import NAMES


@dataclass(frozen=True, slots=True)
class FuzzOptions:
    """`seed` decides which inputs are tried, but not how many of them in the time."""

    targets: tuple[str, ...] = NAMES
    seconds: float = 60.0
    """For each target."""
    jobs: int = 1
    """Targets at once, in a process each."""
    seed: int = 1
    is_guided: bool = True
    folder: Path = Path("build/fuzz")
    """Where inputs are kept for the next run, and what was found."""
    input: Path | None = None
    """Try this one alone."""


def parse_options(arguments: Sequence[str] | None = None) -> FuzzOptions:
    """From the command line; ends the process if it makes no sense."""
    defaults = FuzzOptions(jobs=os.cpu_count() or 1, is_guided=has_atheris())
    parser = argparse.ArgumentParser(
        prog="python -m fuzz",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=float, default=defaults.seconds, help="for each target")
    parser.add_argument("--jobs", type=int, default=defaults.jobs, help="targets at once")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of the inputs")
    parser.add_argument(
        "--guided",
        dest="is_guided",
        action=argparse.BooleanOptionalAction,
        default=defaults.is_guided,
        help="by what an input reaches; needs atheris",
    )
    parser.add_argument(
        "--folder", type=Path, default=defaults.folder, help="of inputs and findings"
    )
    parser.add_argument("--input", type=Path, help="a file: try it alone, with one target")
    given = vars(parser.parse_args(arguments))
    options = FuzzOptions(**{**given, "targets": tuple(given["targets"]) or NAMES})
    unknown = set(options.targets) - set(NAMES)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if options.seconds <= 0 or options.jobs < 1:
        parser.error("--seconds must be above 0, --jobs at least 1")
    if options.is_guided and not has_atheris():
        parser.error("--guided needs atheris; install it with: pip install 'pybrpc[fuzz]'")
    if options.input is not None and len(options.targets) != 1:
        parser.error("--input needs one target, the one that it is for")
    return options
