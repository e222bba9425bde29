"""Command: the interface of a command; the exit statuses; CommandError."""

from __future__ import annotations

import argparse
import importlib
from typing import Any, NamedTuple, Protocol

from pybrpc.cli.output import Output
from pybrpc.errors import RpcError

OK = 0
FAILED = 1
"""The call failed, the server is not healthy, or what was required is missing."""
USAGE = 2
"""The command line, a file or a message that it names makes no sense. As argparse has it."""
MISSING = 3
"""An optional package or a program is not installed."""
INTERRUPTED = 130
"""Ctrl-C: 128 and the number of the signal, as shells have it."""
BROKEN_PIPE = 141
"""The reader of the output has gone: 128 and the number of SIGPIPE."""

EXIT_STATUS = """\
exit status:
  0 done, 1 failed, 2 wrong usage, 3 something is not installed, 130 Ctrl-C,
  143 SIGTERM, 129 SIGHUP, 141 the reader of the output has gone"""


class CommandError(Exception):
    """A command can't go on. The text is for people: one line."""

    def __init__(self, text: str, status: int = FAILED, **facts: Any) -> None:
        super().__init__(text)
        self.status = status
        self.facts = facts
        """More for `--json`, such as the code of an RpcError."""


class UsageError(CommandError):
    """The command line, or a file that it names, makes no sense."""

    def __init__(self, text: str) -> None:
        super().__init__(text, USAGE)


class Command(Protocol):
    """A module of this package that has a command."""

    EXAMPLE: str
    """The end of `--help`."""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Add the arguments of the command."""

    @staticmethod
    def run(options: argparse.Namespace, output: Output) -> int:
        """Run it, and return the exit status. Raises a CommandError or a PyBrpcError."""


class Entry(NamedTuple):
    """A command in the list of all."""

    name: str
    help: str

    def load(self) -> Command:
        module: Any = importlib.import_module(f"pybrpc.cli.{self.name}")
        return module  # type: ignore[no-any-return]


def facts_of(error: RpcError) -> dict[str, object]:
    """An RpcError for machines."""
    return {
        "text": error.message,
        "code": error.code,
        "name": error.name,
        "phase": None if error.phase is None else str(error.phase),
        "peer": error.peer,
    }
