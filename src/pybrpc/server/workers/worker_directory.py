"""WorkerDirectory: the directory in which workers run, by the name that it was given.

A release is often reached by a symbolic link, such as /srv/current, which each deployment points to
another directory. The system follows the link when a process starts in it, and Python when it fills
`sys.path`, so a process that runs for long keeps the names of the old release. Workers that start
later have to follow the link anew. So they get all paths below the directory by its name.
"""

from __future__ import annotations

import os
import sys

FOR_SUPERVISOR = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
"""Variables by which systemd asks one process for its state."""


class WorkerDirectory:
    """Made in the process of the supervisor, when the link still leads to where it runs."""

    def __init__(self, directory: str | None = None) -> None:
        """`None`: the present directory."""
        present = present_directory()
        self.path = present if directory is None else os.path.join(present, directory)
        self._inside = os.path.join(os.path.realpath(self.path), "")

    def by_name(self, path: str) -> str:
        """`path`, or if it is in the directory: the same one, through the name of the directory."""
        if os.path.join(path, "") == self._inside:
            return self.path
        if not path.startswith(self._inside):
            return path
        return os.path.join(self.path, path.removeprefix(self._inside))

    @property
    def executable(self) -> str:
        """The interpreter for workers. It may be in the directory too, in a virtual environment."""
        return self.by_name(sys.executable)

    @property
    def sys_path(self) -> list[str]:
        """The entries of `sys.path` that can be imported from, for workers."""
        return [self.by_name(os.fsdecode(entry)) for entry in sys.path if _is_path(entry)]

    @property
    def environment(self) -> dict[str, str]:
        """The environment for workers. systemd hears from their supervisor, not from them."""
        kept = {name: text for name, text in os.environ.items() if name not in FOR_SUPERVISOR}
        return {**kept, "PWD": self.path}


def present_directory() -> str:
    """The present directory, by the name that the shell has put into PWD, if that is it."""
    named = os.environ.get("PWD", "")
    is_directory = os.path.isabs(named) and os.path.isdir(named)
    try:
        present = os.getcwd()
    except OSError:
        # It was removed. Its name may lead to another one by now.
        return named if is_directory else os.sep
    return named if is_directory and os.path.realpath(named) == present else present


def _is_path(entry: object) -> bool:
    """Whether an entry of `sys.path` is a path. Python passes over entries of other types."""
    return isinstance(entry, str | bytes | os.PathLike)
