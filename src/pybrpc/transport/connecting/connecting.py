"""Connecting: establishes the connection of a socket, while the write right is held.

    a client socket     TCP (a Connector), then the handshakes (a Handshake), within one deadline
    an accepted socket  the handshakes, within a timeout of their own

It ends in exactly one way: the connection is established, or the socket has failed, or `stop` was
called. In each case `SocketWriter.keep_write` gets the write right, and writes or fails the queued
requests.
"""

from __future__ import annotations

import socket as _socket
import time
from functools import partial
from typing import TYPE_CHECKING

from pybrpc.base.atomic import AtomicRef, atomic_ref
from pybrpc.base.deadline import NEVER
from pybrpc.base.guard import TRANSPORT, deliver_interrupt
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.transport.connecting.connector import Connector
from pybrpc.transport.connecting.errors import connect_error
from pybrpc.transport.connecting.handshake import Handshake
from pybrpc.transport.dispatch.event_dispatcher import (
    DispatcherClosedError,
    TimerHandle,
    run_cleanup,
)
from pybrpc.transport.interfaces import PLAIN, AppConnect

if TYPE_CHECKING:
    from pybrpc.transport.writing.socket_core import SocketCore
    from pybrpc.transport.writing.writer import SocketWriter


class Connecting:
    """How the connection of one socket is established.

    Its methods take the socket, so that no circle of objects keeps it. Each step, a Connector or a
    Handshake, runs in turns; one timer ends the present step at the deadline.
    """

    __slots__ = (
        "_app_connect",
        "_connect_timeout_s",
        "_deadline",
        "_handshake_timeout_s",
        "_incoming",
        "_step",
        "_timer",
        "_writer",
    )

    def __init__(
        self,
        connect_timeout_s: float | None,
        handshake_timeout_s: float | None,
        app_connect: AppConnect | None,
        incoming: IOBuf,
        writer: SocketWriter,
    ) -> None:
        """`incoming` gets the bytes that follow the handshakes."""
        self._connect_timeout_s = connect_timeout_s
        self._handshake_timeout_s = handshake_timeout_s
        self._app_connect = app_connect
        self._incoming = incoming
        self._writer = writer
        self._deadline = NEVER
        self._timer: TimerHandle | None = None
        # The thread that takes the step out may stop it: without a dispatcher that is any thread.
        self._step: AtomicRef[Connector | Handshake | None] = atomic_ref(None)

    @property
    def state(self) -> str:
        """The state in words."""
        step = self._step.get()
        if step is None:
            return "not connected"
        return "connecting" if isinstance(step, Connector) else "shaking hands"

    @property
    def phase(self) -> Phase:
        """The step of connecting that is under way. Any thread."""
        step = self._step.get()
        if step is None:
            return Phase.CONNECT
        return step.phase if isinstance(step, Connector) else Phase.HANDSHAKE

    def needs_handshake(self, socket: SocketCore) -> bool:
        """Whether there is anything to do between TCP and the first message."""
        return socket.layer is not PLAIN or self._app_connect is not None

    def connect(self, socket: SocketCore) -> None:
        """Connect a socket without a descriptor. Called by its first writer, in any thread, which
        hands over the write right.
        """
        assert socket.remote_side is not None
        self._deadline = _deadline_after(self._connect_timeout_s)
        connector = Connector(
            socket.remote_side,
            socket.options,
            socket.dispatcher,
            partial(self._on_tcp_established, socket),
            partial(self._on_failed, socket),
        )
        try:
            self._start(socket, connector)
        except DispatcherClosedError as error:
            self._on_dispatcher_closed(socket, error)
            return
        if socket.error is not None:
            # Another thread failed it, and its `stop` may have run before the connector was stored.
            run_cleanup(socket.dispatcher, partial(self.stop, socket))

    def accept(self, socket: SocketCore) -> None:
        """Shake hands on a descriptor that was connected elsewhere. The caller holds the write
        right."""
        self._deadline = _deadline_after(self._handshake_timeout_s)
        self._shake_hands(socket)

    def stop(self, socket: SocketCore) -> None:
        """The socket has failed: end the present step, and fail the queued requests. Inside a turn,
        or in any thread if there are no turns any more.
        """
        if self._cancel_step():
            self._writer.keep_write(socket)

    def abandon(self) -> None:
        """After a fork: close this process's copies of descriptors, and do nothing any more."""
        step = self._step.get_and_set(None)
        if step is not None:
            step.abandon()

    def _cancel_step(self) -> bool:
        """True if a step had not ended: the caller has the write right now."""
        step = self._step.get_and_set(None)
        if step is None or not step.cancel():
            return False
        self._cancel_timer()
        return True

    def _start(self, socket: SocketCore, step: Connector | Handshake) -> None:
        self._step.get_and_set(step)
        socket.dispatcher.post(partial(self._begin, socket, step))

    def _begin(self, socket: SocketCore, step: Connector | Handshake) -> None:
        """Inside a turn."""
        if step.is_over:
            return
        try:
            if self._timer is None:
                self._timer = socket.dispatcher.call_at(self._deadline, self._on_deadline)
            step.begin()
        except BaseException as error:
            if not self._cancel_step():
                raise
            peer = str(socket.remote_side)
            self._fail(socket, connect_error(error, f"Fail to connect {peer}", peer))
            deliver_interrupt(error)

    def _on_deadline(self) -> None:
        step = self._step.get()
        if step is not None:
            step.expire()

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _on_dispatcher_closed(self, socket: SocketCore, reason: DispatcherClosedError) -> None:
        """No turn will come. This thread has the right, unless another one has stopped the step."""
        if self._step.get_and_set(None) is not None:
            peer, text = str(socket.remote_side), str(reason)
            error = make_rpc_error(ErrorCode.EFAILEDSOCKET, text, phase=Phase.CONNECT, peer=peer)
            self._fail(socket, error)

    def _on_tcp_established(self, socket: SocketCore, sock: _socket.socket) -> None:
        self._step.get_and_set(None)
        try:
            socket.adopt(sock)
        except BaseException as error:
            # There is no step any more, so this thread has the right.
            if socket.fd < 0:
                sock.close()
            peer = str(socket.remote_side)
            self._fail(socket, connect_error(error, f"Fail to connect {peer}", peer))
            deliver_interrupt(error)
            return
        if self.needs_handshake(socket):
            try:
                self._shake_hands(socket)
            except DispatcherClosedError as error:
                self._on_dispatcher_closed(socket, error)
        else:
            self._finish(socket)

    def _shake_hands(self, socket: SocketCore) -> None:
        app_connect, self._app_connect = self._app_connect, None
        handshake = Handshake(
            socket.fd,
            str(socket.remote_side or "a pair"),
            socket.layer,
            app_connect,
            self._incoming,
            socket.dispatcher,
            partial(self._on_hands_shaken, socket),
            partial(self._on_failed, socket),
        )
        self._start(socket, handshake)

    def _on_hands_shaken(self, socket: SocketCore) -> None:
        self._step.get_and_set(None)
        self._finish(socket)

    def _on_failed(self, socket: SocketCore, error: RpcError) -> None:
        self._step.get_and_set(None)
        self._fail(socket, error)

    def _finish(self, socket: SocketCore) -> None:
        """The connection is established: write the queued requests, then read. With the write
        right."""
        self._cancel_timer()
        socket.is_connected = True
        if TRANSPORT.wants_debug():
            TRANSPORT.debug("%s is connected", socket.description)
        self._writer.keep_write(socket)
        socket.on_established()

    def _fail(self, socket: SocketCore, error: RpcError) -> None:
        """Fail the socket and the queued requests. With the write right."""
        self._cancel_timer()
        must_finish = socket.begin_fail(error)
        self._writer.keep_write(socket)
        if must_finish:
            socket.finish_fail(error)


def _deadline_after(timeout_s: float | None) -> float:
    return NEVER if timeout_s is None else time.monotonic() + timeout_s
