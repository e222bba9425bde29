"""StandbyPoller: who goes on driving when the thread that drove runs an errand, and it takes long.

Waking another thread for a fast handler costs more than the handler. So the thread that drives
runs it itself, between turns: it steps aside, runs the errand, and comes back. A second thread
stands by. It looks once a millisecond while there are such errands, and when one lasts longer than
that, takes over: the seat, and the role. Who comes back and finds that out stands by from then on.

The token is free while somebody is aside, and only then. Who acquires it drives: the one that comes
back, or the one that stands by. The seat stays taken all the time, so nobody else can sit down.

Going to sleep for longer, the one that stands by raises `_is_asleep` and then looks at the token
and at the count of errands; who steps aside counts, frees the token, and then looks at
`_is_asleep`. One of the two sees the other.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Protocol

from pybrpc.transport.dispatch.poller_role import NOBODY

PATIENCE_S = 0.001
"""So long an errand may keep others waiting."""

CALM_NAPS = 16
"""After so many naps without an errand the thread that stands by sleeps until it is roused."""

ROUSING_GAP_S = 0.002
"""It is roused when errands are offered this fast; rarer ones gain nothing by it."""


class InlineTask(Protocol):
    """What the thread that drives may do between two turns, though it can take long."""

    def run(self, is_relieved: Callable[[], bool]) -> None:
        """Do it, outside of any turn. Once `is_relieved()`, begin nothing more."""

    def hand_over(self) -> None:
        """In a turn: the thread that ran it was relieved; others must do what it has not begun."""


class StandbyPoller:
    """The token, and the sleep of the one thread that stands by."""

    __slots__ = (
        "_bell",
        "_errands",
        "_is_asleep",
        "_is_over",
        "_is_urgent",
        "_offered_at",
        "_since",
        "_token",
        "aside",
        "is_standing_by",
    )

    def __init__(self) -> None:
        self.aside = NOBODY
        """The thread that runs an errand, relieved or not."""
        self.is_standing_by = False
        self._token = threading.Lock()
        self._token.acquire()
        self._bell = threading.Lock()
        self._bell.acquire()
        self._since = 0.0
        self._errands = 0
        self._offered_at = 0.0
        self._is_asleep = False
        self._is_urgent = False
        self._is_over = False

    # --- the thread that drives ---

    def is_at_hand(self) -> bool:
        """Whether somebody stands by, awake. An asleep one is roused if that is asked often."""
        if not self.is_standing_by:
            return False
        if not self._is_asleep:
            return True
        now = time.monotonic()
        if now - self._offered_at < ROUSING_GAP_S:
            self._ring()
        self._offered_at = now
        return False

    def begin_inline(self) -> None:
        """Only if somebody stands by."""
        self.aside = threading.get_ident()
        self._is_urgent = False
        self._since = time.monotonic()
        self._errands += 1
        self._token.release()
        if self._is_asleep:
            self._ring()

    def is_relieved(self) -> bool:
        """Between `begin_inline` and `come_back`: whether another thread drives now."""
        return self._token.locked()

    def come_back(self) -> bool:
        """Drive again; False if another thread does."""
        self.aside = NOBODY
        return self._token.acquire(False)

    # --- any thread ---

    def hasten(self) -> None:
        """The errand blocks: relieve who runs it at once."""
        self._is_urgent = True
        self._ring()

    def end(self) -> None:
        """Nobody needs to stand by any more."""
        self._is_over = True
        self._ring()

    # --- the thread that stands by ---

    def wait_for_handover(self) -> bool:
        """Block until this thread is to drive; False after `end`."""
        self.is_standing_by = True
        calm_naps, errands = 0, self._errands
        while not self._is_over:
            if self._is_overdue() and self._token.acquire(blocking=False):
                self.is_standing_by = False
                return True
            calm_naps = calm_naps + 1 if errands == self._errands else 0
            errands = self._errands
            if calm_naps < CALM_NAPS:
                self._bell.acquire(timeout=self._nap_s())
            else:
                self._sleep(errands)
                calm_naps = 0
        self.is_standing_by = False
        return False

    def _is_overdue(self) -> bool:
        if self._token.locked():
            return False
        return self._is_urgent or time.monotonic() - self._since >= PATIENCE_S

    def _nap_s(self) -> float:
        if self._token.locked():
            return PATIENCE_S
        return max(0.0, self._since + PATIENCE_S - time.monotonic())

    def _sleep(self, errands: int) -> None:
        self._is_asleep = True
        if self._token.locked() and errands == self._errands and not self._is_over:
            self._bell.acquire()
        self._is_asleep = False

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # rung already
            self._bell.release()
