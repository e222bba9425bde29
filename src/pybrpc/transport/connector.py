"""Connector: brings an unconnected client socket to stand, while its write right is held.

The first write of a socket starts it; requests queue up meanwhile. Resolve (in a thread, if there
is a name), then a non-blocking connect to each address in turn, all within one deadline. All
but the first step runs in the turns of the dispatcher. It ends in exactly one of
`on_connected`, `on_failed`, or in silence after `cancel`.
"""

from __future__ import annotations

import errno
import os
import socket as _socket
from collections.abc import Callable

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ErrorCode, Phase, RpcError, from_os_error, make_rpc_error
from pybrpc.transport.event_dispatcher import (
    DispatcherClosedError,
    EventDispatcher,
    TimerHandle,
)
from pybrpc.transport.resolver import Address, addresses_of_ip, resolve_in_background
from pybrpc.transport.socket_options import SocketOptions


class Connector:
    """One attempt to connect to one endpoint."""

    __slots__ = (
        "_addresses",
        "_deadline",
        "_dispatcher",
        "_endpoint",
        "_is_over",
        "_last_error",
        "_on_connected",
        "_on_failed",
        "_options",
        "_phase",
        "_sock",
        "_timer",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        options: SocketOptions,
        dispatcher: EventDispatcher,
        deadline: float,
        on_connected: Callable[[_socket.socket], None],
        on_failed: Callable[[RpcError], None],
    ) -> None:
        self._endpoint = endpoint
        self._options = options
        self._dispatcher = dispatcher
        self._deadline = deadline
        self._on_connected = on_connected
        self._on_failed = on_failed
        self._addresses: list[Address] = []
        self._sock: _socket.socket | None = None
        self._timer: TimerHandle | None = None
        self._last_error: OSError | None = None
        self._phase = Phase.CONNECT
        self._is_over = False

    def start(self) -> None:
        """Arrange for everything in coming turns. Any thread; never blocks."""
        self._dispatcher.post(self._begin)

    def cancel(self) -> bool:
        """Stop, and call nobody. False if it was over. Inside a turn."""
        if self._is_over:
            return False
        self._end()
        self._drop_sock()
        return True

    def abandon(self) -> None:
        """Close this process's copy of the descriptor and do nothing else (after a fork)."""
        self._is_over = True
        if self._sock is not None:
            self._sock.close()

    def _begin(self) -> None:
        if self._is_over:
            return
        self._timer = self._dispatcher.call_at(self._deadline, self._on_deadline)
        self._phase = Phase.RESOLVE
        try:
            if self._endpoint.is_ip:
                self._on_resolved(addresses_of_ip(self._endpoint))
            else:
                resolve_in_background(self._endpoint, self._on_resolved_elsewhere)
        except OSError as error:
            self._on_resolved(error)
        except RuntimeError as error:
            # Python says so when the system has no room for one more thread.
            self._on_resolved(OSError(errno.EAGAIN, str(error)))

    def _on_resolved_elsewhere(self, result: list[Address] | OSError) -> None:
        try:
            self._dispatcher.post(lambda: self._on_resolved(result))
        except DispatcherClosedError:
            return

    def _on_resolved(self, result: list[Address] | OSError) -> None:
        if self._is_over:
            return
        if isinstance(result, OSError):
            text = f"Fail to resolve {self._endpoint.host}: {result.strerror or result}"
            self._fail(ErrorCode.EHOSTUNREACH, text)
        else:
            self._connect_first_of(result)

    def _connect_first_of(self, addresses: list[Address]) -> None:
        self._phase = Phase.CONNECT
        self._addresses = addresses
        self._connect_next()

    def _connect_next(self) -> None:
        while self._addresses:
            family, sockaddr = self._addresses.pop(0)
            try:
                self._sock = sock = _socket.socket(family, _socket.SOCK_STREAM)
                self._options.apply_to(sock)
                code = sock.connect_ex(sockaddr)
            except OSError as error:
                code = error.errno or errno.EIO
            if code == 0:
                self._succeed()
                return
            if code == errno.EINPROGRESS:
                self._dispatcher.add_writer(sock.fileno(), self._on_writable)
                return
            self._note(code)
        self._fail_with_last_error()

    def _on_writable(self) -> None:
        sock = self._sock
        if self._is_over or sock is None:
            return
        self._dispatcher.remove_writer(sock.fileno())
        code = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        if code == 0 and _connected_to_itself(sock):
            code = errno.ECONNREFUSED
        if code == 0:
            self._succeed()
        else:
            self._note(code)
            self._connect_next()

    def _note(self, code: int) -> None:
        self._last_error = OSError(code, os.strerror(code))
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _on_deadline(self) -> None:
        if self._is_over:
            return
        self._drop_sock()
        doing = "connect" if self._phase is Phase.CONNECT else "resolve"
        self._fail(ErrorCode.ETIMEDOUT, f"Fail to {doing} {self._endpoint} within connect_timeout")

    def _succeed(self) -> None:
        sock, self._sock = self._sock, None
        self._end()
        if sock is not None:
            self._on_connected(sock)

    def _fail_with_last_error(self) -> None:
        error = self._last_error or OSError(errno.EADDRNOTAVAIL, "the name has no address")
        peer = str(self._endpoint)
        self._end()
        self._on_failed(
            from_os_error(error, f"Fail to connect {peer}", phase=Phase.CONNECT, peer=peer)
        )

    def _fail(self, code: int, text: str) -> None:
        self._end()
        peer = str(self._endpoint)
        self._on_failed(make_rpc_error(code, text, phase=self._phase, peer=peer))

    def _end(self) -> None:
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()

    def _drop_sock(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self._dispatcher.remove_writer(sock.fileno())
            sock.close()


def _connected_to_itself(sock: _socket.socket) -> bool:
    """A connect to a closed local port can meet itself when the kernel picks that very port."""
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:
        return True
