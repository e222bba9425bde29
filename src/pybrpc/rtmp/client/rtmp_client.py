"""RtmpClient: publishes and plays streams, for threads."""

from __future__ import annotations

from typing import NoReturn, Self

from pybrpc.base.deadline import NEVER, checked_timeout_s, deadline_after
from pybrpc.errors import WouldDeadlockError
from pybrpc.rtmp.client.client_base import RtmpClientBase, play_request, publish_request
from pybrpc.rtmp.client.opening import PublishMode, StreamOpening, StreamRequest
from pybrpc.rtmp.streams.stream import RtmpStream
from pybrpc.streams.thread_wait import ThreadWait

CLOSE_TIMEOUT_S = 10.0


class RtmpClient(RtmpClientBase):
    """A client of one app of a server: `RtmpClient("rtmp://host/app")`.

        with client.publish("name") as out:
            out.send(frame)
        with client.play("name") as stream:
            for frame in stream: ...

    It connects when the first stream is opened, and again when one is opened after the connection
    has failed. Its streams share the connection, unless the server has one stream for each only, as
    nginx-rtmp has: then each stream has its own. Any thread may use it. AddressError for a URL
    that can't be; `options` as `RtmpOptions` says.

    `publish` and `play` wait until the server has agreed: RtmpStatusError if it refuses, with a
    `status` such as "NetStream.Publish.BadName"; RpcTimeoutError if it does not answer; else the
    RpcError of the connection. WouldDeadlockError in a callback of this library.
    """

    def publish(self, name: str, *, mode: PublishMode = "live") -> RtmpStream:
        """Publish a stream. `mode`: "live"; or "record", "append", for servers that store it."""
        return self._open(publish_request(name, mode))

    def play(self, name: str, *, start: float = -2, duration: float = -1) -> RtmpStream:
        """Play a stream, which may begin later: it is up to the server whether it waits for one.

        `start`: -2 for a live stream, or a recorded one if there is none; -1 for a live one only;
        else seconds into a recorded one. `duration`: seconds; -1 for all.
        """
        return self._open(play_request(name, start, duration))

    def _open(self, request: StreamRequest) -> RtmpStream:
        while True:
            opening = self.open_nowait(request, None)
            wait_opened(opening, self.options.timeout)
            if not self.must_open_again(opening):
                return RtmpStream(opening.result())

    def close(self, timeout: float | None = CLOSE_TIMEOUT_S) -> None:
        """End all streams, and wait until what was sent is written and the server has closed, at
        most `timeout` seconds; then close the connection. Inside a callback it waits for nothing.
        """
        timeout_s = checked_timeout_s(timeout)
        deadline = deadline_after(timeout_s)
        try:
            for connection in self._begin_close():
                dispatcher = connection.socket.dispatcher
                waiter = ThreadWait(dispatcher)
                if not dispatcher.is_current() and connection.begin_end_wait(waiter):
                    dispatcher.wait(waiter, deadline)
        finally:
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    async def __aenter__(self) -> NoReturn:
        raise TypeError("use `with pybrpc.rtmp.RtmpClient`; for `async with`, pybrpc.rtmp.aio")

    async def __aexit__(self, *exception: object) -> None: ...


def wait_opened(opening: StreamOpening, timeout_s: float | None) -> None:
    """Wait until it is over. It ends with an error if the server, once it is connected, does not
    answer for `timeout_s` seconds."""
    dispatcher = opening.connection.socket.dispatcher
    try:
        if dispatcher.is_current():
            raise WouldDeadlockError(
                "opening a stream inside a callback would wait for itself; use another thread"
            )
        if not opening.is_sent:
            waiter = ThreadWait(dispatcher)
            # Store, then load: it may have been sent before the wait began.
            if opening.begin_wait(waiter) and not opening.is_sent:
                dispatcher.wait(waiter, NEVER)
        deadline = deadline_after(timeout_s)
        while not opening.is_over:
            # The wait may end because it was sent only now.
            waiter = ThreadWait(dispatcher)
            if opening.begin_wait(waiter) and not dispatcher.wait(waiter, deadline):
                opening.time_out(timeout_s)
    except BaseException:
        opening.abandon()
        raise
