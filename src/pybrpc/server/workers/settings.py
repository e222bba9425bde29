"""SupervisorOptions, the arguments of Supervisor, and SupervisorSettings, the checked value."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import operator
from typing import Any, TypedDict

from pybrpc.base.deadline import checked_timeout_s
from pybrpc.base.named_options import check_names, defaults_of
from pybrpc.server.settings import DEFAULT_GRACE_S

DEFAULT_START_TIMEOUT_S = 60.0
LOOPS = ("asyncio", "uvloop")


class SupervisorOptions(TypedDict, total=False):
    """
    workers        processes; `Server(max_workers=...)` is threads in each of them; default 1
    grace          seconds that the running requests of a worker get when it is replaced, told to
                   stop by a signal, or when this process is gone; `None`: no limit; default 5
    start_timeout  seconds that a worker may take until it serves; default 60
    loop           "asyncio" or "uvloop", for a coroutine function; default "asyncio"
    log_level      "debug", "info", "warning" or "error": set up logging in the workers; default
                   "": leave that to the target
    """

    workers: int
    grace: float | None
    start_timeout: float
    loop: str
    log_level: str


@dataclasses.dataclass(frozen=True, slots=True)
class SupervisorSettings:
    """A target and SupervisorOptions, checked, with their defaults. Times are in seconds."""

    target: str
    workers: int = 1
    grace_s: float | None = DEFAULT_GRACE_S
    start_timeout_s: float = DEFAULT_START_TIMEOUT_S
    loop: str = "asyncio"
    log_level: str = ""

    @classmethod
    def of(cls, target: str, options: SupervisorOptions) -> SupervisorSettings:
        """Raises ValueError or TypeError for invalid options."""
        check_names("Supervisor", options, SupervisorOptions)
        left: dict[str, Any] = dict(options)
        for name in ("grace", "start_timeout"):
            if name in left:
                left[f"{name}_s"] = left.pop(name)
        return cls(target, **left)

    def __post_init__(self) -> None:
        check_target(self.target)
        checked_timeout_s(self.grace_s, "grace")
        checked_timeout_s(self.start_timeout_s, "start_timeout")
        if isinstance(self.workers, bool) or not isinstance(self.workers, int) or self.workers < 1:
            raise ValueError(f"workers must be a number from 1, not {self.workers!r}")
        if self.loop not in LOOPS:
            raise ValueError(f"loop must be one of {', '.join(LOOPS)}, not {self.loop!r}")
        if self.log_level and self.log_level not in LEVELS:
            levels = ", ".join(LEVELS)
            raise ValueError(f"log_level must be one of {levels}, not {self.log_level!r}")


SUPERVISOR_DEFAULTS = {
    **defaults_of(SupervisorSettings),
    "grace": DEFAULT_GRACE_S,
    "start_timeout": DEFAULT_START_TIMEOUT_S,
}
"""The default of each option."""


def check_target(target: str) -> str:
    """Return `target` if it has the form "package.module:name", else ValueError."""
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
