"""Handshake: what happens on a connection between TCP and its first message.

First the layer's own (TLS), then that of the protocol (`AppConnect`), while the write right is
held: messages queue up meanwhile. All steps run in turns of the dispatcher, within the deadline
of the connect. It ends in exactly one of `on_done`, `on_failed`, or in silence after `cancel`.
"""

from __future__ import annotations

from collections.abc import Callable

from pybrpc.errors import (
    ErrorCode,
    HandshakeError,
    Phase,
    RpcError,
    from_os_error,
    make_rpc_error,
)
from pybrpc.iobuf import IOBuf
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher, TimerHandle
from pybrpc.transport.interfaces import AppConnect, ConnectionLayer

READ_BYTES = 64 * 1024
MAX_UNTAKEN_BYTES = 1024 * 1024
"""What may come and not be taken by the AppConnect."""


class Handshake:
    """One attempt to bring a connection whose TCP stands to where messages can flow."""

    __slots__ = (
        "_app_connect",
        "_deadline",
        "_dispatcher",
        "_fd",
        "_has_started",
        "_incoming",
        "_is_over",
        "_is_watching_writes",
        "_layer",
        "_layer_stands",
        "_on_done",
        "_on_failed",
        "_outgoing",
        "_peer",
        "_timer",
    )

    def __init__(
        self,
        fd: int,
        peer: str,
        layer: ConnectionLayer,
        app_connect: AppConnect | None,
        incoming: IOBuf,
        dispatcher: EventDispatcher,
        deadline: float,
        on_done: Callable[[], None],
        on_failed: Callable[[RpcError], None],
    ) -> None:
        """`incoming` gets what is read behind the handshake of the layer."""
        self._fd = fd
        self._peer = peer
        self._layer = layer
        self._app_connect = app_connect
        self._incoming = incoming
        self._outgoing = IOBuf()
        self._dispatcher = dispatcher
        self._deadline = deadline
        self._on_done = on_done
        self._on_failed = on_failed
        self._timer: TimerHandle | None = None
        self._layer_stands = False
        self._is_over = False
        self._has_started = False
        self._is_watching_writes = False

    def start(self) -> None:
        """Arrange for everything in coming turns. Any thread; never blocks."""
        self._dispatcher.post(self._begin)

    def cancel(self) -> bool:
        """Stop, and call nobody. False if it was over. Inside a turn."""
        if self._is_over:
            return False
        self._end()
        return True

    def abandon(self) -> None:
        """Do nothing any more (after a fork)."""
        self._is_over = True

    def _begin(self) -> None:
        if self._is_over:
            return
        self._timer = self._dispatcher.call_at(self._deadline, self._on_deadline)
        self._has_started = True
        self._dispatcher.add_reader(self._fd, self._go_on)
        self._go_on()

    def _go_on(self) -> None:
        if self._is_over:
            return
        try:
            is_done = self._shake_layer() and self._shake_app() and self._has_flushed()
        except Exception as error:
            self._fail(self._error_of(error))
            return
        if self._is_over:
            return
        if is_done:
            self._end()
            self._on_done()
        else:
            self._watch_writes(bool(self._outgoing) or self._layer.has_unsent)

    def _shake_layer(self) -> bool:
        if self._layer_stands:
            return True
        try:
            self._layer_stands = self._layer.shake_hands(self._fd)
        except RpcError as error:
            raise self._failure(error.code, error.text, is_remote=error.is_remote) from error
        app_connect = self._app_connect
        if self._layer_stands and app_connect is not None and app_connect.start(self._outgoing):
            self._app_connect = None
        return self._layer_stands

    def _shake_app(self) -> bool:
        while self._app_connect is not None and self._has_flushed():
            if not self._read():
                return False
            if self._app_connect.on_data(self._incoming, self._outgoing):
                self._app_connect = None
            elif len(self._incoming) > MAX_UNTAKEN_BYTES:
                raise self._failure(
                    ErrorCode.EINVAL, f"more than {MAX_UNTAKEN_BYTES} bytes came", is_remote=True
                )
        return self._app_connect is None

    def _read(self) -> bool:
        """False: nothing came."""
        try:
            count = self._layer.append_from_fd(self._fd, self._incoming, READ_BYTES)
        except BlockingIOError:
            return False
        if count == 0:
            raise self._failure(ErrorCode.EEOF, "the peer closed the connection", is_remote=True)
        return True

    def _has_flushed(self) -> bool:
        """Write what is to be said; whether all of it is out."""
        outgoing, layer = self._outgoing, self._layer
        while outgoing or layer.has_unsent:
            try:
                layer.cut_into_fd(self._fd, [outgoing])
            except BlockingIOError:
                return False
        return True

    def _watch_writes(self, wants: bool) -> None:
        if wants == self._is_watching_writes:
            return
        self._is_watching_writes = wants
        if wants:
            self._dispatcher.add_writer(self._fd, self._go_on)
        else:
            self._dispatcher.remove_writer(self._fd)

    def _on_deadline(self) -> None:
        if not self._is_over:
            who = "TLS" if not self._layer_stands else "the protocol"
            text = f"that of {who} was not over within the timeout for connecting"
            self._fail(self._failure(ErrorCode.ETIMEDOUT, text))

    def _fail(self, error: RpcError) -> None:
        self._end()
        self._on_failed(error)

    def _end(self) -> None:
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._has_started:
            self._watch_writes(False)
            self._dispatcher.remove_reader(self._fd)

    def _failure(self, code: int, text: str, *, is_remote: bool = False) -> RpcError:
        what = f"{self._what()}: {text}"
        return make_rpc_error(
            code, what, phase=Phase.HANDSHAKE, peer=self._peer, is_remote=is_remote
        )

    def _what(self) -> str:
        return f"Fail to shake hands with {self._peer}"

    def _error_of(self, error: Exception) -> RpcError:
        """What a layer, an AppConnect or the descriptor raised, as everybody is told it."""
        if isinstance(error, RpcError):
            error.phase = Phase.HANDSHAKE
            error.peer = error.peer or self._peer
            return error
        if isinstance(error, OSError):
            return from_os_error(error, self._what(), phase=Phase.HANDSHAKE, peer=self._peer)
        text = f"{self._what()}: {error!r}"
        wrong = HandshakeError(text, code=ErrorCode.EINVAL, phase=Phase.HANDSHAKE, peer=self._peer)
        wrong.__cause__ = error
        return wrong
