"""Ledger: every call is entered when it starts, and again each time that it completes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import threading
from collections import Counter

from pybrpc.errors import ErrorCode, Phase, RpcError, StreamTimeoutError, error_name
from soak.on_purpose import ON_PURPOSE

EXPECTED_CODES: frozenset[int] = frozenset(
    {
        ErrorCode.ERPCTIMEDOUT,
        ErrorCode.ECANCELED,
        ErrorCode.EEOF,
        ErrorCode.ECONNRESET,
        ErrorCode.ECONNABORTED,
        ErrorCode.ECONNREFUSED,
        ErrorCode.EPIPE,
        ErrorCode.ETIMEDOUT,
        ErrorCode.EFAILEDSOCKET,
        ErrorCode.ECLOSE,
        ErrorCode.EHOSTDOWN,
        ErrorCode.ESSL,
    }
)
"""Errors of a call whose connection breaks. The proxy damages no byte, so an error about malformed
data is a defect, and so is an error of the server that is not in `EXPECTED_OF_SERVER`."""

NO_WAY = frozenset({ErrorCode.EHOSTUNREACH, ErrorCode.ENETUNREACH})
"""Errors of a network without a route to the host; within one machine there is always one."""

EXPECTED_OF_SERVER = frozenset({ErrorCode.ELOGOFF, ErrorCode.ERPCTIMEDOUT})
"""Answers of a server that stops, and to a request whose deadline has passed."""

MOST_NOTES = 20


@dataclasses.dataclass(frozen=True, slots=True)
class LedgerTotals:
    """The ledger at one moment."""

    started: int
    answered: int
    failed: int
    """Calls, each counted once."""
    told_twice: int
    wrong_answers: int
    """Answers that were not what was asked for; they count as answered too."""
    unexpected: int
    """Failures that no fault of a connection explains; they count as failed too."""
    failures: dict[str, int]
    """By name and phase: {"EEOF waiting": 3}."""
    notes: tuple[str, ...]
    """The first of what is not as it should be."""

    @property
    def lost(self) -> int:
        """Calls that never completed; until all have ended, also those in flight."""
        return self.started - self.answered - self.failed


class Ticket:
    """One call in the ledger. Each outcome that it gets is entered, also a second one."""

    __slots__ = ("_ledger", "times_told")

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.times_told = 0

    def answered(self, complaint: str = "") -> None:
        """`complaint`: what is wrong with the answer, if anything is."""
        self._ledger.enter_answer(self, complaint)

    def failed(self, error: BaseException) -> None:
        self._ledger.enter_failure(self, error)


class Ledger:
    """Thread-safe."""

    def __init__(self, expected: frozenset[int] = EXPECTED_CODES) -> None:
        """`expected`: what calls may fail with."""
        self._expected = expected
        self._lock = threading.Lock()
        self._started = self._answered = self._failed = 0
        self._told_twice = self._wrong = self._unexpected = 0
        self._failures: Counter[str] = Counter()
        self._notes: list[str] = []

    def start(self) -> Ticket:
        """A call is about to be started."""
        with self._lock:
            self._started += 1
        return Ticket(self)

    def totals(self) -> LedgerTotals:
        with self._lock:
            return LedgerTotals(
                started=self._started,
                answered=self._answered,
                failed=self._failed,
                told_twice=self._told_twice,
                wrong_answers=self._wrong,
                unexpected=self._unexpected,
                failures=dict(self._failures.most_common()),
                notes=tuple(self._notes),
            )

    def enter_answer(self, ticket: Ticket, complaint: str) -> None:
        with self._lock:
            if not self._is_first(ticket, "answered"):
                return
            self._answered += 1
            if complaint:
                self._wrong += 1
                self._note(complaint)

    def enter_failure(self, ticket: Ticket, error: BaseException) -> None:
        with self._lock:
            if not self._is_first(ticket, f"failed: {error!r}"):
                return
            self._failed += 1
            self._failures[kind_of(error)] += 1
            if not is_expected(error, self._expected):
                self._unexpected += 1
                self._note(f"unexpected: {error!r}")

    def _is_first(self, ticket: Ticket, what: str) -> bool:
        ticket.times_told += 1
        if ticket.times_told == 2:
            self._told_twice += 1
        if ticket.times_told > 1:
            self._note(f"told {ticket.times_told} times, at last {what}")
        return ticket.times_told == 1

    def _note(self, text: str) -> None:
        if len(self._notes) < MOST_NOTES:
            self._notes.append(text)


def is_expected(error: BaseException, codes: frozenset[int] = EXPECTED_CODES) -> bool:
    """Whether it is explained: by a broken connection, a deadline, a cancellation or a restart, or
    by a handler that raised on purpose."""
    if is_cancellation(error):
        return True
    if isinstance(error, StreamTimeoutError):
        return bool(error.peer)
    if not isinstance(error, RpcError) or error.phase is None or not error.peer:
        return False
    if error.phase is not Phase.SERVER:
        return error.code in codes
    has_raised = error.code == ErrorCode.EINTERNAL and ON_PURPOSE in error.text
    return has_raised or error.code in EXPECTED_OF_SERVER


def is_cancellation(error: BaseException) -> bool:
    """Whether a future, of threads or of asyncio, raised it because it was cancelled."""
    return isinstance(error, asyncio.CancelledError | concurrent.futures.CancelledError)


def kind_of(error: BaseException) -> str:
    """ "EEOF waiting", or the class of what is no RpcError."""
    if is_cancellation(error):
        return error_name(ErrorCode.ECANCELED)
    if isinstance(error, RpcError):
        return f"{error.name} {error.phase or '(no phase)'}"
    return type(error).__name__
