"""The command `pybrpc`: pybrpc serve package.module:make_server --bind 0.0.0.0:8000 --workers 4"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
from collections.abc import Callable, Sequence

from pybrpc.base.cores import parse_cores
from pybrpc.errors import PyBrpcError
from pybrpc.server.settings import DEFAULT_GRACE_S
from pybrpc.server.workers.settings import (
    DEFAULT_STALL_TIMEOUT_S,
    DEFAULT_START_TIMEOUT_S,
    LEVELS,
    LOOPS,
    set_up_logging,
)
from pybrpc.server.workers.supervisor import serve
from pybrpc.server.workers.worker_directory import WorkerDirectory

SIGNALS = """\
signals:
  SIGTERM, Ctrl-C   stop when the running requests are answered; again: at once
  SIGHUP            replace the workers one by one
  SIGUSR1           log what each worker has done"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Exit status: 0 if it was asked to quit, 1 if it could not start."""
    command = parser()
    options = command.parse_args(arguments)
    if options.advertise is not None and not options.register:
        command.error("--advertise needs --register")
    set_up_logging(options.log_level)
    try:
        import_from(options.directory)
        done = serve(
            options.target,
            options.bind,
            workers=options.workers,
            grace=options.grace,
            register=options.register,
            advertise=options.advertise,
            drain_delay=options.drain_delay,
            start_timeout=options.start_timeout,
            stall_timeout=options.stall_timeout,
            directory=options.directory,
            loop=options.loop,
            internal_port=options.internal_port,
            pin=options.pin,
            keep_memory=options.keep_memory,
            log_level=options.log_level,
            on_started=lambda where: print(
                f"serving {options.target} on {where}, pid {os.getpid()}", flush=True
            ),
        )
    except (PyBrpcError, ValueError, OSError, NotImplementedError) as error:
        print(f"pybrpc serve: {error}", file=sys.stderr)
        return 1
    print(done, flush=True)
    return 0


def import_from(directory: str | None) -> None:
    """Have the workers import from the directory in which they run."""
    path = WorkerDirectory(directory).path
    if path not in sys.path:
        sys.path.insert(0, path)


def seconds(text: str) -> float:
    """The number that an option says; argparse ends the command with the text of the error."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"must be a number of seconds >= 0, not {text!r}")
    return number


def cores(text: str) -> frozenset[int]:
    """The processor cores that an option says."""
    try:
        return parse_cores(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def version() -> str:
    """The version of this package, and how it runs: "pybrpc 0.1.0 (compiled, Python 3.12.1)"."""
    package = sys.modules["pybrpc"]
    python = platform.python_version()
    return f"pybrpc {package.__version__} ({package.__impl__}, Python {python})"


def add_registration(add: Callable[..., object]) -> None:
    """Add the options of a naming service by `add`, the method of a parser."""
    add(
        "--register",
        metavar="URL",
        action="append",
        default=[],
        help="keep the address in the list of a naming service, such as etcd://127.0.0.1:2379/echo "
        "(none); may be given several times",
    )
    add(
        "--advertise",
        metavar="ADDRESS",
        help='the address by which clients reach it, and its tag: "10.0.0.1:8000 3 zone=a"; '
        "port 0: that of --bind (the address of --bind)",
    )
    add(
        "--drain-delay",
        type=seconds,
        help="seconds for which all workers serve on at a stop, so that clients hear of it (2 with "
        "--register, else 0)",
    )


def add_tuning(add: Callable[..., object]) -> None:
    """Add the options of `pybrpc.tune`."""
    add(
        "--pin",
        type=cores,
        metavar="CORES",
        help='processor cores that the workers share, such as "0-3,8"; each is bound to its share '
        "of them (the system decides)",
    )
    add(
        "--keep-memory",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep memory that big messages have needed, instead of giving it back to the system "
        "after each call (%(default)s, if MALLOC_... of the environment is not set)",
    )


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="pybrpc", description="bRPC for Python.")
    made.add_argument("--version", action="version", version=version())
    commands = made.add_subparsers(required=True, metavar="command")
    command = commands.add_parser(
        "serve",
        help="serve with one process or several",
        epilog=SIGNALS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = command.add_argument
    add("target", help="function that makes the Server, as package.module:make_server")
    add("-b", "--bind", default="127.0.0.1:8000", help="host:port or unix:path (%(default)s)")
    add("-w", "--workers", type=int, default=1, help="processes (%(default)s)")
    add(
        "--grace",
        type=seconds,
        default=DEFAULT_GRACE_S,
        help="seconds for running requests at a stop; inf: no limit (%(default)g)",
    )
    add_registration(add)
    add(
        "--start-timeout",
        type=seconds,
        default=DEFAULT_START_TIMEOUT_S,
        help="seconds that a worker may take to start serving; inf: no limit (%(default)g)",
    )
    add(
        "--stall-timeout",
        type=seconds,
        default=DEFAULT_STALL_TIMEOUT_S,
        help="seconds for which a worker may run no Python code; 0: for ever (%(default)g)",
    )
    add(
        "-C",
        "--directory",
        help="where the workers run and import; symbolic links in it are followed at each SIGHUP "
        "(the present directory)",
    )
    add(
        "--internal-port",
        type=int,
        help="a port on the same host for the pages of all workers; 0: a free one, which is logged "
        "(none)",
    )
    add_tuning(add)
    add("--loop", choices=LOOPS, default="asyncio", help="for an async make_server (%(default)s)")
    add("--log-level", choices=LEVELS, default="info", help="(%(default)s)")
    return made


if __name__ == "__main__":
    sys.exit(main())
