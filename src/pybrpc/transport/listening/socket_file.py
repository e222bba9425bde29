"""SocketFile: the file of a Unix socket that listens, from its creation to its removal.

The file outlives a server that was killed. Then the bind() of the next server fails, just as it
does if a living server listens there. A connect tells the two cases apart: a dead server refuses.
To check, remove and bind are separate steps, and between bind() and listen() a living server
refuses too, so all of this happens under a lock (flock) on the directory: of servers that start at
the same time, one gets the path.
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
    """The file to which this process has bound a socket.

    Only the process that created the file removes it, no forked child, and only while the path
    still leads to the same file.
    """

    __slots__ = ("_identity", "_pid", "path")

    def __init__(self, path: str) -> None:
        """Note the file that is at `path` now. OSError if there is none."""
        self.path = os.path.abspath(path)
        self._identity = _identity_of(self.path)
        self._pid = os.getpid()

    def remove(self) -> None:
        """Remove it; later calls do nothing. Must be called before its socket is closed: until then
        no other file can get its inode number.
        """
        if self._pid != os.getpid():
            return
        self._pid = 0
        with contextlib.suppress(OSError):
            if _identity_of(self.path) == self._identity:
                os.unlink(self.path)


def listen_at(sock: _socket.socket, path: str, backlog: int) -> SocketFile:
    """Bind to `path` and listen; replace the file of a server that is dead.

    Raises OSError, with the reason in its text, if a server listens there or the file is no socket.
    Blocks at most for a second, while other servers start in the same directory.
    """
    with _locked(os.path.dirname(os.path.abspath(path))):
        try:
            sock.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            _remove_dead(path)
            sock.bind(path)
        file = SocketFile(path)
        try:
            sock.listen(backlog)
        except BaseException:
            file.remove()
            raise
        return file


def _remove_dead(path: str) -> None:
    """Remove the file of a server that is dead. Raises OSError if it may not be removed."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise _in_use("a file that is not a socket has this path; remove it or choose another")
        with _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            code = probe.connect_ex(path)
        if code in (0, errno.EAGAIN):
            raise _in_use("a server listens at this path")
        if code not in (errno.ECONNREFUSED, errno.ENOENT):
            raise _in_use(f"a server may listen at this path: {os.strerror(code)}")
        os.unlink(path)


def _in_use(reason: str) -> OSError:
    return OSError(errno.EADDRINUSE, f"{os.strerror(errno.EADDRINUSE)}: {reason}")


def _identity_of(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Hold the lock of a directory if possible. Without it only the race of servers is possible."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield
        return
    try:
        _try_lock(fd)
        yield
    finally:
        # Closing alone would not unlock it: a child that was forked meanwhile has a copy.
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def _try_lock(fd: int) -> None:
    """Give up after a second: any process that can read the directory may hold the lock."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_S)
        except OSError:
            return
