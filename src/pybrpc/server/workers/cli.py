"""The command `pybrpc`: pybrpc serve package.module:make_server --bind 0.0.0.0:8000 --workers 4"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from pybrpc.errors import PyBrpcError
from pybrpc.server.settings import DEFAULT_GRACE_S
from pybrpc.server.workers.settings import DEFAULT_START_TIMEOUT_S, LEVELS, LOOPS, set_up_logging
from pybrpc.server.workers.supervisor import serve

SIGNALS = """\
signals:
  SIGTERM, Ctrl-C   stop when the running requests are answered; again: at once
  SIGHUP            replace the workers one by one
  SIGUSR1           log what each worker has done"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Exit status: 0 if it was asked to quit, 1 if it could not start."""
    options = parser().parse_args(arguments)
    set_up_logging(options.log_level)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        done = serve(
            options.target,
            options.bind,
            workers=options.workers,
            grace=options.grace,
            start_timeout=options.start_timeout,
            loop=options.loop,
            log_level=options.log_level,
            on_started=lambda where: print(
                f"serving {options.target} on {where}, pid {os.getpid()}", flush=True
            ),
        )
    except (PyBrpcError, ValueError) as error:
        print(f"pybrpc serve: {error}", file=sys.stderr)
        return 1
    print(done, flush=True)
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="pybrpc", description="bRPC for Python.")
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
        type=float,
        default=DEFAULT_GRACE_S,
        help="seconds for running requests at a stop (%(default)g)",
    )
    add(
        "--start-timeout",
        type=float,
        default=DEFAULT_START_TIMEOUT_S,
        help="seconds that a worker may take to start serving (%(default)g)",
    )
    add("--loop", choices=LOOPS, default="asyncio", help="for an async make_server (%(default)s)")
    add("--log-level", choices=LEVELS, default="info", help="(%(default)s)")
    return made


if __name__ == "__main__":
    sys.exit(main())
