"""Check: one configuration of a model, what is looked for, and what must be found."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Search(enum.Enum):
    """The kind of defect that a run looks for."""

    SAFETY = enum.auto()
    """Broken assertions, and runs that end before everybody is done."""
    PROGRESS = enum.auto()
    """Runs that go on for ever without waiting for a producer between exchange and link."""
    FAIRNESS = enum.auto()
    """Fair runs in which some message never gets its outcome."""


@dataclass(frozen=True, slots=True)
class Check:
    """`options` are names that the model is given with -D.

    `caught_by` is part of what the verifier says when it finds what is broken; `None` for a model
    in which it must find nothing. In the model `write_path` as many `producers` push `messages`
    each; in `holds` they are users of a connection, and take so many holds.
    """

    name: str
    producers: int
    messages: int
    options: tuple[str, ...] = ()
    search: Search = Search.SAFETY
    caught_by: str | None = None
    model: str = "write_path"
    """The name of its file."""

    @property
    def definitions(self) -> list[str]:
        """As Spin takes them."""
        names = [f"PRODUCERS={self.producers}", f"MESSAGES={self.messages}", *self.options]
        if self.search is Search.FAIRNESS:
            names.append("LIVENESS")
        return [f"-D{name}" for name in names]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of the verifier; `violation` is None if no state has one."""

    violation: str | None
    states: int
    seconds: float
    memory_mb: float

    def is_as_expected(self, check: Check) -> bool:
        if check.caught_by is None or self.violation is None:
            return check.caught_by is self.violation is None
        return check.caught_by in self.violation
