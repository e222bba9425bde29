"""ServerHealth: whether one server of a cluster may have calls, and why not."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from pybrpc.client.cluster.breaking.gates import TrialGate
from pybrpc.client.cluster.breaking.isolation import Isolation

if TYPE_CHECKING:
    from pybrpc.client.cluster.breaking.server_breaker import ServerBreaker


class ServerState(enum.StrEnum):
    """The state of a server of a cluster, as the channel sees it."""

    UP = "up"
    """It may have calls."""
    DOWN = "down"
    """It can't be reached, and is dialled in the background."""
    LOGGED_OFF = "logged off"
    """It stops, or has stopped, and has asked for no new calls."""
    EJECTED = "ejected"
    """Its calls fail, and it is left out for a while."""
    TRIAL = "trial"
    """It was left out, and gets one call at a time."""


class ServerHealth:
    """Changed in turns of one dispatcher; any thread may read it."""

    __slots__ = (
        "breaker",
        "good",
        "is_down",
        "isolation",
        "latency_s",
        "owner",
        "since",
        "state",
        "trial",
        "why",
    )

    def __init__(self, breaker: ServerBreaker | None, isolation: Isolation, now: float) -> None:
        self.breaker = breaker
        self.isolation = isolation
        self.is_down = False
        """Whether it can't be reached, whatever else is known of it."""
        self.state = ServerState.UP
        self.since = now
        """When it came into its state, in monotonic seconds."""
        self.why = ""
        """Why it is not up."""
        self.latency_s = 0.0
        """The average of its latest successful attempts, of which each one counts a tenth; 0 before
        the first one."""
        self.owner: object = None
        """The same object for all servers of one router."""
        self.trial: TrialGate | None = None
        self.good = 0
        """Trials that have succeeded."""

    def set_state(self, state: ServerState, why: str, now: float) -> None:
        """`why`: "" for a server that is up."""
        if state is not self.state:
            self.since = now
        self.state = state
        self.why = why

    @property
    def is_left_out(self) -> bool:
        """Whether it is ejected or logged off."""
        return self.state in (ServerState.EJECTED, ServerState.LOGGED_OFF)

    def note_latency(self, seconds: float) -> None:
        """An attempt has succeeded. Any thread."""
        average = self.latency_s
        self.latency_s = average * 0.9 + seconds * 0.1 if average else seconds

    def __repr__(self) -> str:
        return f"<ServerHealth {self.state}{': ' * bool(self.why)}{self.why}>"
