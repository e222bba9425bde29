"""RecordingProxy: passes one TCP connection on to a server, and keeps the bytes of both sides."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import Self

from tests.peers.running_program import LIMIT_S


class RecordingProxy:
    """Listens on a free port of 127.0.0.1 while the `with` does, and serves one connection.

    One thread moves the bytes. What comes from one side is written to the other before anything
    else is read, so `turns` has an order that both sides have seen.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, name="recording-proxy")
        self._stop, self._stopped = socket.socketpair()
        self.port: int = self._listener.getsockname()[1]
        self.sent = {"client": bytearray(), "server": bytearray()}
        self.turns: list[tuple[str, int]] = []
        """The side, and how many bytes came from it before the other side's next ones."""

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed before anybody connected
            stack.enter_context(client)
            server = socket.create_connection(("127.0.0.1", self._server_port))
            stack.enter_context(server)
            for sock in client, server:
                sock.settimeout(LIMIT_S)
            selector = stack.enter_context(selectors.DefaultSelector())
            selector.register(client, selectors.EVENT_READ, ("client", server))
            selector.register(server, selectors.EVENT_READ, ("server", client))
            selector.register(self._stopped, selectors.EVENT_READ, None)
            # A side that has left may have done so with a reset.
            with contextlib.suppress(ConnectionError, TimeoutError):
                while self._pass_on(selector):
                    pass

    def _pass_on(self, selector: selectors.BaseSelector) -> bool:
        """Pass on what there is; False when both sides are done, or the proxy is closed."""
        for key, _ in selector.select():
            if key.data is None:
                return False
            side, other = key.data
            data = key.fileobj.recv(65_536)  # type: ignore[union-attr]
            if not data:
                selector.unregister(key.fileobj)
                with contextlib.suppress(OSError):  # the other side has left before
                    other.shutdown(socket.SHUT_WR)
                continue
            other.sendall(data)
            self._keep(side, data)
        return len(selector.get_map()) > 1

    def _keep(self, side: str, data: bytes) -> None:
        self.sent[side] += data
        before = 0
        if self.turns and self.turns[-1][0] == side:
            before = self.turns.pop()[1]
        self.turns.append((side, before + len(data)))

    def wait(self) -> None:
        """Wait until both sides have closed, so that all that they sent is kept."""
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive(), "the recorded connection does not end"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Close both connections, even while they are in use."""
        self._stop.close()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self._stopped.close()
