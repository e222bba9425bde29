"""NamingService, which gives lists of servers, and NamingWatcher, which gets them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from pybrpc.naming.server_node import ServerNode

if TYPE_CHECKING:
    from pybrpc.errors import NamingError

MAX_SERVERS = 100_000
"""Servers of one list."""
MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""The longest answer of a naming service; the longest file."""


@dataclasses.dataclass(frozen=True, slots=True)
class UpdatePolicy:
    """When the list is asked for again after a failure, and which empty list counts.

    retry_s        seconds to wait after the first failure; doubled with each further one
    max_retry_s    the longest of these waits
    allow_empty    an empty list counts at once
    confirmations  without `allow_empty`: how many times in a row the service has to answer that
                   there is no server until its last list is dropped
    confirm_s      seconds between these answers
    """

    retry_s: float = 0.5
    max_retry_s: float = 60.0
    allow_empty: bool = False
    confirmations: int = 3
    confirm_s: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.retry_s <= self.max_retry_s < math.inf:
            raise ValueError("retry_s must be above 0, and at most max_retry_s")
        if self.confirmations < 1 or not 0 <= self.confirm_s < math.inf:
            raise ValueError("confirmations must be at least 1, and confirm_s at least 0")


class InterruptedFetchError(Exception):
    """A `fetch` has ended because of `interrupt`. It is no failure."""


class NamingService:
    """Gives the servers of one URL. The base of own ones, which override `fetch`.

    There is one object for each URL that is watched, with a thread of its own, which runs `fetch`
    again and again and is the only one that does. What `fetch` raises, of whatever class, is an
    error of the naming service: the last list remains, and `fetch` is tried again later.
    """

    interval_s: float = 5.0
    """Seconds from the end of a `fetch` to the next one, of which 10 % more or less are taken at
    random. Asked after each `fetch`. 0 for one that waits for a change by itself."""
    policy: UpdatePolicy = UpdatePolicy()
    is_static: bool = False
    """Whether the list never changes, and `fetch` does not block: it needs no thread then."""

    def fetch(self) -> Iterable[ServerNode | str] | None:
        """All servers, as ServerNode or as "host:port tag"; `None`: as they were the last time.

        It may block, for at most about a minute: only then is an own thread of use.
        """
        raise NotImplementedError

    def forget(self) -> None:
        """The next `fetch` has to return all servers, at once, even if nothing has changed."""

    def interrupt(self) -> None:
        """Nobody watches any more: `fetch`, if it runs, or the next one, is to end soon, as it
        likes. Any thread, also in a destructor; it must not block."""

    def close(self) -> None:
        """Nothing is called after this. In the thread of `fetch`."""


class NamingWatcher(Protocol):
    """Gets the lists of one `watch`.

    Its methods are called by the thread of the naming service, or by the one that calls `watch`;
    never two at once. They must not block: other watchers of the URL wait meanwhile. What they
    raise is logged.
    """

    def on_servers(self, servers: tuple[ServerNode, ...]) -> None:
        """The list has changed: this is all of it, without duplicates, in the order of the
        service."""

    def on_naming_error(self, error: NamingError) -> None:
        """The service has failed; it is asked again later. The last list remains."""
