"""SupervisorSettings: what a Supervisor was made with."""

from __future__ import annotations

import dataclasses

from pybrpc.base.deadline import checked_timeout_s
from pybrpc.server.workers.logs import LEVELS
from pybrpc.server.workers.target import check_target

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
