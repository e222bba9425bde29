"""python -m bench.times: how long others wait while something goes wrong.

Lines "name milliseconds", with the aim where there is one. Each scenario runs in a process of its
own. The times depend on the machine and on what else it does; no test asserts them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from bench.times.scenarios import SCENARIOS
from bench.times.site import LIMIT_S, Site


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 1 if a scenario could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.times", description=__doc__)
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="may be repeated")
    parser.add_argument("--quick", action="store_true", help="small, for a first look")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    names = options.only or list(SCENARIOS)
    if options.inside:
        measure(names[0], options.quick)
        return 0
    return max([run_process(name, options.quick) for name in names])


def run_process(name: str, is_quick: bool) -> int:
    """Measure one scenario in a process; what it prints goes to stdout."""
    scenario = SCENARIOS[name]
    count = scenario.quick_count if is_quick else scenario.count
    print(f"\n# {name}: {scenario.question.replace('`count`', f'{count:,}')}", flush=True)
    if not scenario.is_possible():
        print("# left out: there are no certificates without trustme", flush=True)
        return 0
    command = [sys.executable, "-m", "bench.times", "--inside", "--only", name]
    done = subprocess.run([*command, *(["--quick"] if is_quick else [])], timeout=2 * LIMIT_S)
    if done.returncode:
        print(f"# {name} could not be measured: exit code {done.returncode}", flush=True)
    return 1 if done.returncode else 0


def measure(name: str, is_quick: bool) -> None:
    scenario = SCENARIOS[name]
    with Site() as site:
        for found in scenario.run(site, scenario.quick_count if is_quick else scenario.count):
            print(found, flush=True)


if __name__ == "__main__":
    sys.exit(main())
