"""Registry: the variables that are exposed, by name (bvar/variable.cpp).

One for the process, `exposed`. Looking is lock-free: it copies the table. So a function of a user
that runs meanwhile may expose and hide variables. Their type, Variable, is `Any` here, since this
is below them.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pybrpc.base.guard import LIBRARY, deliver_interrupt
from pybrpc.base.limited_log import LimitedLog
from pybrpc.base.renewed import renew_in_child
from pybrpc.metrics.text import text_of
from pybrpc.metrics.wildcards import Wildcards

MAX_MULTI_DIMENSIONS = 1024
"""Variables with labels that may be exposed at once (bvar_max_multi_dimension_metric_number)."""


class Display(enum.Flag):
    """Where a variable is shown (bvar::DisplayFilter)."""

    PLAIN_TEXT = enum.auto()
    HTML = enum.auto()
    ALL = PLAIN_TEXT | HTML


@dataclass(frozen=True, slots=True)
class Entry:
    """An exposed variable."""

    variable: Any
    """A Variable."""
    display: Display


class Registry:
    """Names and their variables, which it keeps alive. All methods may be called by any thread."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._lock = threading.RLock()  # a finalizer may hide a variable meanwhile
        self._log = LimitedLog(LIBRARY)
        renew_in_child(self)

    def renew_locks(self) -> None:
        """See `renew_in_child`."""
        self._lock = threading.RLock()

    def expose(self, added: Mapping[str, Entry], instead_of: Iterable[str] = ()) -> None:
        """Add all of `added`, and remove the names `instead_of`: both or nothing.

        ValueError if another variable has one of the names, or if there would be too many
        variables with labels.
        """
        with self._lock:
            removed = set(instead_of)
            for name in added:
                if name in self._entries and name not in removed:
                    raise ValueError(f"a variable is already exposed as {name!r}")
            self._check_number_with_labels(added, removed)
            self._entries.update(added)
            self.hide(removed - added.keys())

    def _check_number_with_labels(self, added: Mapping[str, Entry], removed: set[str]) -> None:
        if not any(entry.variable.has_labels for entry in added.values()):
            return
        others = (e for name, e in self.entries() if name not in removed)
        if sum(entry.variable.has_labels for entry in others) >= MAX_MULTI_DIMENSIONS:
            raise ValueError(f"at most {MAX_MULTI_DIMENSIONS} variables with labels are exposed")

    def hide(self, names: Iterable[str]) -> None:
        """Remove `names`; those that are not exposed are ignored."""
        with self._lock:
            for name in names:
                self._entries.pop(name, None)

    def entries(self) -> list[tuple[str, Entry]]:
        """All exposed variables, sorted by name."""
        return sorted(self._entries.copy().items(), key=_name_of)

    def find(self, name: str) -> Any:
        """The Variable that is exposed as `name`, or None."""
        entry = self._entries.get(name)
        return None if entry is None else entry.variable

    def list_exposed(self, display: Display = Display.ALL) -> list[str]:
        """The names, sorted, of variables that are shown in one of the places `display`."""
        return [name for name, entry in self.entries() if entry.display & display]

    def count_exposed(self) -> int:
        """The number of exposed variables."""
        return len(self._entries)

    def describe_exposed(
        self, name: str, quote_strings: bool = False, display: Display = Display.ALL
    ) -> str | None:
        """The value of one variable as text; None if there is none of that name for `display`.
        `quote_strings`: whether a text has quotes around it.

        A variable whose function raises is described by the type of the exception.
        """
        entry = self._entries.get(name)
        if entry is None or not entry.display & display:
            return None
        return self._describe(name, entry.variable, quote_strings)

    def describe_series_exposed(self, name: str) -> str | None:
        """The series of one variable as JSON, as `/vars/name?series` of bRPC has it; None if there
        is no such variable, or it has none."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        try:
            found: str | None = entry.variable.describe_series()
            return found
        except BaseException as error:
            self.log_raised(name, error)
            return None

    def dump_exposed(
        self,
        white_wildcards: str = "",
        black_wildcards: str = "",
        *,
        question_mark: str = "?",
        quote_strings: bool = True,
        display: Display = Display.PLAIN_TEXT,
    ) -> list[tuple[str, str]]:
        """Names and values as text of the variables that `white_wildcards` means (all, if empty)
        and `black_wildcards` does not, sorted by name. See `Wildcards`.

        `question_mark` stands for any character in a wildcard, `quote_strings` puts quotes around
        texts, and variables that are not for `display` are left out.

        Functions of users run in the calling thread.
        """
        white = Wildcards(white_wildcards, question_mark)
        black = Wildcards(black_wildcards, question_mark)
        if white.exact_names and not white.has_patterns:
            table = self._entries
            found = [(name, table[name]) for name in sorted(white.exact_names) if name in table]
        else:
            found = self.entries()
        wants_all = not white
        return [
            (name, self._describe(name, entry.variable, quote_strings))
            for name, entry in found
            if (wants_all or white.match(name))
            and not (black and black.match(name))
            and entry.display & display
        ]

    def _describe(self, name: str, variable: Any, quote_strings: bool) -> str:
        try:
            return str(variable.describe(quote_strings))
        except BaseException as error:
            self.log_raised(name, error)
            return text_of(f"raised {type(error).__name__}", quote_strings)

    def log_raised(self, name: str, error: BaseException) -> None:
        """Log that reading the variable `name` has raised `error`: at most a line a second."""
        self._log.warn("reading the variable %s raised", name, reason=error)
        deliver_interrupt(error)


def _name_of(item: tuple[str, Entry]) -> str:
    return item[0]


exposed = Registry()
"""The variables of this process."""
