"""SimulatedClient: sends calls at random times, whether earlier ones have ended or not."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from bench.cluster.clock import VirtualClock
from bench.cluster.simulated_call import CallRules, SimulatedCall
from bench.cluster.simulated_channel import SimulatedChannel

OnDone = Callable[[SimulatedCall, int], object]
"""Called with each call that has ended, and its code; 0: it has succeeded."""


class SimulatedClient:
    """Calls in a Poisson process."""

    __slots__ = (
        "_clock",
        "_new_key",
        "_on_done",
        "_random",
        "_rate",
        "_rules",
        "_until",
        "attempts",
        "channel",
    )

    attempts: int

    def __init__(
        self,
        clock: VirtualClock,
        source: random.Random,
        channel: SimulatedChannel,
        on_done: OnDone,
        *,
        rate: float,
        until: float,
        timeout_s: float = math.inf,
        max_retry: int = 0,
        backup_after_s: float = math.inf,
        new_key: Callable[[], int] | None = None,
    ) -> None:
        """`rate`: calls per second up to the time `until`. `max_retry`: attempts after a failed
        one, while the timeout is not over, and a backup request after `backup_after_s`.
        `new_key`: makes the hash keys of calls."""
        self._clock = clock
        self._random = source
        self.channel = channel
        self._on_done = on_done
        self._rate = rate
        self._until = until
        self._rules = CallRules(
            clock, channel, self._note_attempt, timeout_s, max_retry, backup_after_s
        )
        self._new_key = new_key
        self.attempts = 0
        clock.after(source.expovariate(rate), self._call)

    def _note_attempt(self) -> None:
        self.attempts += 1

    def _call(self, _: object) -> None:
        clock = self._clock
        if clock.now >= self._until:
            return
        SimulatedCall(self._rules, self._new_key() if self._new_key else None, self._on_done)
        clock.after(self._random.expovariate(self._rate), self._call)
