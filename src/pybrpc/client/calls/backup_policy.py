"""BackupRequestPolicy: when a call that takes long is sent a second time, and how often at most."""

from __future__ import annotations

import time
from collections import deque

from pybrpc.base.checked_options import is_number
from pybrpc.errors import BackupPolicyError as BackupPolicyError

DEFAULT_MAX_RATIO = 0.1
WINDOW_S = 10.0
MAX_AFTER_S = 0x7FFFFFFF / 1000
_SLICES = 10
_COLD_CALLS = 10
"""With at most this many calls in the window one backup is allowed: there is no ratio yet."""


class BackupRequestPolicy:
    """Send a backup `after_s` seconds, for at most `max_ratio` of the calls of the last seconds.

    A server that is slow as a whole must not get twice the load: once backups are `max_ratio` of
    the calls of the last 10 seconds, no more are sent until they are fewer. One object may serve
    several channels, which then share the ratio. Thread-safe; a count that is lost in a race does
    no harm.

    To have another rule, subclass it and override `may_send`. If that raises, no backup is sent.

    After bRPC's `backup_request_ms`, BackupRequestPolicy and its rate-limited one.
    """

    def __init__(self, after_s: float, *, max_ratio: float = DEFAULT_MAX_RATIO) -> None:
        if not is_number(after_s) or not 0 <= after_s <= MAX_AFTER_S:
            raise BackupPolicyError(f"after_s must be at least 0 seconds, not {after_s!r}")
        self.after_s = float(after_s)
        if not is_number(max_ratio) or not 0 < max_ratio <= 1:
            raise BackupPolicyError(f"max_ratio must be above 0 and at most 1, not {max_ratio!r}")
        self.max_ratio = float(max_ratio)
        # For each slice of the window, the newest last: its begin, its calls, its backups.
        self._slices: deque[list[float]] = deque(maxlen=_SLICES)

    def may_send(self) -> bool:
        """Whether a backup may be sent now. In a turn of the dispatcher; must not block."""
        calls, backups = self.counts()
        if not backups and calls <= _COLD_CALLS:
            return True
        return backups + 1 <= calls * self.max_ratio

    def note_call(self) -> None:
        """A call began."""
        self._slice()[1] += 1

    def note_backup(self) -> None:
        """A backup was sent."""
        self._slice()[2] += 1

    def counts(self) -> tuple[int, int]:
        """Calls and backups of the window."""
        oldest = time.monotonic() - WINDOW_S
        slices = [part for part in list(self._slices) if part[0] > oldest]
        return int(sum(part[1] for part in slices)), int(sum(part[2] for part in slices))

    def _slice(self) -> list[float]:
        now = time.monotonic()
        slices = self._slices
        if not slices or now >= slices[-1][0] + WINDOW_S / _SLICES:
            slices.append([now, 0, 0])
        return slices[-1]

    def __repr__(self) -> str:
        calls, backups = self.counts()
        return (
            f"<{type(self).__name__} after {self.after_s:g} s, at most {self.max_ratio:.0%}: "
            f"{backups} of {calls} calls>"
        )


def after_s_of(backup_request_ms: float) -> float:
    """The seconds of a `backup_request_ms`; BackupPolicyError if it is not allowed."""
    if not is_number(backup_request_ms) or not 0 <= backup_request_ms <= MAX_AFTER_S * 1000:
        raise BackupPolicyError(
            f"backup_request_ms must be at least 0 milliseconds, not {backup_request_ms!r}"
        )
    return backup_request_ms / 1000
