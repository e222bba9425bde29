"""PageChannel: the supervisor's end of the socket over which a worker is sent streams."""

from __future__ import annotations

import socket as _socket
import threading


class PageChannel:
    """Any thread. No method blocks."""

    def __init__(self) -> None:
        """OSError if the system has no descriptor left."""
        self._socket, self._theirs = _socket.socketpair()
        self._socket.setblocking(False)
        # A descriptor must not be closed, and be that of another socket, while it is sent to.
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def their_fd(self) -> int:
        """The descriptor that the worker inherits."""
        return self._theirs.fileno()

    def release_theirs(self) -> None:
        """The worker has it now, or was not started."""
        self._theirs.close()

    def open_stream(self) -> _socket.socket:
        """A new stream to the worker. OSError: it has ended; BlockingIOError, which is one: it has
        not taken the last ones."""
        mine, theirs = _socket.socketpair()
        try:
            with theirs, self._lock:
                if self._is_closed:
                    raise OSError("the worker has ended")
                _socket.send_fds(self._socket, [b"p"], [theirs.fileno()])
        except BaseException:
            mine.close()
            raise
        mine.setblocking(False)
        return mine

    def close(self) -> None:
        """The worker has ended."""
        with self._lock:
            self._is_closed = True
            self._socket.close()
            self._theirs.close()

    def __repr__(self) -> str:
        return f"<PageChannel, {'closed' if self._is_closed else 'open'}>"
