"""EndpointHealth: whether an endpoint can be reached, and when it is dialled again.

    up ---- connecting failed ---------> down, waiting --- the time has come --> down, dialling
    up <--- a connection is made ------- down, ...                                   |
                                         down, waiting, longer <-- dialling failed --+

It only decides; the Reconnector does. Connections that were established and broke say nothing about
the endpoint: the next call dials anew, or the Reconnector, for clusters, at once.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from pybrpc.base.backoff import Backoff
from pybrpc.base.guard import CLIENT, deliver_interrupt
from pybrpc.errors import RpcError

DEFAULT_DIAL_BACKOFF = Backoff(first_s=0.1, factor=1.6, max_s=10.0, jitter=0.2)


class EndpointHealth:
    """The state of one endpoint. `now` is monotonic seconds. Changed in turns of one dispatcher;
    may be read by any thread."""

    __slots__ = (
        "_backoff",
        "_down_since",
        "_is_dialling",
        "_next_dial_at",
        "_random",
        "cause",
        "failures",
    )

    def __init__(self, backoff: Backoff, random: Callable[[], float] = random.random) -> None:
        self._backoff = backoff
        self._random = random
        self._down_since = 0.0
        self._next_dial_at = 0.0
        self._is_dialling = False
        self.failures = 0
        """Dials that failed since it went down, the one that brought it down included."""
        self.cause: RpcError | None = None
        """Why it is down, as the last connection found it; `None`: it is up."""

    @property
    def is_down(self) -> bool:
        return self.cause is not None

    def on_failure(self, error: RpcError, now: float) -> float | None:
        """A connection of a call could not be established. When to dial, in monotonic seconds;
        `None` if a dial is planned already."""
        is_news = self.cause is None
        self.cause = error
        if not is_news:
            return None
        self._down_since = now
        return self._plan(now)

    def begin_dial(self) -> bool:
        """The time to dial has come. False if no dial is needed any more."""
        if self.cause is None or self._is_dialling:
            return False
        self._is_dialling = True
        return True

    def on_dial_failure(self, error: RpcError, now: float) -> float | None:
        """The dial failed. When to dial again; `None` if the endpoint is up, or a dial is planned
        already."""
        if self.cause is None or not self._is_dialling:
            return None
        self.cause = error
        return self._plan(now)

    def on_success(self) -> None:
        """A connection is established, and the health check, if there is one, has passed."""
        self.cause = None
        self.failures = 0
        self._is_dialling = False

    def why(self, now: float) -> RpcError | None:
        """The cause, with the seconds since it went down and until the next dial; `None` if the
        endpoint is up."""
        cause = self.cause
        if cause is None:
            return None
        next_dial = f"next dial in {max(0.0, self._next_dial_at - now):.1f} s"
        if self._is_dialling:
            next_dial = "being dialled now"
        error = cause.copy()
        error.text = f"{cause.text} (down for {now - self._down_since:.1f} s, {next_dial})"
        error.args = (error.text,)
        return error

    def _plan(self, now: float) -> float:
        self._is_dialling = False
        self._next_dial_at = now + self._delay_s()
        self.failures += 1
        return self._next_dial_at

    def _delay_s(self) -> float:
        """Seconds until the next dial. A Backoff of the user that raises is replaced."""
        try:
            delay_s = float(self._backoff.delay_s(self.failures, self._random))
            if not 0 <= delay_s < math.inf:
                raise ValueError(f"delay_s must be at least 0 and finite, not {delay_s}")
            return delay_s
        except BaseException as error:
            CLIENT.raised("the dial_backoff raised; the default is used", error=error)
            deliver_interrupt(error)
        return DEFAULT_DIAL_BACKOFF.delay_s(self.failures, self._random)

    def __repr__(self) -> str:
        if self.cause is None:
            return "<EndpointHealth up>"
        return f"<EndpointHealth down after {self.failures} dials: {self.cause.text}>"
