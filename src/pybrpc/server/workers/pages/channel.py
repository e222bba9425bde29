"""PageChannel: the supervisor's end of the socket over which a worker is sent streams.

The other way, the worker sends one message before it ends: its last metrics.
"""

from __future__ import annotations

import socket as _socket
import threading

from pybrpc.server.workers.pages.messages import (
    MAX_ANSWER_BYTES,
    MessageReader,
    PageAnswer,
    TooLongError,
)

WAITING_BYTES = 16 * 1024
"""Memory of questions that a worker has not taken yet, as SO_SNDBUF counts it: some 40 of them.
Their descriptors count against a limit of all processes of the user, so one worker that hangs must
not collect many."""
READ_BYTES = 256 * 1024


class PageChannel:
    """Any thread, but for `read_last`. No method blocks."""

    def __init__(self) -> None:
        """OSError if the system has no descriptor left."""
        self._socket, self._theirs = _socket.socketpair()
        self._socket.setblocking(False)
        self._socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, WAITING_BYTES)
        self._last = MessageReader(MAX_ANSWER_BYTES)
        self.last_answer: PageAnswer | None = None
        """The answer to METRICS that the worker has given at its end, without being asked."""
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

    @property
    def fd(self) -> int:
        """The descriptor that is readable when `read_last` has to be called."""
        return self._socket.fileno()

    def read_last(self) -> bool:
        """Read what there is of the worker's last message, in the thread that closes. False if
        nothing more is to be read: it is whole, or never will be."""
        while self.last_answer is None:
            try:
                data = self._socket.recv(min(self._last.bytes_wanted(), READ_BYTES))
                if not data:
                    return False
                self._last.add(data)
                if not self._last.bytes_wanted():
                    self.last_answer = PageAnswer.from_parts(*self._last.parts())
            except BlockingIOError:
                return True
            except OSError:
                return False
            except (TooLongError, ValueError, TypeError, KeyError) as error:
                kind = type(error).__name__
                self.last_answer = PageAnswer(500, body=f"no message ({kind})".encode())
        self._last = MessageReader(0)
        return False

    def close(self) -> None:
        """The worker has ended."""
        with self._lock:
            self._is_closed = True
            self._socket.close()
            self._theirs.close()

    def __repr__(self) -> str:
        return f"<PageChannel, {'closed' if self._is_closed else 'open'}>"
