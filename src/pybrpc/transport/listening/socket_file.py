"""SocketFile: the file of a Unix socket that listens, from its making to its removal.

The file outlives a server that was killed, and then is in the way of the next one; but bind() fails
in the same way when a server lives there. What tells them apart is a connect: a dead one refuses.
Look, remove and bind are not one step, and between bind() and listen() a living server refuses
too, so all this happens under a lock (flock) on the directory: of servers that start at once, one
gets the path.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket as _socket
import stat
import time
from collections.abc import Iterator

LOCK_TRIES = 100
LOCK_PAUSE_S = 0.01


class SocketFile:
    """The file that this process has bound a socket to.

    It is removed only by the process that made it, so not by a forked child, and only while it
    still is the same file.
    """

    __slots__ = ("_identity", "_pid", "path")

    def __init__(self, path: str) -> None:
        """Note the file that is at `path` now. OSError if there is none."""
        self.path = os.path.abspath(path)
        self._identity = _identity_of(self.path)
        self._pid = os.getpid()

    def remove(self) -> None:
        """Remove it; later calls do nothing. Before its socket is closed: until then no other
        file can get its inode number.
        """
        if self._pid != os.getpid():
            return
        self._pid = 0
        with contextlib.suppress(OSError):
            if _identity_of(self.path) == self._identity:
                os.unlink(self.path)


def listen_at(sock: _socket.socket, path: str, backlog: int) -> SocketFile:
    """Bind to `path` and listen, in the place of a server that is dead.

    OSError with a text of its own if a server lives there, or something that is no socket.
    Blocks for a second at worst, while others start in the same directory.
    """
    with _locked(os.path.dirname(os.path.abspath(path))):
        try:
            sock.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            _remove_dead(path)
            sock.bind(path)
        sock.listen(backlog)
        return SocketFile(path)


def _remove_dead(path: str) -> None:
    """Remove the file of a server that is dead; OSError says why not."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise _in_use("there is a file that is no socket; remove it or choose another path")
        with _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            code = probe.connect_ex(path)
        if code in (0, errno.EAGAIN):
            raise _in_use("a server listens there")
        if code not in (errno.ECONNREFUSED, errno.ENOENT):
            raise _in_use(f"who listens there can't be told: {os.strerror(code)}")
        os.unlink(path)


def _in_use(reason: str) -> OSError:
    return OSError(errno.EADDRINUSE, f"{os.strerror(errno.EADDRINUSE)}: {reason}")


def _identity_of(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Hold the lock of a directory, if it can be had: without, only the race is open."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield
        return
    try:
        _try_lock(fd)
        yield
    finally:
        # Not by closing alone: a child that was forked meanwhile has a copy.
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def _try_lock(fd: int) -> None:
    """Give up after a second: anybody may hold the lock of a directory that anybody can read."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_S)
        except OSError:
            return
