"""RecordingWatcher: a watcher of a naming service that keeps what it gets."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from pybrpc.errors import NamingError
from pybrpc.naming import ServerNode, Watch, watch

LIMIT_S = 20.0


class RecordingWatcher:
    """`lists` and `errors` are all that it got; `wait_*` block until something has come."""

    def __init__(self) -> None:
        self.lists: list[list[str]] = []
        self.nodes: tuple[ServerNode, ...] | None = None
        self.errors: list[NamingError] = []
        self.threads: set[str] = set()
        self._changed = threading.Condition()

    def on_servers(self, servers: tuple[ServerNode, ...]) -> None:
        with self._changed:
            self.nodes = servers
            self.lists.append([str(server) for server in servers])
            self.threads.add(threading.current_thread().name)
            self._changed.notify_all()

    def on_naming_error(self, error: NamingError) -> None:
        with self._changed:
            self.errors.append(error)
            self._changed.notify_all()

    @property
    def last(self) -> list[str] | None:
        return self.lists[-1] if self.lists else None

    def wait(self, condition: Callable[[], Any], timeout_s: float = LIMIT_S) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout_s), (self.lists, self.errors)

    def wait_list(self, *servers: str, timeout_s: float = LIMIT_S) -> None:
        """Until the last list has these servers, in any order."""
        self.wait(lambda: self.last is not None and sorted(self.last) == sorted(servers), timeout_s)

    def wait_error(self, text: str = "") -> NamingError:
        """Until there is an error with `text` in it."""
        self.wait(lambda: any(text in str(error) for error in self.errors))
        return next(error for error in self.errors if text in str(error))


@contextlib.contextmanager
def watching(where: Any, **options: Any) -> Iterator[RecordingWatcher]:
    """Watch a naming service; the watcher, until the end of the `with`."""
    watcher = RecordingWatcher()
    with closing_watch(watch(where, watcher, **options)):
        yield watcher


@contextlib.contextmanager
def closing_watch(started: Watch) -> Iterator[Watch]:
    try:
        yield started
    finally:
        started.close()
