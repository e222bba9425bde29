"""Connecting: brings a socket to where messages can flow, while its write right is held.

    a client socket     TCP (a Connector), then the handshakes (a Handshake), within one deadline
    an accepted socket  the handshakes, within a timeout of their own

It ends in exactly one of `socket.on_established`, `socket.on_connect_failed`, or in silence after
`stop`.
"""

from __future__ import annotations

import socket as _socket
import time
from typing import TYPE_CHECKING

from pybrpc.base.atomic import AtomicRef, atomic_ref
from pybrpc.base.deadline import NEVER
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.transport.connecting.connector import Connector
from pybrpc.transport.connecting.handshake import Handshake
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, run_cleanup
from pybrpc.transport.interfaces import PLAIN, AppConnect

if TYPE_CHECKING:
    from pybrpc.transport.socket.socket import Socket


class Connecting:
    """How one socket comes to stand. Its methods take the socket, so that no cycle keeps it."""

    __slots__ = (
        "_app_connect",
        "_connect_timeout_s",
        "_deadline",
        "_handshake_timeout_s",
        "_incoming",
        "_step",
    )

    def __init__(
        self,
        connect_timeout_s: float | None,
        handshake_timeout_s: float | None,
        app_connect: AppConnect | None,
        incoming: IOBuf,
    ) -> None:
        """`incoming` gets what is read behind the handshakes."""
        self._connect_timeout_s = connect_timeout_s
        self._handshake_timeout_s = handshake_timeout_s
        self._app_connect = app_connect
        self._incoming = incoming
        self._deadline = NEVER
        # Who takes it out may stop it: without a dispatcher any more that is any thread.
        self._step: AtomicRef[Connector | Handshake | None] = atomic_ref(None)

    @property
    def state(self) -> str:
        """In words."""
        step = self._step.get()
        if step is None:
            return "not connected"
        return "connecting" if isinstance(step, Connector) else "shaking hands"

    def needs_handshake(self, socket: Socket) -> bool:
        """Whether there is anything to do between TCP and the first message."""
        return socket.layer is not PLAIN or self._app_connect is not None

    def connect(self, socket: Socket) -> None:
        """The first writer, with the right, of a socket without a descriptor. Any thread."""
        assert socket.remote_side is not None
        self._deadline = _deadline_after(self._connect_timeout_s)
        connector = Connector(
            socket.remote_side,
            socket.options,
            socket.dispatcher,
            self._deadline,
            lambda sock: self._on_tcp_stands(socket, sock),
            lambda error: self._on_failed(socket, error),
        )
        self._step.get_and_set(connector)
        try:
            connector.start()
        except DispatcherClosedError as error:
            self._on_undriven(socket, error)
            return
        if socket.error is not None:
            # Failed by another thread, whose `stop` may have been before the connector.
            run_cleanup(socket.dispatcher, socket.stop_connecting)

    def accept(self, socket: Socket) -> None:
        """Shake hands on a descriptor that somebody else has connected, with the right."""
        self._deadline = _deadline_after(self._handshake_timeout_s)
        self._shake_hands(socket)

    def stop(self) -> bool:
        """True if it was under way: the write right is the caller's now. Inside a turn."""
        step = self._step.get_and_set(None)
        return step is not None and step.cancel()

    def abandon(self) -> None:
        """After a fork: close this process's copies of descriptors, and do nothing any more."""
        step = self._step.get_and_set(None)
        if step is not None:
            step.abandon()

    def _on_undriven(self, socket: Socket, reason: DispatcherClosedError) -> None:
        """Nobody will connect; the right is the caller's unless another thread has stopped it."""
        if self._step.get_and_set(None) is not None:
            peer, text = str(socket.remote_side), str(reason)
            error = make_rpc_error(ErrorCode.EFAILEDSOCKET, text, phase=Phase.CONNECT, peer=peer)
            socket.on_connect_failed(error)

    def _on_tcp_stands(self, socket: Socket, sock: _socket.socket) -> None:
        self._step.get_and_set(None)
        socket.adopt(sock)
        if self.needs_handshake(socket):
            try:
                self._shake_hands(socket)
            except DispatcherClosedError as error:
                self._on_undriven(socket, error)
        else:
            socket.on_established()

    def _shake_hands(self, socket: Socket) -> None:
        app_connect, self._app_connect = self._app_connect, None
        handshake = Handshake(
            socket.fd,
            str(socket.remote_side or "a pair"),
            socket.layer,
            app_connect,
            self._incoming,
            socket.dispatcher,
            self._deadline,
            lambda: self._on_hands_shaken(socket),
            lambda error: self._on_failed(socket, error),
        )
        self._step.get_and_set(handshake)
        handshake.start()

    def _on_hands_shaken(self, socket: Socket) -> None:
        self._step.get_and_set(None)
        socket.on_established()

    def _on_failed(self, socket: Socket, error: RpcError) -> None:
        self._step.get_and_set(None)
        socket.on_connect_failed(error)


def _deadline_after(timeout_s: float | None) -> float:
    return NEVER if timeout_s is None else time.monotonic() + timeout_s
