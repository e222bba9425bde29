"""SupervisorOptions, the arguments of Supervisor, and SupervisorSettings, the checked value."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import operator
import os
from collections.abc import Iterable
from typing import Any, Literal, TypedDict

from pybrpc.base.checked_options import (
    checked_count,
    checked_count_or_none,
    checked_flag,
    checked_text,
)
from pybrpc.base.cores import check_bindable, checked_cores
from pybrpc.base.deadline import checked_timeout_s
from pybrpc.base.named_options import check_names, defaults_of
from pybrpc.server.settings import DEFAULT_GRACE_S, checked_drain_delay_s
from pybrpc.transport.listening.listen import check_reuse_port

DEFAULT_START_TIMEOUT_S = 60.0
DEFAULT_STALL_TIMEOUT_S = 60.0
LOOPS = ("asyncio", "uvloop")


class SupervisorOptions(TypedDict, total=False):
    """
    workers        processes; `Server(max_workers=...)` is threads in each of them; default 1
    grace          seconds that the running requests of a worker get when it is replaced, told to
                   stop by a signal, or when this process is gone; `None`: no limit; default 5
    drain_delay    seconds for which the workers serve on when this process is told to stop, as for
                   `Server`; that of the server of a worker counts for nothing; default `None`: 2 if
                   the supervisor is registered, else 0
    start_timeout  seconds that a worker may take until it serves; `None`: no limit; default 60
    stall_timeout  seconds for which a worker that serves may run no Python code, because one call
                   of an extension keeps all others from running: then it logs its stacks, is killed
                   and replaced; 0 or `None`: it is never killed for that; default 60
    directory      where the workers run and import; default: the present directory, by its name in
                   the environment variable PWD. Symbolic links in it are followed at the start of
                   each worker, so a restart serves the release to which they point then
    loop           "asyncio" or "uvloop", for a coroutine function; default "asyncio"
    internal_port  a port on the host of the workers on which this process shows the pages of all of
                   them together, and of each by `?worker=N`; 0: a free one,
                   `supervisor.internal_endpoint` says which; default `None`: no such port. That of
                   `Server(internal_port=...)` is not opened in workers
    pin            processor cores that the workers share, such as `range(4)`: each is bound to its
                   share of them, or to one if there are more workers than cores; default `None`:
                   the system decides. Linux only. See `pybrpc.tune.pin`
    keep_memory    whether the workers keep memory that big messages have needed, see
                   `pybrpc.tune.keep_memory`; they do not if the environment says something else to
                   malloc; default True
    reuse_port     whether other processes of the same user may serve on the same port, which say so
                   too, such as the next supervisor before this one stops; see `Server`; default
                   False
    log_level      "debug", "info", "warning" or "error": set up logging in the workers; default
                   "": leave that to the target
    """

    workers: int
    grace: float | None
    drain_delay: float | None
    start_timeout: float | None
    stall_timeout: float | None
    directory: str | os.PathLike[str] | None
    loop: Literal["asyncio", "uvloop"]
    internal_port: int | None
    pin: Iterable[int] | None
    keep_memory: bool
    reuse_port: bool
    log_level: Literal["", "debug", "info", "warning", "error"]


@dataclasses.dataclass(frozen=True, slots=True)
class SupervisorSettings:
    """A target and SupervisorOptions, checked, with their defaults. Times are in seconds."""

    target: str
    workers: int = 1
    grace_s: float | None = DEFAULT_GRACE_S
    start_timeout_s: float | None = DEFAULT_START_TIMEOUT_S
    loop: str = "asyncio"
    log_level: str = ""
    stall_timeout_s: float | None = DEFAULT_STALL_TIMEOUT_S
    directory: str | None = None
    internal_port: int | None = None
    drain_delay_s: float | None = None
    pin: frozenset[int] | None = None
    keep_memory: bool = True
    reuse_port: bool = False

    @classmethod
    def of(cls, target: str, options: SupervisorOptions) -> SupervisorSettings:
        """Raises ValueError or TypeError for invalid options."""
        check_names("Supervisor", options, SupervisorOptions)
        left: dict[str, Any] = dict(options)
        for name in ("grace", "start_timeout", "stall_timeout"):
            if name in left:
                left[f"{name}_s"] = checked_timeout_s(left.pop(name), name)
        if "drain_delay" in left:
            left["drain_delay_s"] = checked_drain_delay_s(left.pop("drain_delay"))
        if left.get("pin") is not None:
            left["pin"] = checked_cores("pin", left["pin"])
        directory = left.get("directory")
        if directory is not None:
            left["directory"] = checked_directory(directory)
        return cls(target, **left)

    def __post_init__(self) -> None:
        check_target(self.target)
        checked_timeout_s(self.grace_s, "grace")
        checked_timeout_s(self.start_timeout_s, "start_timeout")
        checked_timeout_s(self.stall_timeout_s, "stall_timeout")
        checked_drain_delay_s(self.drain_delay_s)
        checked_count("workers", self.workers, 1)
        checked_count_or_none("internal_port", self.internal_port, 0, 65535)
        checked_flag("keep_memory", self.keep_memory)
        if checked_flag("reuse_port", self.reuse_port):
            check_reuse_port()
        if self.pin is not None:
            check_bindable(self.pin)
        if self.loop not in LOOPS:
            raise ValueError(f"loop must be one of {', '.join(LOOPS)}, not {self.loop!r}")
        if self.log_level and self.log_level not in LEVELS:
            levels = ", ".join(LEVELS)
            raise ValueError(f"log_level must be one of {levels}, not {self.log_level!r}")
        if self.directory is not None and not os.path.isdir(self.directory):
            raise ValueError(f"directory must be the path of one, not {self.directory!r}")


SUPERVISOR_DEFAULTS = {
    **defaults_of(SupervisorSettings),
    "grace": DEFAULT_GRACE_S,
    "drain_delay": None,
    "start_timeout": DEFAULT_START_TIMEOUT_S,
    "stall_timeout": DEFAULT_STALL_TIMEOUT_S,
}
"""The default of each option."""


def checked_directory(directory: object) -> str:
    """A path as a string, else a TypeError."""
    if not isinstance(directory, str | bytes | os.PathLike):
        raise TypeError(f"directory must be a path or None, not {directory!r}")
    return os.fsdecode(directory)


def check_target(target: str) -> str:
    """Return `target` if it has the form "package.module:name", else ValueError."""
    checked_text("target", target)
    module, colon, name = target.partition(":")
    if not colon or not all(part.isidentifier() for part in f"{module}.{name}".split(".")):
        raise ValueError(
            'name the function that makes the server as "package.module:make_server", '
            f"not {target!r}"
        )
    if module == "__main__":
        raise ValueError(
            f"{target!r} can't be imported by another process: put the function that makes the "
            "server into a module of its own"
        )
    return target


def load_target(target: str) -> Any:
    """Import the object that `target` names. Raises whatever its import raises; AttributeError."""
    module, _, name = target.partition(":")
    return operator.attrgetter(name)(importlib.import_module(module))


LEVELS = ("debug", "info", "warning", "error")
FORMAT = "%(asctime)s [%(process)d] %(levelname)s %(name)s: %(message)s"


def set_up_logging(level: str) -> None:
    """Log from `level` on, unless the application has set up logging; "" does nothing."""
    if level:
        logging.basicConfig(level=level.upper(), format=FORMAT)


def log_until_set_up(level: str) -> None:
    """Log from `level` on until the application sets up logging, as by `logging.basicConfig`, which
    does nothing where the root logger has a handler already; "" does nothing."""
    if level and not logging.root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(FORMAT))
        logging.lastResort = handler
        logging.root.setLevel(level.upper())
