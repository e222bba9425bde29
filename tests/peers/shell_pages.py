"""Runs a page of the documentation as a reader does: writes its files, and types its commands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pybrpc
from tests.peers.pages import ROOT
from tests.peers.protoc import plugin_in

BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
FILE_NAME = re.compile(r"`([\w./-]+\.\w+)`:\s*$")


@dataclass(frozen=True)
class Step:
    """A file to write, if it has a `name`; else a command, and what it prints."""

    name: str
    text: str
    printed: str | None = None


def steps_of(page: str) -> list[Step]:
    """Those of a page, in their order. A block of `text` is what the command before it prints."""
    text = (ROOT / page).read_text()
    steps: list[Step] = []
    end = 0
    for found in BLOCK.finditer(text):
        language, inside = found[1], found[2]
        before, end = text[end : found.start()], found.end()
        if language == "text":
            steps[-1] = Step("", steps[-1].text, inside)
        elif language == "sh":
            steps.append(Step("", inside.strip()))
        else:
            named = FILE_NAME.search(before)
            assert named is not None, f"the block of {language} after {before!r} has no name"
            steps.append(Step(named[1], inside))
    return steps


def reader_environment(folder: Path) -> dict[str, str]:
    """A PATH on which `python`, `pybrpc` and the plugin of protoc are those that are tested."""
    commands = folder / "bin"
    commands.mkdir()
    plugin_in(commands)
    # Links would not find the packages of their environment.
    for name, arguments in (("python", ""), ("pybrpc", "-m pybrpc")):
        script = commands / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n')
        script.chmod(0o755)
    return os.environ | {
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(pybrpc.__file__).parents[1]),
    }


def with_addresses(step: Step, addresses: Mapping[str, str]) -> Step:
    """`step` with these addresses in the place of those that the page shows."""

    def replaced(text: str) -> str:
        for shown, real in addresses.items():
            text = text.replace(shown, real)
        return text

    printed = None if step.printed is None else replaced(step.printed)
    return Step(step.name, replaced(step.text), printed)


def typed(step: Step, folder: Path, environment: Mapping[str, str]) -> str:
    """Run the command of a step to its end; what it has printed."""
    done = subprocess.run(
        step.text,
        shell=True,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"{step.text}\n{done.stdout}{done.stderr}"
    return done.stdout
