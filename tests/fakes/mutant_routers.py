"""Routers with a fault: tests of simulated clusters must notice each."""

from __future__ import annotations

import random
from typing import Any

from pybrpc.client.cluster.router import Router


class PicksAtRandom(Router):
    """It does not ask the balancer."""

    _dice = random.Random(1)

    def pick(self, tried: Any, hash_key: Any, limit_s: float) -> Any:
        usable = [server for server in self.servers if server.is_usable and server not in tried]
        if usable:
            chosen = self._dice.choice(usable)
            tried = tuple(server for server in self.servers if server is not chosen)
        return Router.pick(self, tried, hash_key, limit_s)


class IgnoresTried(Router):
    """A retry may go to the server that has refused the call."""

    def pick(self, tried: Any, hash_key: Any, limit_s: float) -> Any:
        return Router.pick(self, (), hash_key, limit_s)


class TakesAllForSuccess(Router):
    """It learns from no error."""

    def end(self, pick: Any, code: int, canceled_by: Any) -> None:
        Router.end(self, pick, 0, None)


class RetriesWithoutBudget(Router):
    def take_retry(self, error: Any) -> bool:
        return True


class NeverRetries(Router):
    def take_retry(self, error: Any) -> bool:
        return False


class NeverGoesElsewhere(Router):
    def may_retry_elsewhere(self, code: int, tried: Any) -> bool:
        return False


class GoesElsewhereInVain(Router):
    """It says that there is another server, even if there is none."""

    def may_retry_elsewhere(self, code: int, tried: Any) -> bool:
        return True
