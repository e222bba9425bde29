"""python -m fuzz [TARGET ...] [--seconds N]: fuzz, say what was found, exit with 1 if anything was.

Ctrl-C ends it; what was reached so far is kept.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import pybrpc
from fuzz.options import FuzzOptions, parse_options
from fuzz.target_run import Outcome, TargetRun
from fuzz.targets import target_named

LOOK_S = 0.1


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_options(arguments)
    if options.input is not None:
        target_named(options.targets[0]).check(options.input.read_bytes())
        print("nothing is wrong with it")
        return 0
    how = "guided by atheris" if options.is_guided else "unguided"
    print(f"pybrpc: {pybrpc.__impl__}; {options.seconds:g} s each, {how}", flush=True)
    outcomes = run(options)
    findings = [outcome for outcome in outcomes if outcome.finding is not None]
    for outcome in findings:
        print(f"\n{outcome.name}: {outcome.finding}\n{outcome.text}")
        print(f"Try it with: python -m fuzz {outcome.name} --input {outcome.finding}")
    print("FAILED" if findings else "PASSED")
    return 1 if findings else 0


def run(options: FuzzOptions) -> list[Outcome]:
    """All targets, `jobs` at a time."""
    waiting, running, outcomes = list(options.targets), list[TargetRun](), list[Outcome]()
    try:
        while waiting or running:
            while waiting and len(running) < options.jobs:
                running.append(TargetRun(waiting.pop(0), options))
            time.sleep(LOOK_S)
            for ended in [one for one in running if one.is_over()]:
                running.remove(ended)
                outcomes.append(ended.outcome())
                show(outcomes[-1])
    finally:
        for one in running:
            one.stop()
    return outcomes


def show(outcome: Outcome) -> None:
    verdict = "found something" if outcome.finding is not None else "ok"
    rate = outcome.executed / outcome.seconds
    print(
        f"{outcome.name:18} {outcome.executed:9} inputs {rate:7.0f}/s  {verdict}  "
        f"{outcome.reached}",
        flush=True,
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
