"""Connector: establishes TCP for a client socket, while the write right of the socket is held.

It resolves the name (in a thread, if there is one), then makes non-blocking connects as a
ConnectRace decides, until the first one is established. It calls exactly one of `on_connected` and
`on_failed`, or neither after `cancel`.

Whatever a step raises, the connect fails with it at once: a frozen program may lack the codec of
host names, a library may have replaced a part of `socket`.
"""

from __future__ import annotations

import errno
import select
import socket as _socket
import time
from collections.abc import Callable

from pybrpc.base.deadline import NEVER
from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import deliver_interrupt, safe_repr
from pybrpc.errors import ErrorCode, Phase, RpcError, from_os_error, make_rpc_error
from pybrpc.transport.connecting.connect_race import ConnectRace
from pybrpc.transport.connecting.errors import connect_error
from pybrpc.transport.connecting.look_ups import LookUpWaiter, Resolved, resolve_in_background
from pybrpc.transport.connecting.resolver import Address, addresses_at_hand
from pybrpc.transport.dispatch.event_dispatcher import (
    DispatcherClosedError,
    EventDispatcher,
    TimerHandle,
)
from pybrpc.transport.memory_listeners import connect_in_memory
from pybrpc.transport.socket_options import SocketOptions


class Connector:
    """Connects to one endpoint, or fails. All methods are called in turns of the dispatcher."""

    __slots__ = (
        "_attempts",
        "_dispatcher",
        "_endpoint",
        "_look_up",
        "_on_connected",
        "_on_failed",
        "_options",
        "_race",
        "_turn_timer",
        "is_over",
        "phase",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        options: SocketOptions,
        dispatcher: EventDispatcher,
        on_connected: Callable[[_socket.socket], None],
        on_failed: Callable[[RpcError], None],
    ) -> None:
        self._endpoint = endpoint
        self._options = options
        self._dispatcher = dispatcher
        self._on_connected = on_connected
        self._on_failed = on_failed
        self._race = ConnectRace(())
        self._attempts: dict[_socket.socket, Address] = {}
        self._turn_timer: TimerHandle | None = None
        self._look_up: LookUpWaiter | None = None
        self.phase = Phase.CONNECT
        """RESOLVE or CONNECT."""
        self.is_over = False

    def cancel(self) -> bool:
        """Stop, and call no callback. False if it was over."""
        if self.is_over:
            return False
        self._end()
        return True

    def abandon(self) -> None:
        """After a fork: close this process's copies of the descriptors and do nothing else."""
        self.is_over = True
        for sock in self._attempts:
            sock.close()

    def expire(self) -> None:
        """The deadline has passed: fail, unless it is over."""
        if self.is_over:
            return
        doing = "connect" if self.phase is Phase.CONNECT else "resolve"
        text = f"Fail to {doing} {self._endpoint} within connect_timeout"
        report = self._race.report(self._endpoint)
        self._fail(ErrorCode.ETIMEDOUT, f"{text}, at {report}" if report else text)

    def begin(self) -> None:
        """Resolve, then connect in this and later turns."""
        self._run(self._resolve)

    def _run(self, step: Callable[[], None]) -> None:
        """Run `step`; if it raises, fail."""
        try:
            step()
        except BaseException as error:
            if self.is_over:
                raise
            self._fail_with(error)
            deliver_interrupt(error)

    def _resolve(self) -> None:
        if self._endpoint.is_memory:
            self._connect_in_memory()
            return
        self.phase = Phase.RESOLVE
        at_hand = addresses_at_hand(self._endpoint)
        if at_hand is not None:
            self._connect_to(at_hand)
        else:
            self._look_up = resolve_in_background(self._endpoint, self._on_resolved_elsewhere)

    def _connect_in_memory(self) -> None:
        try:
            sock = connect_in_memory(self._endpoint)
        except OSError as error:
            self._fail_with(error)
            return
        try:
            self._options.apply_to(sock)
        except BaseException:
            sock.close()
            raise
        self._end()
        self._on_connected(sock)

    def _on_resolved_elsewhere(self, result: Resolved) -> None:
        try:
            self._dispatcher.post(lambda: self._on_resolved(result))
        except DispatcherClosedError:
            return

    def _on_resolved(self, result: Resolved) -> None:
        if self.is_over:
            return
        if isinstance(result, BaseException):
            self._fail_with(result)
        else:
            self._run(lambda: self._connect_to(result))

    def _connect_to(self, addresses: list[Address]) -> None:
        self.phase = Phase.CONNECT
        self._race = ConnectRace(addresses)
        self._try_due()

    def _go_on(self) -> None:
        self._run(self._try_due)

    def _try_due(self) -> None:
        """Try the addresses whose turn has come; set a timer for the next one."""
        while not self.is_over:
            address = self._race.take_due(time.monotonic())
            if address is None:
                break
            self._try(address)
        if self.is_over:
            return
        if self._race.is_lost:
            self._fail_with_all_errors()
        else:
            self._wait_until(self._race.next_turn)

    def _wait_until(self, turn: float) -> None:
        if self._turn_timer is not None:
            self._turn_timer.cancel()
        self._turn_timer = None if turn == NEVER else self._dispatcher.call_at(turn, self._go_on)

    def _try(self, address: Address) -> None:
        family, sockaddr = address
        try:
            sock = _socket.socket(family, _socket.SOCK_STREAM)
        except OSError as error:
            self._race.on_failure(address, error.errno or errno.EIO)
            return
        self._attempts[sock] = address
        try:
            self._options.apply_to(sock)
            code = sock.connect_ex(sockaddr)
        except OSError as error:
            code = error.errno or errno.EIO
        if code == errno.EINPROGRESS:
            self._dispatcher.add_writer(sock.fileno(), lambda: self._on_writable(sock))
        else:
            self._on_outcome(sock, code)

    def _on_writable(self, sock: _socket.socket) -> None:
        self._run(lambda: self._look_at(sock))

    def _look_at(self, sock: _socket.socket) -> None:
        """An attempt may be decided."""
        if sock not in self._attempts:
            return
        code = _outcome_of(sock)
        if code is not None:
            self._dispatcher.remove_writer(sock.fileno())
            self._on_outcome(sock, code)
            self._try_due()

    def _on_outcome(self, sock: _socket.socket, code: int) -> None:
        """An attempt has succeeded or failed, and its descriptor is not watched any more."""
        address = self._attempts.pop(sock)
        if code == 0 and _connected_to_itself(sock):
            code = errno.ECONNREFUSED
        if code == 0:
            self._end()
            self._on_connected(sock)
            return
        sock.close()
        if code == errno.EAGAIN and address[0] == _socket.AF_UNIX:
            # connect(2): the backlog is full, and no event follows once there is room in it.
            self._race.on_busy(address, time.monotonic())
        else:
            self._race.on_failure(address, code)

    def _fail_with_all_errors(self) -> None:
        peer = str(self._endpoint)
        report = self._race.report(self._endpoint)
        what = f"Fail to connect {peer} at {report}" if report else f"Fail to connect {peer}"
        error = OSError(self._race.most_telling_code, "")
        self._end()
        self._on_failed(from_os_error(error, what, phase=Phase.CONNECT, peer=peer))

    def _fail_with(self, error: BaseException) -> None:
        """Fail for what a step has raised."""
        peer = str(self._endpoint)
        if self.phase is Phase.RESOLVE:
            text = error.strerror if isinstance(error, OSError) else None
            what = f"Fail to resolve {self._endpoint.host}: {text or safe_repr(error)}"
            failure = make_rpc_error(ErrorCode.EHOSTUNREACH, what, phase=self.phase, peer=peer)
        else:
            failure = connect_error(error, f"Fail to connect {peer}", peer)
        self._end()
        self._on_failed(failure)

    def _fail(self, code: int, text: str) -> None:
        self._end()
        peer = str(self._endpoint)
        self._on_failed(make_rpc_error(code, text, phase=self.phase, peer=peer))

    def _end(self) -> None:
        self.is_over = True
        if self._turn_timer is not None:
            self._turn_timer.cancel()
        if self._look_up is not None:
            self._look_up.cancel()
        for sock in self._attempts:
            self._dispatcher.remove_writer(sock.fileno())
            sock.close()
        self._attempts.clear()


def _outcome_of(sock: _socket.socket) -> int | None:
    """The errno of a connect, 0 if it has succeeded; `None` while it is undecided.

    An event of this turn may be about an earlier descriptor with the same number, so this is
    checked.
    """
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        return sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR) if poll.poll(0) else None
    # eventlet has taken `poll` away.
    return sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR) or _code_of_peer(sock)


def _code_of_peer(sock: _socket.socket) -> int | None:
    """0 for a connected socket, `None` for one that is not connected yet."""
    try:
        sock.getpeername()
    except OSError as error:
        return None if error.errno == errno.ENOTCONN else error.errno
    return 0


def _connected_to_itself(sock: _socket.socket) -> bool:
    """A connect to a closed local port meets itself if the kernel picks the same port for it."""
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:
        # It was established, and the peer has reset it since; the first read or write will report
        # it.
        return False
