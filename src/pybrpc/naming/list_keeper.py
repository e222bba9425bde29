"""ListKeeper: decides what becomes of an answer of a naming service, and when to ask again."""

from __future__ import annotations

import dataclasses
import math
import random
import time
from collections.abc import Callable

from pybrpc.errors import NamingError
from pybrpc.naming.interfaces import UpdatePolicy
from pybrpc.naming.server_node import ServerNode

JITTER = 0.1
"""A pause is so much longer or shorter, at random, so that clients don't ask all at once."""
MIN_PAUSE_S = 0.02
"""Between two requests that succeed: changes that follow each other closely are read at once."""
MAX_IDLE_PAUSE_S = 1.0
"""The longest pause of a service that returns at once although nothing has changed."""


@dataclasses.dataclass(frozen=True, slots=True)
class NamingState:
    """The knowledge of a naming service at one moment. Times are those of `time.time()`; 0: never.

    servers      the last good list; `None`: none has arrived yet
    changed_s    when that list arrived
    checked_s    when the service has last said that it is the current one
    error        the last error, also if the service works again; `None`: there was none
    error_s      when that was
    is_failing   whether the last request has failed, or an empty list waits to be confirmed
    failures     requests in a row that have failed
    """

    servers: tuple[ServerNode, ...] | None = None
    changed_s: float = 0.0
    checked_s: float = 0.0
    error: NamingError | None = None
    error_s: float = 0.0
    is_failing: bool = False
    failures: int = 0


class ListKeeper:
    """The state of one naming service. One thread changes it; any thread may read `state`."""

    def __init__(
        self,
        policy: UpdatePolicy,
        clock: Callable[[], float] = time.time,
        random_number: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._random = random_number
        self._empty_answers = 0
        self._idle_answers = 0
        self.state = NamingState()
        self.wants_whole_list = False
        """Whether the next answer must be a whole list: an empty one waits to be confirmed."""

    def on_answer(self, servers: tuple[ServerNode, ...] | None, interval_s: float) -> float:
        """The service has answered; `None`: nothing has changed. Returns the seconds until it is
        to be asked again."""
        state = self.state
        if servers is None or _has_same(servers, state.servers):
            servers = state.servers
        self._idle_answers = self._idle_answers + 1 if servers is state.servers else 0
        if servers == () and state.servers and not self._is_confirmed():
            return self._jittered(max(self._policy.confirm_s, MIN_PAUSE_S))
        self._empty_answers = 0
        self.wants_whole_list = False
        now_s = self._clock()
        changed_s = state.changed_s if servers is state.servers else now_s
        self.state = NamingState(servers, changed_s, now_s, state.error, state.error_s)
        if interval_s > 0:
            return self._jittered(interval_s)
        return min(MIN_PAUSE_S * 2.0 ** min(self._idle_answers, 10), MAX_IDLE_PAUSE_S)

    def on_waited(self) -> None:
        """The service has waited before it answered, so that it may be asked again at once."""
        self._idle_answers = 0

    def _is_confirmed(self) -> bool:
        """Whether an empty list replaces one that is not empty."""
        policy = self._policy
        self._empty_answers += 1
        if policy.allow_empty or self._empty_answers >= policy.confirmations:
            return True
        self.wants_whole_list = True
        self._fail(
            NamingError(
                "the naming service has no servers any more; that counts when it is confirmed "
                f"({self._empty_answers} of {policy.confirmations})"
            ),
            self.state.failures,
        )
        return False

    def on_failure(self, error: NamingError) -> float:
        """It has failed. Returns the seconds until it is to be asked again."""
        failures = self.state.failures
        self._empty_answers = 0
        self._fail(error, failures + 1)
        longest_s = self._policy.max_retry_s
        try:
            grown_s = math.ldexp(self._policy.retry_s, failures)
        except OverflowError:
            grown_s = longest_s
        return self._jittered(min(grown_s, longest_s))

    def _fail(self, error: NamingError, failures: int) -> None:
        self.state = dataclasses.replace(
            self.state, error=error, error_s=self._clock(), is_failing=True, failures=failures
        )

    def _jittered(self, seconds: float) -> float:
        return seconds * (1 + JITTER * (2 * self._random() - 1))


def _has_same(servers: tuple[ServerNode, ...], last: tuple[ServerNode, ...] | None) -> bool:
    """Whether both have the same servers: name servers change the order in each answer."""
    return last is not None and len(servers) == len(last) and set(servers) == set(last)
