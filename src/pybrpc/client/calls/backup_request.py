"""Hedge: a call with a backup request, and which of its two attempts decides how it ends.

The hard fact: response, failure, deadline and cancellation of two attempts come from several
threads at once, and exactly one of them may end the call, or try again. `_state` is one atomic
number that decides it. Its low byte counts the attempts that may still bring the response:

    0    no attempt is in flight: one thread owns the call and continues it, or the call waits
         elsewhere (for a connection, in a pause), where one thread can claim it
    1    the first request, or a retry, is in flight; or a backup that has outlived it
    2    both

The first response replaces the state by `_OVER` and wins; later ones are ignored. A failure
subtracts 1, and the thread that reaches 0 owns the call. So a failed backup never fails a call
whose first request is still in flight, nor the other way round.

The part above the low byte counts the attempts of the first kind. By it the timer, which looks at
the call before it adds the backup, notices that the attempt it saw has failed and was sent again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.guard import CLIENT, deliver_interrupt, run_guarded
from pybrpc.client.calls.attempt import (
    Attempt,
    AttemptConnection,
    AttemptedCall,
    AttemptPick,
    WaitPoint,
    new_attempt,
)
from pybrpc.client.calls.attempt_end import CanceledBy
from pybrpc.error_codes import NOTHING_LEFT
from pybrpc.errors import ErrorCode, RpcError

if TYPE_CHECKING:
    from pybrpc.client.calls.backup_policy import BackupRequestPolicy
    from pybrpc.client.calls.interfaces import ConnectionSource
    from pybrpc.rpc.timeout_queue import TimeoutQueue

_COUNT = 0xFF
_ROUND = _COUNT + 1
_OVER = -(1 << 60)


class HedgedCall(AttemptedCall, Protocol):
    """A call, as its Hedge sees it."""

    source: ConnectionSource
    connection: AttemptConnection | None
    pick: AttemptPick | None
    """How its server was picked out of a cluster; `None` if it has but one."""

    def get_hash_key(self) -> int | None:
        """The key by which a balancer that hashes picks its server."""

    @property
    def has_tries_left(self) -> bool:
        """Whether the request may be sent once more."""

    def check_abort(self) -> None:
        """End the call if a deadline or a cancellation came while another thread owned it."""


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
        "may_have_run",
    )

    def __init__(
        self, call: HedgedCall, policy: BackupRequestPolicy, after_s: float | None
    ) -> None:
        """`after_s` is the call's own; `None`: the policy's."""
        self._call: HedgedCall | None = call
        self._is_armed = False
        self._policy = policy
        self._after_s = policy.after_s if after_s is None else after_s
        self._state = atomic_counter()
        self._queue: TimeoutQueue = call.source.timeouts.of(self._after_s)
        self.backup: Attempt | None = None
        self.has_backup = False
        """Whether a backup was sent, or refused; there is no second one."""
        self.may_have_run = False
        """Whether the server may have run one of the two requests. Set before `_state` counts its
        end, so that the thread which ends the call sees it."""
        self.deadline = 0.0
        run_guarded(policy.note_call, what="note_call of a backup request policy", log=CLIENT)

    def send(self, attempt: Attempt) -> None:
        """Send the first request, or a retry. For the owner of the call, also after this raises.

        No backup is added meanwhile, not even by a timer that is just expiring.
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

    def expire(self) -> bool:
        """The response takes long: send the backup, if there may be one. In a turn."""
        self._try_backup()
        return True

    def give_up(self) -> None:
        """Do nothing: the call has a deadline of its own."""

    def _try_backup(self) -> None:
        seen = self._state.get()
        call = self._call
        if call is None or not (self._is_armed and _count(seen) and call.has_tries_left):
            return
        if not self._may_send():
            return
        first = call.connection
        connection = None if first is None else call.source.connection_for_backup(call, first)
        if connection is None:
            return
        if self._state.compare_and_set(seen, seen + 1):
            self._send_backup(call, connection)
        else:
            connection.release()
            pick = _backup_pick_of(call)
            if pick is not None:
                pick.end(int(ErrorCode.ECANCELED), CanceledBy.OTHER_ATTEMPT)

    def win(self) -> bool:
        """A response is here. True for the first one."""
        while _count(state := self._state.get()):
            if self._state.compare_and_set(state, _OVER):
                return True
        return False

    def lose(self) -> bool:
        """An attempt failed or was claimed. True for the last one, whose thread owns the call."""
        state = self._state.decrement_and_get(1)
        return state > 0 and not _count(state)

    def try_cancel(self, place: WaitPoint | None, canceled_by: CanceledBy) -> bool:
        """Claim the call wherever it waits, as `WaitPoint.try_cancel`."""
        is_owner = False
        for point in (place, self.backup):
            if point is not None and point.try_cancel(canceled_by):
                if point.phase not in NOTHING_LEFT:
                    self.may_have_run = True
                if self._is_last():
                    is_owner = True
        return is_owner

    def end(self, place: WaitPoint | None) -> None:
        """The call is over: cancel the other attempt. For the last owner of the call."""
        state = self._state.get()
        if state >= 0:
            self._state.compare_and_set(state, _OVER)
        self._queue.discard(self)
        for point in (place, self.backup):
            if point is not None:
                point.try_cancel(CanceledBy.OTHER_ATTEMPT)
        self._call = self.backup = None

    def _is_last(self) -> bool:
        """After a claim: whether the call has no other attempt. What was claimed is counted if it
        was an attempt; if the call waited elsewhere, there is none to count."""
        state = self._state.get()
        waited_elsewhere = state >= 0 and not _count(state)
        return waited_elsewhere or self.lose()

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

    def _send_backup(self, call: HedgedCall, connection: AttemptConnection) -> None:
        self._is_armed = False
        self.has_backup = True
        backup = self.backup = new_attempt(call, connection)
        backup.pick = _backup_pick_of(call)
        try:
            if connection.direct is not None:
                connection.direct.require_reader()
            connection.send(backup)
        except RpcError as error:
            connection.release()
            backup.report_failure(error)
            call.on_attempt_failed(backup, error)
            return
        run_guarded(
            self._policy.note_backup, what="note_backup of a backup request policy", log=CLIENT
        )
        if self._is_over:
            backup.try_cancel(CanceledBy.OTHER_ATTEMPT)
            self.backup = None
        else:
            call.check_abort()

    def _may_send(self) -> bool:
        try:
            return bool(self._policy.may_send())
        except BaseException as error:
            CLIENT.raised("%r raised; no backup request is sent", self._policy, error=error)
            deliver_interrupt(error)
            return False


def _backup_pick_of(call: HedgedCall) -> AttemptPick | None:
    return None if call.pick is None else call.pick.backup_pick


def _count(state: int) -> int:
    """Attempts in flight; 0 too once the call is over."""
    return state & _COUNT if state > 0 else 0
