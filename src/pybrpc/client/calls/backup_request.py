"""Hedge: a call with a backup request; which of its two attempts speaks for it.

The hard fact: answer, failure, deadline and cancellation of two attempts come from several threads
at once, and exactly one of them may end the call, or try again. `_state` is one atomic number that
decides it. Its low byte counts the attempts that may still bring the answer:

    0    nobody waits: the call belongs to the thread that is just carrying it on
    1    the first request, or a retry, is under way; or a backup that has outlived it
    2    both

Success takes the whole number away: the first answer finds a count and leaves `_OVER`, who comes
later finds nothing. Failure takes one away: who leaves 0 owns the call. So a failed backup never
fails a call whose first request is still under way, nor the other way round.

The part above the low byte counts the attempts of the first kind. It makes the timer, which looks
at the call before it joins in, notice that what it looked at has failed and was sent again.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from pybrpc.base.atomic import atomic_counter
from pybrpc.client.calls.attempt import Attempt, WaitPoint
from pybrpc.errors import RpcError

if TYPE_CHECKING:
    from pybrpc.client.calls.backup_policy import BackupRequestPolicy
    from pybrpc.client.calls.call import Call
    from pybrpc.client.connections.connection import ClientConnection
    from pybrpc.rpc.timeout_queue import TimeoutQueue

logger = logging.getLogger("pybrpc")

_COUNT = 0xFF
_ROUND = _COUNT + 1
_OVER = -(1 << 60)


class Hedge:
    """Sends the backup of one call when it takes long. An entry of a TimeoutQueue meanwhile."""

    __slots__ = (
        "_after_s",
        "_call",
        "_is_armed",
        "_policy",
        "_queue",
        "_state",
        "backup",
        "deadline",
        "has_backup",
    )

    def __init__(self, call: Call, policy: BackupRequestPolicy, after_s: float | None) -> None:
        """`after_s` is the call's own; `None`: the policy's."""
        self._call: Call | None = call
        self._is_armed = False
        self._policy = policy
        self._after_s = policy.after_s if after_s is None else after_s
        self._state = atomic_counter()
        self._queue: TimeoutQueue = call.source.timeouts.of(self._after_s)
        self.backup: Attempt | None = None
        self.has_backup = False
        """Whether a backup was sent, or refused; there is no second one."""
        self.deadline = 0.0
        policy.note_call()

    def send(self, attempt: Attempt) -> None:
        """Send the first request, or a retry. By the owner of the call; if this raises he still is.

        No backup joins in meanwhile, not even one whose timer is just expiring.
        """
        self._is_armed = False
        self._state.increment_and_get(_ROUND + 1)
        try:
            attempt.connection.send(attempt)
        except RpcError:
            self.lose()
            raise
        if not self.has_backup:
            self._arm()

    def expire(self) -> None:
        """The answer takes long: send the backup, if there may be one. In a turn."""
        seen = self._state.get()
        call = self._call
        if call is None or not (self._is_armed and _count(seen) and call.has_tries_left):
            return
        if not self._may_send():
            return
        first = call.connection
        connection = None if first is None else call.source.connection_for_backup(first)
        if connection is None:
            return
        if self._state.compare_and_set(seen, seen + 1):
            self._send_backup(call, connection)
        else:
            connection.release()

    def win(self) -> bool:
        """An answer is here. True for the first one."""
        while _count(state := self._state.get()):
            if self._state.compare_and_set(state, _OVER):
                return True
        return False

    def lose(self) -> bool:
        """An attempt failed or was taken out. True for the last one, who owns the call."""
        state = self._state.decrement_and_get(1)
        return state > 0 and not _count(state)

    def try_claim(self, place: WaitPoint | None) -> bool:
        """Take the call out of wherever it waits; True if it belongs to who asks."""
        if type(place) is not Attempt:
            return place is not None and place.try_claim()
        is_owner = False
        for attempt in (place, self.backup):
            if attempt is not None and attempt.try_cancel() and self.lose():
                is_owner = True
        return is_owner

    def end(self, place: WaitPoint | None) -> None:
        """The call is over: what else is under way for it is of no use. By its last owner."""
        state = self._state.get()
        if state >= 0:
            self._state.compare_and_set(state, _OVER)
        self._queue.discard(self)
        for attempt in (place, self.backup):
            if type(attempt) is Attempt:
                attempt.try_cancel()
        self._call = self.backup = None

    def _arm(self) -> None:
        queue = self._queue
        queue.discard(self)
        self.deadline = time.monotonic() + self._after_s
        self._is_armed = True
        queue.add(self)
        if self._is_over:
            queue.discard(self)

    @property
    def _is_over(self) -> bool:
        return self._state.get() < 0

    def _send_backup(self, call: Call, connection: ClientConnection) -> None:
        self._is_armed = False
        self.has_backup = True
        backup = self.backup = Attempt(call, connection)
        try:
            connection.send(backup)
        except RpcError as error:
            connection.release()
            call.on_attempt_failed(backup, error)
            return
        self._policy.note_backup()
        if self._is_over:
            backup.try_cancel()
            self.backup = None
        else:
            call.check_abort()

    def _may_send(self) -> bool:
        try:
            return self._policy.may_send()
        except Exception:
            logger.exception("%r raised; no backup request is sent", self._policy)
            return False


def _count(state: int) -> int:
    """Attempts under way; 0 too once the call is over."""
    return state & _COUNT if state > 0 else 0
