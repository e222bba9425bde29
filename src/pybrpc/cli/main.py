"""The command `pybrpc`: finds the command that is asked for, runs it, and reports how it ended."""

from __future__ import annotations

import argparse
import io
import os
import platform
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from pybrpc.cli.command import (
    BROKEN_PIPE,
    EXIT_STATUS,
    FAILED,
    INTERRUPTED,
    MISSING,
    USAGE,
    CommandError,
    Entry,
    UsageError,
    facts_of,
)
from pybrpc.cli.output import JSON_ESCAPE, Output, discard, printable
from pybrpc.errors import MissingExtraError, PyBrpcError, RpcError

COMMANDS = (
    Entry("serve", "serve with one process or several"),
    Entry("check", "show what is installed, and which form runs"),
    Entry("health", "ask servers whether they are healthy"),
    Entry("descriptor", "show the services of a server or of files"),
    Entry("call", "call a method with JSON"),
    Entry("press", "load a server with calls, and show rate and latencies"),
    Entry("view", "show a page of a server"),
    Entry("top", "show calls, errors and latencies of a server by method, live"),
    Entry("dump", "have a server sample requests into files, or show such files"),
    Entry("replay", "call a server with requests that were sampled"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit status; argparse exits with 2 for wrong arguments, unless
    the errors are JSON."""
    open_closed_streams()
    given = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=JSON_ESCAPE)  # where not all text can be shown
    try:
        status = parse_and_run(given)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        discard(sys.stdout)
        return BROKEN_PIPE
    except OSError as error:
        discard(sys.stdout)
        try:
            print(f"pybrpc: the output: {error.strerror}", file=sys.stderr, flush=True)
        except (OSError, ValueError):
            discard(sys.stderr)
        return FAILED


def parse_and_run(given: Sequence[str]) -> int:
    """Run the command of these arguments. Returns the exit status."""
    try:
        options = parsed(given)
    except UsageError as error:
        Output(is_json=True).value({"error": {"text": str(error)}})
        return USAGE
    return run(options)


def open_closed_streams() -> None:
    """Standard streams that the caller has closed (`>&-`) are as /dev/null."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
    for name, fd, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


class Parser(argparse.ArgumentParser):
    """Parses the arguments of a command, of which one may be `--json`."""

    def __init__(self, given: Sequence[str], **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self._is_json = "--json" in given

    def error(self, message: str) -> NoReturn:
        """End the command because of wrong arguments: with the usage, or for machines with a
        UsageError."""
        if self._is_json:
            raise UsageError(message)
        super().error(message)


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
    except BrokenPipeError:
        raise
    except UnicodeError as error:
        failure, facts, text = USAGE, {}, f"an argument or the input is no UTF-8: {error}"
    except OSError as error:
        failure, facts, text = FAILED, {}, text_of(error)
    except ValueError as error:
        failure, facts, text = FAILED, {}, str(error)
    if output.is_json:
        output.value({"error": {"text": text, **facts}})
    else:
        output.note(f"pybrpc {options.command_name}: {' '.join(printable(text).split())}")
    return failure


def text_of(error: OSError) -> str:
    """The reason of the system, and the file that it is about."""
    text = error.strerror or str(error)
    return text if error.filename is None else f"{error.filename}: {text}"


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the command that is asked for, which alone is loaded."""
    entries = {entry.name: entry for entry in COMMANDS}
    if not arguments or arguments[0] not in entries:
        top_parser(arguments).parse_args(arguments[:1])
    entry = entries[arguments[0]]
    command = entry.load()
    parser = Parser(
        arguments,
        prog=f"pybrpc {entry.name}",
        description=f"{entry.help[0].upper()}{entry.help[1:]}.",
        epilog=f"{command.EXAMPLE.strip()}\n\n{EXIT_STATUS}",
    )
    parser.set_defaults(command=command, command_name=entry.name)
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")
    command.add_arguments(parser)
    # Intermixed: an argument may stand behind options, in Python 3.11 too.
    return parser.parse_intermixed_args(arguments[1:])


def top_parser(given: Sequence[str]) -> Parser:
    """The parser of what is no command: it shows the help or the version, or an error."""
    listed = "\n".join(f"  {entry.name:<12}{entry.help}" for entry in COMMANDS)
    made = Parser(
        given,
        prog="pybrpc",
        usage="pybrpc [-h] [--version] COMMAND ...",
        description=f"bRPC for Python.\n\ncommands:\n{listed}",
        epilog=f"`pybrpc COMMAND --help` shows examples.\n\n{EXIT_STATUS}",
    )
    made.add_argument("--version", action="version", version=version())
    names = [entry.name for entry in COMMANDS]
    made.add_argument("command", choices=names, metavar="COMMAND", help=argparse.SUPPRESS)
    return made


def version() -> str:
    """The version of this package, and how it runs: "pybrpc 0.2.0 (compiled, Python 3.12.1)"."""
    package = sys.modules["pybrpc"]
    python = platform.python_version()
    return f"pybrpc {package.__version__} ({package.__impl__}, Python {python})"


if __name__ == "__main__":
    sys.exit(main())
