"""Reloading: watches the .py files below a directory, for `serve --reload`."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping

LOOK_PAUSE_S = 0.5
"""Seconds between two looks."""
MAX_FILES = 20_000
"""Files that are watched; the others are not."""

_PASSED_OVER = frozenset({"__pycache__", "node_modules", "site-packages"})


class Reloading:
    """A thread that calls `on_changed` with the names of files that have changed, come or gone.

    `start` after the program has loaded, `stop` in the end, which may be called without it.
    """

    def __init__(self, directory: str, on_changed: Callable[[list[str]], None]) -> None:
        self._directory = directory
        self._on_changed = on_changed
        self._stopped = threading.Event()
        self._before = times_of(directory)
        self._thread = threading.Thread(target=self._run, name="pybrpc-reload", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for it."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_PAUSE_S):
            self.look()

    def look(self) -> None:
        """Look once."""
        now = times_of(self._directory)
        changed = changes(self._before, now)
        self._before = now
        if changed:
            self._on_changed([os.path.relpath(path, self._directory) for path in changed])


def times_of(directory: str) -> dict[str, int]:
    """When each .py file below a directory was changed. Not those in hidden folders, in virtual
    environments and beyond symbolic links."""
    found: dict[str, int] = {}
    waiting = [directory]
    while waiting:
        # Those that have gone, or may not be read, are passed over, and no other ones with them: an
        # editor marks an open file by a link, `.#app.py`, that leads nowhere.
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if is_searched(entry):
                        waiting.append(entry.path)
                elif entry.name.endswith(".py"):
                    if len(found) >= MAX_FILES:
                        return found
                    with contextlib.suppress(OSError):
                        found[entry.path] = entry.stat().st_mtime_ns
    return found


def is_searched(entry: os.DirEntry[str]) -> bool:
    """Whether files in this folder are watched."""
    if entry.name.startswith(".") or entry.name in _PASSED_OVER:
        return False
    return not os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))


def changes(before: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    """The files of which the time is another one, or that are in one of both alone."""
    return sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
