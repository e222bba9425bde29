"""SupervisorSettings: what a Supervisor was made with."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import operator
from typing import Any

from pybrpc.base.deadline import checked_timeout_s

LOOPS = ("asyncio", "uvloop")


@dataclasses.dataclass(frozen=True, slots=True)
class SupervisorSettings:
    """As the arguments of Supervisor. ValueError or TypeError for what makes no sense."""

    target: str
    workers: int
    grace_s: float | None
    start_timeout_s: float
    loop: str
    log_level: str

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


def check_target(target: str) -> str:
    """`target` if it has the form "package.module:name", else a ValueError that says so."""
    module, colon, name = target.partition(":")
    if not colon or not all(part.isidentifier() for part in f"{module}.{name}".split(".")):
        raise ValueError(
            f'say what makes the server as "package.module:make_server", not {target!r}'
        )
    if module == "__main__":
        raise ValueError(
            f"{target!r} can't be imported by another process: put what makes the server into a "
            "module of its own"
        )
    return target


def load_target(target: str) -> Any:
    """What is behind the text. Whatever its import raises, or AttributeError."""
    module, _, name = target.partition(":")
    return operator.attrgetter(name)(importlib.import_module(module))


LEVELS = ("debug", "info", "warning", "error")
FORMAT = "%(asctime)s [%(process)d] %(levelname)s %(name)s: %(message)s"


def set_up_logging(level: str) -> None:
    """Log from `level` on, unless the application has set logging up; "" does nothing."""
    if level:
        logging.basicConfig(level=level.upper(), format=FORMAT)
