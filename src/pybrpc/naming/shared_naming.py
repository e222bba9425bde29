"""SharedNaming: one naming service that runs, for all watches of its URL."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from pybrpc.base.guard import NAMING, run_guarded
from pybrpc.errors import NamingError
from pybrpc.naming.background import Background
from pybrpc.naming.interfaces import InterruptedFetchError, NamingService
from pybrpc.naming.list_keeper import MIN_PAUSE_S, ListKeeper, NamingState
from pybrpc.naming.naming_error import naming_error
from pybrpc.naming.naming_url import NamingUrl
from pybrpc.naming.server_lists import checked_servers

WAITED_S = 0.5
"""A `fetch` that took so long has waited for a change, or for a slow server."""


class Delivery(Protocol):
    """A watch, as far as it is known here."""

    def deliver(self) -> None:
        """Give the watcher what is new. Never raises."""

    def renew_in_child(self) -> None:
        """Free its locks in a forked child."""


class SharedNaming:
    """Asks the service in a thread of its own while there is a watch, and notifies the watches.

    make_service   gives a new service; called again in a forked child
    may_end        called by the thread when there is no watch left: whether it is to end

    Finding that there is no watch left, and adding one, must exclude each other: `may_end` and the
    caller of `ensure_thread` take the same lock.
    """

    def __init__(
        self,
        url: NamingUrl,
        make_service: Callable[[], NamingService],
        may_end: Callable[[SharedNaming], bool],
    ) -> None:
        self.url = url
        self._make_service = make_service
        self._may_end = may_end
        self._service = make_service()
        self._keeper = ListKeeper(self._service.policy)
        self._is_over = False
        self.watches: dict[Delivery, bool] = {}
        self._background = self._new_background()

    def _new_background(self) -> Background:
        return Background(self._step, f"pybrpc-naming-{self.url.scheme}", self._on_exit)

    @property
    def state(self) -> NamingState:
        """The last list, the last error."""
        return self._keeper.state

    def ensure_thread(self) -> None:
        """Start the thread, unless it runs. Without one to be had that is the error of the service;
        the next watch of the URL tries again."""
        if self._background.is_running or self._is_over:
            return
        try:
            self._background.start()
        except RuntimeError as error:
            self._keeper.on_failure(NamingError(f"no thread for {self.url}: {error}"))

    def leave(self, watch: Delivery) -> None:
        """A watch ends. Any thread, also in a destructor: takes no lock, and never blocks."""
        if self.watches.pop(watch, False) and not self.watches:
            self._interrupt()

    def _interrupt(self) -> None:
        self._background.wake()
        run_guarded(self._service.interrupt, what=f"interrupt() of {self.url}", log=NAMING)

    def _on_exit(self) -> None:
        self._is_over = True
        self._interrupt()

    def renew_in_child(self) -> None:
        """Start again in a forked child, which has no thread but the one that forked. The last list
        remains."""
        state = self._keeper.state
        self._service = self._make_service()
        self._keeper = ListKeeper(self._service.policy)
        self._keeper.state = state
        self._background = self._new_background()
        self._is_over = False
        for watch in list(self.watches):
            watch.renew_in_child()
        self.ensure_thread()

    def _step(self) -> float | None:
        if self._is_over or (not self.watches and self._may_end(self)):
            run_guarded(self._service.close, what=f"close() of {self.url}", log=NAMING)
            return None
        if self._keeper.wants_whole_list:
            run_guarded(self._service.forget, what=f"forget() of {self.url}", log=NAMING)
        before = self._keeper.state
        pause_s = self._ask()
        if self._keeper.state is not before:
            _log_change(self.url, before, self._keeper.state)
            for watch in list(self.watches):
                watch.deliver()
        return pause_s

    def _ask(self) -> float:
        began_s = time.monotonic()
        try:
            found = self._service.fetch()
            servers = None if found is None else checked_servers(found)
            interval_s = float(self._service.interval_s)
            if time.monotonic() - began_s >= WAITED_S:
                self._keeper.on_waited()
            return self._keeper.on_answer(servers, interval_s)
        except InterruptedFetchError:
            return MIN_PAUSE_S
        except BaseException as error:
            if not self.watches or self._is_over:
                return 0.0
            return self._keeper.on_failure(naming_error(self.url, error))

    def __repr__(self) -> str:
        return f"<SharedNaming {self.url}, {len(self.watches)} watches>"


def _log_change(url: NamingUrl, before: NamingState, after: NamingState) -> None:
    """Log the first of several failures, the success after them, and, for debugging, changes."""
    if after.is_failing:
        if not before.is_failing or str(before.error) != str(after.error):
            kept = "it has given no list yet" if after.servers is None else "its last list remains"
            why = str(after.error).removeprefix(f"{url}: ")
            NAMING.warning("%s failed; %s: %s", url, kept, why)
    elif before.is_failing:
        NAMING.info("%s works again, with %d servers", url, len(after.servers or ()))
    if after.servers is not before.servers and NAMING.wants_debug():
        NAMING.debug("%s has %d servers", url, len(after.servers or ()))
