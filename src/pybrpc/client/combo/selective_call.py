"""SelectiveCall: one call of a SelectiveChannel. After bRPC's src/brpc/selective_channel.cpp.

At most two sub calls are in flight: the second one is a backup request. The first response wins,
and the call ends with it; the other sub call is cancelled, and nobody looks at its response. When
the only one in flight fails, the call tries a channel that it has not tried, if that may help.
"""

from __future__ import annotations

import errno
import math
import time
from typing import Any

from pybrpc.base.guard import CLIENT, deliver_interrupt, safe_repr
from pybrpc.client.calls.attempt_end import CanceledBy, canceled_by
from pybrpc.client.calls.call_options import CallOptions
from pybrpc.client.calls.failed_attempts import FailedAttempts
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.client.cluster.pick import Pick
from pybrpc.client.combo.combo_call import ComboCall, Flight
from pybrpc.client.combo.sub_call import SubResult
from pybrpc.client.combo.sub_channel import SubChannel
from pybrpc.client.combo.sub_controller import new_sub_controller, take_results
from pybrpc.errors import ErrorCode, RpcError

_WITHOUT_SERVER = frozenset({errno.ENODATA, errno.EHOSTDOWN})
"""Errors of a channel that has no server to be called."""

MAX_IN_PLACE = 16
"""Attempts that fail at once, one inside the other, before the next one begins anew."""


class _Attempt(Flight):
    __slots__ = ("pick",)

    def __init__(self, pick: Pick, result: SubResult) -> None:
        super().__init__(result)
        self.pick = pick


class SelectiveCall(ComboCall):
    """See above."""

    channel: Any
    _options: CallOptions

    def _prepare(self) -> None:
        self._attempts: list[_Attempt] = []
        self._tried: tuple[ClusterServer, ...] = ()
        self._winner: _Attempt | None = None
        self._in_flight = 1
        """Attempts that have begun, or are about to, and have not ended."""
        self._stopped_by: CanceledBy | None = None
        self._failed_attempts = FailedAttempts()
        self._last_error: RpcError | None = None
        self._retried_count = 0
        self._has_backup = False

    def _start(self) -> None:
        self._options = self.channel.call_options.of_call(self._controller)
        router = self.channel.router
        if router.needs_hash_key and self._controller.hash_key is None:
            text = f"a call to a {self.channel.name} needs a controller with a hash_key"
            self._settle(None, self.error(errno.EINVAL, text))
            return
        self._note_backup_policy("note_call")
        if not self.channel.has_to_wait(self):
            self.begin_attempts()

    def begin_attempts(self) -> None:
        """The channels are known: make the first attempt."""
        self._attempt()
        self._set_backup_timer()

    def begin_attempts_soon(self) -> None:
        """As `begin_attempts`, for a call that has waited. Any thread."""
        self.form.run_user_code(self._begin_late)

    def _begin_late(self) -> None:
        try:
            if not self._is_settled:
                self.begin_attempts()
        except BaseException:
            self.cancel(self.canceled_error())
            raise

    def _settle(self, response: Any, error: RpcError | None, is_canceled: bool = False) -> None:
        self.channel.waiting.pop(self, None)
        super()._settle(response, error, is_canceled)

    # --- attempts ---

    def _attempt(self, is_backup: bool = False) -> None:
        """Send the call over a channel that was not tried. It is counted in `_in_flight`."""
        limit_s = self.deadline - time.monotonic()
        try:
            pick = self.channel.router.pick(
                self._tried, self._controller.hash_key, max(0.0, limit_s)
            )
        except RpcError as error:
            self._on_no_channel(error)
            return
        if pick is None:
            self._on_no_channel(None)
            return
        entry: SubChannel = pick.server.source
        controller = new_sub_controller(self._controller, with_retries=False)
        attempt = _Attempt(pick, SubResult(self._index_of(entry), entry.channel, controller))
        with self._lock:
            self._tried = (*self._tried, pick.server)
            self._attempts.append(attempt)
            self._has_backup = self._has_backup or is_backup
        if is_backup:
            self._note_backup_policy("note_backup")
        timeout = None if limit_s == math.inf else max(0.0, limit_s)
        try:
            method = self._methods.of(entry)
            self._begin_flight(attempt, method, self._request, timeout)
        except BaseException:
            pick.end(int(ErrorCode.ECANCELED), CanceledBy.CALLER)
            raise
        if self._stopped_by is not None:
            # Store, then load, on both sides: it was begun while the others were cancelled.
            self._cancel_flight(attempt)

    def _index_of(self, entry: SubChannel) -> int:
        entries = self.channel.entries
        return entries.index(entry) if entry in entries else -1

    def _on_no_channel(self, error: RpcError | None) -> None:
        """There is no channel for an attempt. The other one in flight may still succeed."""
        with self._lock:
            self._in_flight -= 1
            if self._in_flight or self._stopped_by is not None:
                return
            last = self._last_error
        if error is None:
            error = last or self.channel.router.no_channel_error()
        self._fail(error)

    def _on_end(self, flight: Flight) -> None:
        assert isinstance(flight, _Attempt)
        error = flight.result.error
        self._end_pick(flight, error)
        with self._lock:
            if self._stopped_by is not None:
                return
            self._in_flight -= 1
            if error is None:
                self._winner = flight
                self._stopped_by = CanceledBy.OTHER_ATTEMPT
            else:
                self._note_failure(error)
                if self._in_flight:
                    return
        if error is None:
            self._cancel_attempts()
            self._settle(flight.result.response, None)
        else:
            self._retry_or_fail(error)

    def _end_pick(self, attempt: _Attempt, error: RpcError | None) -> None:
        router, server = self.channel.router, attempt.pick.server
        stopped_by = self._stopped_by
        if error is not None and stopped_by is not None and error.code == ErrorCode.ECANCELED:
            attempt.pick.end(error.code, stopped_by)
            return
        attempt.pick.end(0 if error is None else error.code, None)
        if error is not None and error.code in _WITHOUT_SERVER and not error.is_remote:
            router.set_down(server, error.message)

    def _note_failure(self, error: RpcError) -> None:
        self._failed_attempts.add(error, self._retried_count)
        self._last_error = error

    def _retry_or_fail(self, error: RpcError) -> None:
        try:
            pause_s = self._pause_s_after(error)
        except BaseException as reason:
            deliver_interrupt(reason)
            failed = error.copy()
            failed.__cause__ = reason
            self._fail(failed, f" [and then the retry policy raised {safe_repr(reason)}]")
            return
        if pause_s is None:
            self._fail(error)
            return
        with self._lock:
            if self._stopped_by is not None:
                return
            self._in_flight += 1
            self._retried_count += 1
        if pause_s:
            try:
                self.form.call_at(time.monotonic() + pause_s, self._next)
            except RuntimeError:  # the dispatcher or the loop is closed
                self._fail(error)
        else:
            self._next()

    def _pause_s_after(self, error: RpcError) -> float | None:
        """Seconds until the next attempt; `None` if there is none. Raises what the retry policy
        raises."""
        options, now = self._options, time.monotonic()
        policy = options.retry
        tries = self._retried_count + self._has_backup
        if tries >= options.max_retry or now >= self.deadline:
            return None
        if not policy.may_have_run and not self.method.is_idempotent and error.may_have_run:
            return None
        if not policy.may_retry(error) and not (
            policy.judge is None and self._helps_elsewhere(error)
        ):
            return None
        pause_s = float(policy.delay_s(self._retried_count))
        return pause_s if pause_s > 0 and now + pause_s < self.deadline else 0.0

    def _helps_elsewhere(self, error: RpcError) -> bool:
        if error.code == errno.ENODATA:
            return not error.is_remote
        return bool(self.channel.router.may_retry_elsewhere(error.code, self._tried))

    def _next(self) -> None:
        """Make the next attempt, aside if that may run functions of the user."""
        if self.channel.runs_user_code or self._retried_count % MAX_IN_PLACE == 0:
            self.form.run_user_code(self._attempt_late)
        else:
            self._attempt()

    def _attempt_late(self) -> None:
        self._attempt_or_cancel(False)

    def _backup_late(self) -> None:
        self._attempt_or_cancel(True)

    def _attempt_or_cancel(self, is_backup: bool) -> None:
        try:
            self._attempt(is_backup)
        except BaseException:
            self.cancel(self.canceled_error())
            raise

    # --- the backup request ---

    def _set_backup_timer(self) -> None:
        policy, after_s = self._options.backup, self._options.backup_after_s
        may_run_twice = self._options.retry.may_have_run or self.method.is_idempotent
        if policy is None or not may_run_twice or self._options.max_retry < 1:
            return
        if after_s is None:
            after_s = policy.after_s
        when = self._started_at + after_s
        with self._lock:
            if not self._is_settled and when < self.deadline:
                self._backup_timer = self.form.call_at(when, self._send_backup)

    def _send_backup(self) -> None:
        policy = self._options.backup
        assert policy is not None
        try:
            if not policy.may_send():
                return
        except BaseException as reason:
            CLIENT.caught("may_send of a backup policy raised", error=reason)
            return
        with self._lock:
            tries = self._retried_count + self._has_backup
            if self._stopped_by or self._in_flight != 1 or tries >= self._options.max_retry:
                return
            self._in_flight += 1
        if self.channel.runs_user_code:
            self.form.run_user_code(self._backup_late)
        else:
            self._attempt(is_backup=True)

    def _note_backup_policy(self, name: str) -> None:
        policy = self._options.backup
        if policy is None:
            return
        try:
            getattr(policy, name)()
        except Exception as reason:
            CLIENT.caught(f"{name} of a backup policy raised", error=reason)

    # --- ends ---

    def _fail(self, error: RpcError, note: str = "") -> None:
        """End the call with a copy of `error`, whose text lists the failures of all attempts."""
        with self._lock:
            if self._stopped_by is not None:
                return
            self._stopped_by = CanceledBy.OTHER_ATTEMPT
        failed = error.copy()
        if self._failed_attempts.text:
            self._failed_attempts.describe_in(failed)
        failed.text += note
        failed.args = (failed.text,)
        self._settle(None, failed)

    def _on_deadline(self, error: RpcError) -> None:
        self._stop(canceled_by(error))
        self._settle(None, error)

    def _cancel_flights(self) -> None:
        self._stop(CanceledBy.CALLER)

    def _stop(self, reason: CanceledBy) -> None:
        with self._lock:
            self._stopped_by = self._stopped_by or reason
        self._cancel_attempts()

    def _cancel_attempts(self) -> None:
        for attempt in list(self._attempts):
            if not attempt.has_ended:
                self._cancel_flight(attempt)

    def _fill(self, error: RpcError | None) -> None:
        super()._fill(error)
        controller = self._controller
        controller.retried_count = self._retried_count + self._has_backup
        controller.has_backup_request = self._has_backup
        for result in controller.sub_calls:
            if result.has_ended:
                take_results(controller, result.controller)

    def _sub_results(self) -> tuple[SubResult | None, ...]:
        """The sub call that has decided: the winner, or the last one to fail."""
        attempts = [self._winner] if self._winner is not None else self._attempts[-1:]
        return tuple(attempt.result for attempt in attempts)
