"""Handshake: what happens on a connection between TCP and its first message.

The handshake of the layer (TLS) comes first, then that of the protocol (`AppConnect`). The write
right is held until both are over, so messages queue up. It calls exactly one of `on_done` and
`on_failed`, or neither after `cancel`.

A step of the handshake of TLS takes about a millisecond. So each step of a connection with a layer
waits for a costly step of the dispatcher, however many connections shake hands at once.
"""

from __future__ import annotations

from collections.abc import Callable

from pybrpc.base.guard import deliver_interrupt, safe_repr
from pybrpc.errors import (
    ErrorCode,
    HandshakeError,
    Phase,
    RpcError,
    from_os_error,
    make_rpc_error,
)
from pybrpc.iobuf import IOBuf
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, EventDispatcher
from pybrpc.transport.dispatch.step_queue import FunctionWork
from pybrpc.transport.interfaces import PLAIN, AppConnect, ConnectionLayer

READ_BYTES = 64 * 1024
MAX_UNTAKEN_BYTES = 1024 * 1024
"""Most received bytes that the handshake of the protocol may leave unread."""


class Handshake:
    """The handshakes of one connection. All methods are called in turns of the dispatcher."""

    __slots__ = (
        "_app_connect",
        "_dispatcher",
        "_fd",
        "_has_started",
        "_incoming",
        "_is_layer_done",
        "_is_queued",
        "_is_watching_writes",
        "_layer",
        "_on_done",
        "_on_failed",
        "_outgoing",
        "_peer",
        "is_over",
    )

    def __init__(
        self,
        fd: int,
        peer: str,
        layer: ConnectionLayer,
        app_connect: AppConnect | None,
        incoming: IOBuf,
        dispatcher: EventDispatcher,
        on_done: Callable[[], None],
        on_failed: Callable[[RpcError], None],
    ) -> None:
        """`incoming` gets the bytes that follow the handshake of the layer."""
        self._fd = fd
        self._peer = peer
        self._layer = layer
        self._app_connect = app_connect
        self._incoming = incoming
        self._outgoing = IOBuf()
        self._dispatcher = dispatcher
        self._on_done = on_done
        self._on_failed = on_failed
        self._is_layer_done = False
        self._is_queued = False
        """Whether the next step waits for a costly step of the dispatcher."""
        self.is_over = False
        self._has_started = False
        self._is_watching_writes = False

    def cancel(self) -> bool:
        """Stop, and call no callback. False if it was over."""
        if self.is_over:
            return False
        self._end()
        return True

    def abandon(self) -> None:
        """After a fork: do nothing any more."""
        self.is_over = True

    def expire(self) -> None:
        """The deadline has passed: fail, unless it is over."""
        if not self.is_over:
            who = "the protocol" if self._is_layer_done else "TLS"
            text = f"the handshake of {who} was not over within connect_timeout"
            if not self._is_layer_done and not getattr(self._layer, "has_received", True):
                text += ", and the peer has sent nothing: does it speak TLS?"
            self._fail(self._failure(ErrorCode.ETIMEDOUT, text))

    def begin(self) -> None:
        """Shake hands in this and later turns."""
        self._has_started = True
        self._dispatcher.add_reader(self._fd, self._go_on)
        self._go_on()

    def _go_on(self) -> None:
        if self._layer is PLAIN:
            self._take_step(None)
        elif not self._is_queued and not self.is_over:
            self._is_queued = True
            work = FunctionWork(self._take_step, None, f"the handshake with {self._peer}")
            try:
                self._dispatcher.post_costly(work)
            except DispatcherClosedError:
                self._is_queued = False

    def _take_step(self, _: None) -> None:
        self._is_queued = False
        if self.is_over:
            return
        try:
            is_done = self._shake_layer() and self._shake_app() and self._has_flushed()
        except BaseException as error:
            self._fail(self._error_of(error))
            deliver_interrupt(error)
            return
        if self.is_over:
            return
        if is_done:
            self._end()
            self._on_done()
        else:
            self._watch_writes(bool(self._outgoing) or self._layer.has_unsent)

    def _shake_layer(self) -> bool:
        if self._is_layer_done:
            return True
        try:
            self._is_layer_done = self._layer.shake_hands(self._fd)
        except RpcError as error:
            raise self._failure(error.code, error.text, is_remote=error.is_remote) from error
        app_connect = self._app_connect
        if self._is_layer_done and app_connect is not None and app_connect.start(self._outgoing):
            self._app_connect = None
        return self._is_layer_done

    def _shake_app(self) -> bool:
        while self._app_connect is not None and self._has_flushed():
            if not self._read():
                return False
            if self._app_connect.on_data(self._incoming, self._outgoing):
                self._app_connect = None
            elif len(self._incoming) > MAX_UNTAKEN_BYTES:
                raise self._failure(
                    ErrorCode.EINVAL,
                    f"more than {MAX_UNTAKEN_BYTES} bytes arrived and were not read",
                    is_remote=True,
                )
        return self._app_connect is None

    def _read(self) -> bool:
        """False if nothing has arrived."""
        try:
            count = self._layer.append_from_fd(self._fd, self._incoming, READ_BYTES)
        except BlockingIOError:
            return False
        if count == 0:
            text = "the peer closed the connection"
            if self._layer is PLAIN and not self._incoming:
                text += ": has it stopped, or does it expect TLS, or another protocol?"
            raise self._failure(ErrorCode.EEOF, text, is_remote=True)
        return True

    def _has_flushed(self) -> bool:
        """Write the outgoing bytes. True if all of them are written."""
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

    def _fail(self, error: RpcError) -> None:
        self._end()
        self._on_failed(error)

    def _end(self) -> None:
        self.is_over = True
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

    def _error_of(self, error: BaseException) -> RpcError:
        """The error to report for what a layer, an AppConnect or the descriptor raised."""
        if isinstance(error, RpcError):
            error.phase = Phase.HANDSHAKE
            error.peer = error.peer or self._peer
            return error
        if isinstance(error, OSError):
            return from_os_error(error, self._what(), phase=Phase.HANDSHAKE, peer=self._peer)
        text = f"{self._what()}: {safe_repr(error)}"
        wrong = HandshakeError(text, code=ErrorCode.EINVAL, phase=Phase.HANDSHAKE, peer=self._peer)
        wrong.__cause__ = error
        return wrong
