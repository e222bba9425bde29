"""The command line of the soak: the load and its duration."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class SoakOptions:
    """`seed` decides which faults strike and what the callers do, but not how they interleave."""

    minutes: float = 30.0
    seed: int = 1
    threads: int = 6
    tasks: int = 24
    """In two event loops."""
    streams: int = 4
    """Number of threads that use streams, and of such tasks in each event loop."""
    hostile: int = 1
    """Threads of hostile peers."""
    tls: bool | None = None
    """`None`: if there are certificates, which trustme makes."""
    report: Path | None = None

    @property
    def seconds(self) -> float:
        return self.minutes * 60


def parse_options(arguments: Sequence[str] | None = None) -> SoakOptions:
    """From the command line; ends the process if it makes no sense."""
    defaults = SoakOptions()
    parser = argparse.ArgumentParser(
        prog="python -m soak",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=defaults.minutes, help="how long")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of faults and callers")
    parser.add_argument("--threads", type=int, default=defaults.threads, help="that call")
    parser.add_argument("--tasks", type=int, default=defaults.tasks, help="that call")
    parser.add_argument(
        "--streams", type=int, default=defaults.streams, help="threads, and tasks, that use streams"
    )
    parser.add_argument(
        "--hostile", type=int, default=defaults.hostile, help="threads of peers that attack"
    )
    parser.add_argument(
        "--tls",
        action=argparse.BooleanOptionalAction,
        default=defaults.tls,
        help="half of the servers",
    )
    parser.add_argument("--report", type=Path, help="where the numbers go, as JSON")
    options = SoakOptions(**vars(parser.parse_args(arguments)))
    if (
        options.minutes <= 0
        or min(options.threads, options.tasks, options.streams, options.hostile) < 0
    ):
        parser.error("--minutes must be above 0; numbers of callers and peers at least 0")
    if not options.threads + options.tasks:
        parser.error("somebody has to call: --threads and --tasks are both 0")
    return options
