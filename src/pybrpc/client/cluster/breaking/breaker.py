"""CircuitBreaker: the options that all breakers share."""

from __future__ import annotations

import dataclasses

from pybrpc.base.checked_options import checked_function_or_none
from pybrpc.client.cluster.breaking.checked_numbers import check_count, check_seconds, check_share
from pybrpc.client.cluster.breaking.outcomes import Classifier
from pybrpc.client.cluster.breaking.server_breaker import ServerBreaker


@dataclasses.dataclass(frozen=True, kw_only=True)
class CircuitBreaker:
    """When a server is left out for a while, and how it comes back. The base of all breakers.

    isolation          seconds for which a server is left out at first
    max_isolation      the longest time: each one is twice as long as the one before, if the server
                       fails again within so many seconds after it came back
    max_ejected        the share of the servers that may be left out at once; one always may
    panic_below        if less than this share of the servers is usable, those that are left out
                       serve too
    good_trials        calls that must succeed, one at a time, before the server serves as before
    slow_start         seconds in which its share of the calls grows to the full one after that;
                       0: at once
    classifier         gets the code of each error that a server answers: True if the server is to
                       blame, False if the caller is, `None` to leave it to the library; must not
                       block
    """

    isolation: float = 0.1
    max_isolation: float = 30.0
    max_ejected: float = 0.1
    panic_below: float = 0.5
    good_trials: int = 3
    slow_start: float = 5.0
    classifier: Classifier | None = None

    def __post_init__(self) -> None:
        check_share("max_ejected", self.max_ejected)
        check_share("panic_below", self.panic_below)
        check_seconds("isolation", self.isolation, is_zero_allowed=False)
        check_seconds("max_isolation", self.max_isolation)
        check_seconds("slow_start", self.slow_start)
        check_count("good_trials", self.good_trials)
        checked_function_or_none("classifier", self.classifier, "code")
        if self.max_isolation < self.isolation:
            raise ValueError(
                f"max_isolation={self.max_isolation!r} is less than isolation={self.isolation!r}"
            )

    def new_server_breaker(self) -> ServerBreaker:
        """The state for one server."""
        raise NotImplementedError(f"{type(self).__name__} has no new_server_breaker of its own")
