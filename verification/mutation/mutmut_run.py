"""Runs mutmut on one target, in a copy of the tree; which mutants survived.

A mutant that makes a test hang is caught as well: mutmut ends it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from verification.mutation.target import Target

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "mutation"
CAUGHT = frozenset({"killed", "timeout"})

_MUTANT = re.compile(r"^\s+(\S+): ([\w ]+)$", re.MULTILINE)
_CLASS_MARK = "\u01c1"

# mutmut notes calls in a ContextVar, those of destructors too. Run by a garbage collection that
# setting that variable has begun, one sets it once more in between, and CPython crashes. What never
# comes because of a mutant need not be waited for as long as on a busy machine. Of an input that
# catches a mutant nobody wants a smaller one; and each mutant gets the same inputs, in every run.
_CONFTEST = """\
import gc

from hypothesis import Phase, settings

from tests.fakes import threads

gc.disable()
threads.WAIT_S = 5.0
phases = (Phase.explicit, Phase.generate)
settings.register_profile("mutants", phases=phases, database=None, deadline=None, derandomize=True)
"""


class MutmutError(Exception):
    """mutmut is missing or failed, or the tests fail without a mutant."""


@dataclass(frozen=True, slots=True, order=True)
class Survivor:
    """One that no test has noticed: where, the lines before, and after."""

    function: str
    was: str
    becomes: str


@dataclass(frozen=True, slots=True)
class Outcome:
    mutants: int
    caught: int
    survivors: frozenset[Survivor]


def run(target: Target, jobs: int) -> Outcome:
    """Try all mutants of the target. Blocks, for minutes or for an hour."""
    place = FOLDER / target.name
    _lay_out(target, place)
    _mutmut(place, "run", "--max-children", str(jobs), shows_output=True)
    statuses = dict(_MUTANT.findall(_mutmut(place, "results", "--all", "true")))
    missed = [name for name, status in statuses.items() if status not in CAUGHT]
    if not statuses or "not checked" in statuses.values():
        raise MutmutError(f"mutmut did not come to its end: {Counter(statuses.values())}")
    survivors = frozenset(survivor_of(name, _mutmut(place, "show", name)) for name in missed)
    return Outcome(len(statuses), len(statuses) - len(missed), survivors)


def survivor_of(name: str, difference: str) -> Survivor:
    """By the name that mutmut gives a mutant, and by what it shows of it."""
    changed: dict[str, list[str]] = {"-": [], "+": []}
    for line in difference.splitlines():
        if line[:1] in changed and not line.startswith(("---", "+++")):
            changed[line[0]].append(" ".join(line[1:].split()))
    function = name.rpartition(".")[2].rpartition("__mutmut_")[0]
    _, *of_class = function.split(_CLASS_MARK)
    short = ".".join(of_class) if of_class else function.removeprefix("x_")
    return Survivor(short, " ".join(changed["-"]), " ".join(changed["+"]))


def _lay_out(target: Target, place: Path) -> None:
    """A copy of the sources and tests, with a configuration that is the target's own."""
    shutil.rmtree(place, ignore_errors=True)
    for folder in ("src", "tests"):
        leave_out = shutil.ignore_patterns("__pycache__", "*.so", "*.egg-info")
        shutil.copytree(ROOT / folder, place / folder, ignore=leave_out)
    settings = {
        "source_paths": ["src"],
        "only_mutate": [target.source],
        "also_copy": ["conftest.py"],
        "pytest_add_cli_args_test_selection": target.tests,
        "pytest_add_cli_args": (
            "-p",
            "no:cacheprovider",
            "--hypothesis-profile=mutants",
            *target.options,
        ),
        "use_git_change_detection": False,
        # A mutant that hangs is ended after twice the time of its tests, and half a minute.
        "timeout_multiplier": 2.0,
        "timeout_constant": 15.0,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    (place / "conftest.py").write_text(_CONFTEST)
    text = (ROOT / "pyproject.toml").read_text()
    (place / "pyproject.toml").write_text("\n".join([text, "[tool.mutmut]", *lines, ""]))


def _mutmut(place: Path, *arguments: str, shows_output: bool = False) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("mutmut")), *arguments],
        cwd=place,
        env={**os.environ, "PYBRPC_IMPL": "python"},
        stdout=None if shows_output else subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise MutmutError(f"mutmut {' '.join(arguments)} ended with {done.returncode}")
    return done.stdout or ""
