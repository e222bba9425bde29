"""RtmpStream: one stream of RTMP, for threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pybrpc.base.deadline import checked_timeout_s, deadline_after
from pybrpc.base.not_copied import NotCopied
from pybrpc.base.wake_list import block_until_woken
from pybrpc.errors import (
    OvercrowdedError,
    RpcError,
    StreamClosedError,
    StreamTimeoutError,
    WouldDeadlockError,
)
from pybrpc.rtmp.frame import Frame
from pybrpc.rtmp.streams.stream_core import RtmpStreamCore
from pybrpc.rtmp.streams.stream_name import query_of
from pybrpc.streams.thread_wait import ThreadWait


class RtmpStreamBase(NotCopied):
    """The part that the forms for threads and for asyncio share."""

    __slots__ = ("__weakref__", "_core")

    def __init__(self, core: RtmpStreamCore) -> None:
        self._core = core

    @property
    def name(self) -> str:
        """The name under which it is published or played, without the parameters behind "?"."""
        return self._core.bare_name

    @property
    def query(self) -> str:
        """The parameters behind the name, such as "token=1"; "" without them."""
        return query_of(self._core.name)

    @property
    def peer(self) -> str:
        """The address of the other side."""
        return self._core.connection.peer

    @property
    def is_closed(self) -> bool:
        """Whether nothing more comes, or can be sent. Frames that have come can still be taken."""
        return self._core.has_ended

    @property
    def failure(self) -> RpcError | None:
        """Why it has failed; `None` if it has not, or was closed."""
        failure = self._core.failure
        return None if failure is None else failure.copy()

    @property
    def unread_bytes(self) -> int:
        """Bytes that have come and were not taken, with a little for each frame."""
        return self._core.unread_bytes

    def send_nowait(self, *frames: Frame) -> None:
        """Send frames now, all or none. OvercrowdedError if the peer takes too little; the RpcError
        of a stream that has ended; RuntimeError if the peer publishes it."""
        self._check_sends()
        self._core.send(frames)

    def _check_sends(self) -> None:
        if self._core.is_publisher:
            raise RuntimeError(f"{self._core.described} is published by the peer: use recv")

    def _check_receives(self) -> None:
        if not self._core.is_publisher:
            text = f"nothing comes on {self._core.described}, which this side publishes: use send"
            raise RuntimeError(f"{text}, or wait_closed")

    def _timeout_error(self, what: str, timeout: float | None) -> StreamTimeoutError:
        core = self._core
        text = f"{what} {core.described} took more than {timeout} s"
        return StreamTimeoutError(text, peer=core.connection.peer)

    def __repr__(self) -> str:
        core = self._core
        state = "closed" if core.has_ended else "open"
        return f"<{type(self).__name__} {core.bare_name!r} with {core.connection.peer}, {state}>"


class RtmpStream(RtmpStreamBase):
    """One stream. Any thread may use it. No method may wait inside a callback of this library:
    WouldDeadlockError. Iterating over it gives the frames until the stream is closed; if it fails
    instead, the error is raised."""

    __slots__ = ()

    def recv(self, timeout: float | None = None) -> Frame:
        """The next frame. Waits for it, at most `timeout` seconds: StreamTimeoutError.

        StreamClosedError if the stream was closed, or another RpcError if it has failed; the frames
        that have come before are given first. RuntimeError if this side publishes the stream.
        """
        self._check_receives()
        core = self._core
        deadline = deadline_after(checked_timeout_s(timeout))
        while True:
            frame = core.take()
            if frame is not None:
                return frame
            waiter = ThreadWait(core.connection.socket.dispatcher)
            if core.begin_receive_wait(waiter):
                self._wait(waiter, deadline, timeout, "receiving on")
            elif core.has_ended and not core.unread:
                raise core.end_error()

    def send(self, *frames: Frame, timeout: float | None = None) -> None:
        """Send frames, all or none. While the peer takes too little, waits, at most `timeout`
        seconds: StreamTimeoutError. The RpcError of a stream that has ended. RuntimeError if the
        peer publishes it."""
        self._check_sends()
        core = self._core
        try:
            core.send(frames)
            return
        except OvercrowdedError:
            deadline = deadline_after(checked_timeout_s(timeout))
        self._send_later(frames, deadline, timeout)

    def _send_later(self, frames: Sequence[Frame], deadline: float, timeout: float | None) -> None:
        core = self._core
        self._check_may_wait("sending on")
        while block_until_woken(core.when_writable, core.forget_wake, deadline):
            try:
                core.send(frames)
                return
            except OvercrowdedError:
                continue
        raise self._timeout_error("sending on", timeout)

    def close(self) -> None:
        """End the stream: what was sent before goes out first. Never blocks."""
        self._core.connection.end_stream(self._core, None)
        self._core.drop_unread()

    def wait_closed(self, timeout: float | None = None) -> RpcError | None:
        """Wait until the stream has ended, at most `timeout` seconds: StreamTimeoutError.

        Return why it has failed; `None` if it was closed.
        """
        core = self._core
        deadline = deadline_after(checked_timeout_s(timeout))
        waiter = ThreadWait(core.connection.socket.dispatcher)
        if core.begin_ended_wait(waiter):
            self._wait(waiter, deadline, timeout, "waiting for the end of")
        return self.failure

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        try:
            return self.recv()
        except StreamClosedError:
            raise StopIteration from None

    def __enter__(self) -> RtmpStream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- waiting ---

    def _check_may_wait(self, what: str) -> None:
        if self._core.connection.socket.dispatcher.is_current():
            raise WouldDeadlockError(
                f"{what} a stream inside a callback would wait for itself; use another thread"
            )

    def _wait(self, waiter: ThreadWait, deadline: float, timeout: float | None, what: str) -> None:
        core = self._core
        try:
            self._check_may_wait(what)
            if not core.connection.socket.dispatcher.wait(waiter, deadline):
                raise self._timeout_error(what, timeout)
        except BaseException:
            core.forget_wait(waiter)
            raise
