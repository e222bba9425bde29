"""The command `pybrpc`: finds the command that is asked for, runs it, and reports how it ended."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
from collections.abc import Sequence

from pybrpc.cli.command import (
    BROKEN_PIPE,
    EXIT_STATUS,
    FAILED,
    INTERRUPTED,
    MISSING,
    USAGE,
    CommandError,
    Entry,
)
from pybrpc.cli.output import Output, printable
from pybrpc.errors import MissingExtraError, PyBrpcError, RpcError

COMMANDS = (
    Entry("serve", "serve with one process or several"),
    Entry("check", "show what is installed, and which form runs"),
    Entry("health", "ask servers whether they are healthy"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit status; argparse exits with 2 for wrong arguments."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        options = parser_for(given).parse_args(given)
        status = run(options)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes the standard output once more at its end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def run(options: argparse.Namespace) -> int:
    """Run the command of the options, and print the error that ends it."""
    output = Output(options.json)
    try:
        status: int = options.command.run(options, output)
        return status
    except CommandError as error:
        failure, facts = error.status, error.facts
        text = str(error)
    except MissingExtraError as error:
        failure, facts, text = MISSING, {}, str(error)
    except RpcError as error:
        failure, facts, text = FAILED, facts_of(error), str(error)
    except PyBrpcError as error:
        failure, facts, text = USAGE if isinstance(error, ValueError) else FAILED, {}, str(error)
    if output.is_json:
        output.value({"error": {"text": text, **facts}})
    else:
        output.note(f"pybrpc {options.name}: {' '.join(printable(text).split())}")
    return failure


def facts_of(error: RpcError) -> dict[str, object]:
    """An RpcError for machines."""
    return {
        "text": error.message,
        "code": error.code,
        "name": error.name,
        "phase": None if error.phase is None else str(error.phase),
        "peer": error.peer,
    }


def parser_for(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of all commands. Only the one that is in `arguments` is loaded."""
    made = argparse.ArgumentParser(
        prog="pybrpc",
        description="bRPC for Python.",
        epilog=f"`pybrpc COMMAND --help` shows examples.\n\n{EXIT_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=version())
    commands = made.add_subparsers(required=True, metavar="command")
    wanted = next((each for each in arguments if not each.startswith("-")), None)
    for entry in COMMANDS:
        parser = commands.add_parser(
            entry.name,
            help=entry.help,
            description=f"{entry.help[0].upper()}{entry.help[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if entry.name == wanted:
            command = entry.load()
            parser.epilog = f"{command.EXAMPLE.strip()}\n\n{EXIT_STATUS}"
            parser.set_defaults(command=command, name=entry.name)
            parser.add_argument("--json", action="store_true", help="print JSON, for machines")
            command.add_arguments(parser)
    return made


def version() -> str:
    """The version of this package, and how it runs: "pybrpc 0.1.0 (compiled, Python 3.12.1)"."""
    package = sys.modules["pybrpc"]
    python = platform.python_version()
    return f"pybrpc {package.__version__} ({package.__impl__}, Python {python})"


if __name__ == "__main__":
    sys.exit(main())
