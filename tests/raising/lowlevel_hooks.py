"""User code below the calls: users and outcomes of sockets, messages, functions of dispatchers."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Any

from pybrpc.errors import ErrorCode, RpcError, make_rpc_error
from pybrpc.lowlevel import IOBuf, Socket, default_runtime
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from tests.raising.entries import ANSWERED, ANYTHING, Entry, name_of
from tests.raising.kinds import raise_kind
from tests.raising.strike import Strike, hook

EVENTS = ("on_connected", "on_messages", "on_end", "on_failed")
FRAME = bytes(BAIDU_STD.pack_request(RpcRequest(1, "s", "m", b"")))


class RaisingUser:
    """A SocketUser of which one method raises. `failed` is ended by on_failed."""

    def __init__(self, event: str, kind: str, failed: Entry) -> None:
        self._event = event
        self._kind = kind
        self._failed = failed

    def on_connected(self, socket: Socket) -> None:
        self._raise_in("on_connected")

    def on_messages(self, socket: Socket, messages: list[Any]) -> None:
        self._raise_in("on_messages")

    def on_end(self, socket: Socket, error: RpcError) -> bool:
        self._raise_in("on_end")
        return False

    def on_failed(self, socket: Socket, error: RpcError) -> None:
        self._failed.end()
        self._raise_in("on_failed")

    def _raise_in(self, event: str) -> None:
        if event == self._event:
            raise_kind(self._kind)


def new_pair(strike: Strike, user: Any = None, sent: bytes = b"") -> tuple[Socket, socket.socket]:
    """A Socket and the plain socket at its other end, both closed at the end of the round.

    The other end has `sent` something, and then EOF, if it is to send anything.
    """
    near, far = socket.socketpair()
    if sent:
        far.sendall(sent)
        far.shutdown(socket.SHUT_WR)
    made = Socket.of(near, default_runtime().dispatcher, user=user)
    strike.stack.callback(made.close)
    strike.stack.callback(far.close)
    return made, far


def outcome_of(entry: Entry) -> Callable[[RpcError | None], None]:
    return lambda error: entry.end(ANSWERED if error is None else name_of(error))


@hook("user of a Socket")
def _(strike: Strike) -> None:
    for kind in strike.kinds:
        for event in EVENTS:
            failed = strike.entry(f"on_failed of a socket whose {event} raises, {kind}")
            made, _ = new_pair(strike, RaisingUser(event, kind, failed), FRAME)
            entry = strike.entry("write beside it", ANYTHING)
            try:
                made.start_write(IOBuf(b"x"), on_outcome=outcome_of(entry), notify_on_success=True)
            except RpcError as error:
                entry.fail(error)
            strike.later.append(made.close)


@hook("outcome of a write")
def _(strike: Strike) -> None:
    def raising_outcome(kind: str, entry: Entry) -> Callable[[RpcError | None], None]:
        def on_outcome(error: RpcError | None) -> None:
            outcome_of(entry)(error)
            raise_kind(kind)

        return on_outcome

    written, far = new_pair(strike)
    failed, _ = new_pair(strike)
    failed.start_write(IOBuf(bytes(10_000_000)))
    for kind in strike.kinds:
        for sock, outcome in ((written, ANSWERED), (failed, "EFAILEDSOCKET")):
            entry = strike.entry(f"outcome that raises, {kind}", outcome)
            on_outcome = raising_outcome(kind, entry)
            sock.start_write(IOBuf(b"x"), on_outcome=on_outcome, notify_on_success=True)
            entry = strike.entry("other outcome", outcome)
            sock.start_write(IOBuf(b"y"), on_outcome=outcome_of(entry), notify_on_success=True)
    strike.later.append(
        lambda: failed.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, "the test says so"))
    )
    strike.later.append(
        lambda: strike.entry("bytes that were written").try_end(
            lambda: receive(far, 2 * len(strike.kinds)), b"xy" * len(strike.kinds)
        )
    )


def receive(sock: socket.socket, size: int) -> bytes:
    sock.settimeout(5.0)
    parts = b""
    while len(parts) < size and (part := sock.recv(size - len(parts))):
        parts += part
    return parts


class RaisingMessage:
    """A SocketMessage that can't be turned into bytes."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def append_to(self, buffer: IOBuf) -> None:
        buffer.append(b"half of it")
        raise_kind(self._kind)


@hook("message that is turned into bytes")
def _(strike: Strike) -> None:
    made, far = new_pair(strike)
    for kind in strike.kinds:
        entry = strike.entry(f"message that raises, {kind}", "EINVAL")
        made.start_write(RaisingMessage(kind), on_outcome=outcome_of(entry), notify_on_success=True)
        entry = strike.entry("message beside it")
        made.start_write(IOBuf(b"y"), on_outcome=outcome_of(entry), notify_on_success=True)
    strike.later.append(
        lambda: strike.entry("bytes that were written").try_end(
            lambda: receive(far, len(strike.kinds)), b"y" * len(strike.kinds)
        )
    )


@hook("function that a dispatcher runs")
def _(strike: Strike) -> None:
    dispatcher = default_runtime().dispatcher

    def raising(what: str, kind: str) -> Callable[[], None]:
        entry = strike.entry(f"{what} that raises, {kind}")

        def function() -> None:
            entry.end()
            raise_kind(kind)

        return function

    def follower(what: str) -> Callable[[], None]:
        entry = strike.entry(f"{what} after it")
        return lambda: entry.end()

    def watch(kind: str) -> None:
        """In a turn: a reader that raises, once."""
        reading, writing = os.pipe()
        function = raising("reader", kind)

        def read() -> None:
            dispatcher.remove_reader(reading)
            os.close(reading)
            os.close(writing)
            function()

        dispatcher.add_reader(reading, read)
        os.write(writing, b"x")

    for kind in strike.kinds:
        soon = time.monotonic() + 0.05
        dispatcher.post(raising("posted function", kind))
        dispatcher.post(follower("posted function"))
        dispatcher.call_at(soon, raising("timer", kind))
        dispatcher.call_at(soon, follower("timer"))
        dispatcher.post(lambda kind=kind: watch(kind))
