"""SimulatedCall: one call with its attempts, by the rules of the client.

What is worth another attempt, and whether there may be one, decide the RetryPolicy and the Router.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.cluster.clock import VirtualClock
from bench.cluster.simulated_channel import SimulatedChannel
from bench.cluster.simulated_link import NETWORK_S
from pybrpc.client.calls.attempt_end import CanceledBy
from pybrpc.client.calls.retry import DEFAULT_RETRY_POLICY
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error

if TYPE_CHECKING:
    from pybrpc.client.cluster.cluster_server import ClusterServer
    from pybrpc.client.cluster.pick import Pick

_CANCELED = int(ErrorCode.ECANCELED)
_TIMED_OUT = int(ErrorCode.ERPCTIMEDOUT)


class CallRules:
    """Options that all calls of a client share."""

    __slots__ = ("backup_after_s", "channel", "clock", "max_retry", "note_attempt", "timeout_s")

    def __init__(
        self,
        clock: VirtualClock,
        channel: SimulatedChannel,
        note_attempt: Callable[[], object],
        timeout_s: float,
        max_retry: int,
        backup_after_s: float,
    ) -> None:
        self.clock = clock
        self.channel = channel
        self.note_attempt = note_attempt
        self.timeout_s = timeout_s
        self.max_retry = max_retry
        self.backup_after_s = backup_after_s


class SimulatedCall:
    """`on_done(call, code)` is called once; 0: it has succeeded."""

    __slots__ = (
        "_deadline",
        "_on_done",
        "_open",
        "_pick",
        "_rules",
        "_tries",
        "begun_at",
        "hash_key",
        "is_over",
    )

    def __init__(
        self,
        rules: CallRules,
        hash_key: int | None,
        on_done: Callable[[SimulatedCall, int], object],
    ) -> None:
        clock = rules.clock
        self._rules = rules
        self._on_done = on_done
        self._open: list[SimulatedAttempt] = []
        """The attempts in flight."""
        self._pick: Pick | None = None
        self._tries = 0
        """Attempts after the first one, and the backup request."""
        self.hash_key = hash_key
        self.begun_at = clock.now
        self.is_over = False
        self._deadline = self.begun_at + rules.timeout_s
        if self._deadline < math.inf:
            clock.at(self._deadline, self._expire)
        if rules.backup_after_s < rules.timeout_s:
            clock.after(rules.backup_after_s, self._back_up)
        rules.channel.router.note_call()
        rules.channel.find(self)

    # --- for the channel ---

    def tried(self) -> tuple[ClusterServer, ...]:
        pick = self._pick
        return () if pick is None else pick.tried_so_far

    def limit_s(self) -> float:
        return self._deadline - self._rules.clock.now

    def on_pick(self, pick: Pick) -> None:
        self._pick = pick
        self._send(pick)

    def on_no_server(self, error: RpcError) -> None:
        self._end(error.code)

    # --- for its attempts ---

    def on_answer(self, attempt: SimulatedAttempt, code: int) -> None:
        """The server has answered."""
        attempt.pick.end(code, None)
        if code == 0:
            self._end(0)
        else:
            text = "the server has answered with an error"
            error = make_rpc_error(code, text, phase=Phase.SERVER, is_remote=True)
            self._on_attempt_failed(attempt, error)

    def on_failure(self, attempt: SimulatedAttempt, error: RpcError) -> None:
        """The connection has failed."""
        attempt.pick.end(error.code, None)
        self._on_attempt_failed(attempt, error)

    def _on_attempt_failed(self, attempt: SimulatedAttempt, error: RpcError) -> None:
        self._open.remove(attempt)
        if self._open:
            return
        if self._may_try_again(error):
            self._tries += 1
            self._rules.channel.find(self)
        else:
            self._end(error.code)

    def _may_try_again(self, error: RpcError) -> bool:
        rules = self._rules
        router = rules.channel.router
        if self._tries >= rules.max_retry or rules.clock.now >= self._deadline:
            return False
        is_worth_it = DEFAULT_RETRY_POLICY.may_retry(error) or router.may_retry_elsewhere(
            error.code, self.tried()
        )
        return is_worth_it and router.take_retry(error)

    def _send(self, pick: Pick) -> None:
        attempt = SimulatedAttempt(self, pick)
        self._open.append(attempt)
        self._rules.note_attempt()
        pick.server.source.send(attempt)

    def _back_up(self, _: object) -> None:
        first = self._pick
        rules = self._rules
        if self.is_over or first is None or not self._open or self._tries >= rules.max_retry:
            return
        pick = rules.channel.pick_for_backup(self)
        if pick is not None:
            first.backup_pick = pick
            self._tries += 1
            self._send(pick)

    def _expire(self, _: object) -> None:
        if not self.is_over:
            for attempt in self._open:
                attempt.pick.end(_TIMED_OUT, CanceledBy.DEADLINE)
            self._end(_TIMED_OUT)

    def _end(self, code: int) -> None:
        self.is_over = True
        self._rules.channel.forget(self)
        for attempt in self._open:
            attempt.pick.server.source.forget(attempt)
            attempt.pick.end(_CANCELED, CanceledBy.OTHER_ATTEMPT)
        self._open.clear()
        self._on_done(self, code)

    @property
    def timeout_ms(self) -> int:
        """Milliseconds until the deadline, which the server receives; 0 without a timeout."""
        if self._deadline == math.inf:
            return 0
        return max(1, int(self.limit_s() * 1000))

    @property
    def clock(self) -> VirtualClock:
        return self._rules.clock


class SimulatedAttempt:
    """One attempt; its call ends the Pick of it."""

    __slots__ = ("_call", "_is_answered", "pick", "timeout_ms")

    def __init__(self, call: SimulatedCall, pick: Pick) -> None:
        self._call = call
        self._is_answered = False
        self.pick = pick
        self.timeout_ms = call.timeout_ms

    def answer(self, code: int) -> None:
        """The server answers; see `LinkedAttempt`."""
        self._call.clock.after(NETWORK_S, self._on_answer, code)

    def _on_answer(self, code: int) -> None:
        if not self._is_answered and not self._call.is_over:
            self._is_answered = True
            self.pick.server.source.forget(self)
            self._call.on_answer(self, code)

    def fail(self, error: RpcError) -> None:
        """See `LinkedAttempt`."""
        if not self._is_answered and not self._call.is_over:
            self._is_answered = True
            self._call.on_failure(self, error)
