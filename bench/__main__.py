"""python -m bench [echo|redis]: measure, show a live table, write the numbers to a file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import report
from bench.closed_loop import Window
from bench.contest import Contest
from bench.echo_contest import ECHO
from bench.redis_contest import REDIS
from bench.rounds import Plan, Samples, run

CONTESTS: dict[str, Contest[Any]] = {"echo": ECHO, "redis": REDIS}
RESULTS = Path(__file__).parent / "results"
FILE_WIDTH = 110
"""Characters a line of the table may have where there is no terminal."""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("contest", nargs="?", choices=CONTESTS, default="echo", help="(echo)")
    parser.add_argument("--quick", action="store_true", help="one short round; for a first look")
    parser.add_argument("--rounds", type=int, help="how often each is measured (5)")
    parser.add_argument("--seconds", type=float, help="how long each is measured (2.0)")
    parser.add_argument("--load", action="append", help='such as "8 threads"; may be repeated')
    parser.add_argument("--json", type=Path, help="where the numbers go")
    return parser.parse_args()


def plan_from(arguments: argparse.Namespace) -> Plan:
    rounds, seconds = (1, 0.5) if arguments.quick else (5, 2.0)
    seconds = arguments.seconds or seconds
    window = Window(warm_up_s=seconds / 4, measure_s=seconds)
    contest = CONTESTS[arguments.contest]
    loads = [contest.parse_load(text) for text in arguments.load or []] or contest.loads
    return Plan(contest, loads, arguments.rounds or rounds, window)


def results_of(arguments: argparse.Namespace) -> Path:
    name = "latest.json" if arguments.contest == "echo" else f"{arguments.contest}.json"
    return arguments.json or RESULTS / name


def main() -> None:
    arguments = parse_arguments()
    plan, samples = plan_from(arguments), Samples()
    console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )
    task = progress.add_task("starting", total=plan.length)
    with Live(Group(report.table(plan, samples), progress), console=console) as live:
        for sample in run(plan):
            samples.append(sample)
            progress.update(task, advance=1, description=f"{sample.load}: {sample.library}")
            live.update(Group(report.table(plan, samples), progress))
    path = results_of(arguments)
    report.write_json(path, plan, samples)
    console.print(f"Written to {path}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
