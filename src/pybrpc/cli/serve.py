"""pybrpc serve: serve with one process or several."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from pybrpc.base.cores import parse_cores
from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import WORKERS
from pybrpc.cli.arguments import seconds
from pybrpc.cli.command import FAILED, USAGE, CommandError, UsageError
from pybrpc.cli.output import Output, discard
from pybrpc.cli.reloading import Reloading
from pybrpc.errors import MissingExtraError, PyBrpcError
from pybrpc.server.lifecycle.signals import handling
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
from pybrpc.transport.listening.passed_sockets import SCHEME, are_sockets_passed

DEFAULT_ADDRESS = "127.0.0.1:8000"
EXAMPLE = """\
examples:
  pybrpc serve app:make_server --bind 0.0.0.0:8000 --workers 4
  pybrpc serve app:make_server --reload    # while you work on it

signals:
  SIGTERM, Ctrl-C   stop when the running requests are answered; again: at once
  SIGHUP            replace the workers one by one
  SIGUSR1           log what each worker has done"""


def run(options: argparse.Namespace, output: Output) -> int:
    """Serve until it is asked to quit. Exit status: 1 if it could not start."""
    # A change of a file, which comes as SIGHUP, may be found when the supervisor has stopped.
    ignored = {signal.SIGHUP: lambda: None} if options.reload else {}
    with handling(ignored):
        return run_until_asked_to_quit(options, output)


def run_until_asked_to_quit(options: argparse.Namespace, output: Output) -> int:
    """`run`, with what signals do set right."""
    if options.advertise is not None and not options.register:
        raise UsageError("--advertise needs --register")
    set_up_logging(options.log_level)

    watch = None
    if options.reload:
        watch = Reloading(WorkerDirectory(options.directory).path, replace_workers)

    def on_started(where: Endpoint) -> None:
        if watch is not None:
            watch.start()
        facts = {"target": options.target, "address": str(where), "pid": os.getpid()}
        tell(output, facts, f"serving {options.target} on {where}, pid {os.getpid()}")

    try:
        import_from(options.directory)
        done = serve(
            options.target,
            options.bind or (SCHEME if are_sockets_passed() else DEFAULT_ADDRESS),
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
            reuse_port=options.reuse_port,
            log_level=options.log_level,
            on_started=on_started,
        )
    except MissingExtraError:
        raise
    except (PyBrpcError, ValueError, OSError, NotImplementedError) as error:
        is_usage = isinstance(error, ValueError)
        raise CommandError(str(error), USAGE if is_usage else FAILED) from error
    finally:
        if watch is not None:
            watch.stop()
    tell(output, dataclasses.asdict(done), str(done))
    return 0


def tell(output: Output, facts: dict[str, Any], text: str) -> None:
    """Print, if that can be done: a server serves on when the disk of its output is full, or when
    the program that reads it has gone."""
    try:
        output.result(facts, text)
    except OSError as error:
        WORKERS.warning("the standard output can't be written: %s", error.strerror)
        discard(sys.stdout)


def replace_workers(changed: list[str]) -> None:
    """Replace the workers, because these files have changed."""
    WORKERS.info("%s changed: replacing the workers", ", ".join(changed[:3]))
    os.kill(os.getpid(), signal.SIGHUP)


def import_from(directory: str | None) -> None:
    """Have the workers import from the directory in which they run."""
    path = WorkerDirectory(directory).path
    if path not in sys.path:
        sys.path.insert(0, path)


def cores(text: str) -> frozenset[int]:
    """The processor cores that an option says."""
    try:
        return parse_cores(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("target", help="function that makes the Server, as package.module:make_server")
    add(
        "-b",
        "--bind",
        help="host:port, unix:path, or fd://, fd://NAME, fd://3 for passed sockets (those that "
        f"systemd has passed, else {DEFAULT_ADDRESS})",
    )
    add(
        "--reuse-port",
        action="store_true",
        help="let other processes that use --reuse-port share this port",
    )
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
    add(
        "--reload",
        action="store_true",
        help="for development: replace the workers when a .py file below the directory changes",
    )
    add_tuning(add)
    add("--loop", choices=LOOPS, default="asyncio", help="for an async make_server (%(default)s)")
    add("--log-level", choices=LEVELS, default="info", help="(%(default)s)")
