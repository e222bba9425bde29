"""EchoServer: a server that can be started again on the address that it had."""

from __future__ import annotations

import threading
from typing import Self

import pybrpc
from bench.echo_messages import SERVICE
from soak.accounts import Account, accounts_of, wait_settled
from soak.taken_port import retry_while_taken
from soak.tls import TlsPair

STOP_S = 20.0
"""A stop that takes longer is a defect."""


class EchoServer:
    """Runs from the moment it is made until `close`."""

    def __init__(self, service: object, tls: TlsPair, auth: pybrpc.Authenticator | None) -> None:
        self.auth = auth
        """The authenticator for clients; `None`: they need no credential."""
        self.tls = tls
        self._server = pybrpc.Server(tls=tls.server, auth=auth)
        self._server.add_service(SERVICE, service)
        self._lock = threading.Lock()
        self._is_closed = False
        self.endpoint = self._server.start("127.0.0.1:0")
        self.unsettled: list[str] = []
        """Counts of earlier starts that did not return to zero."""

    def restart(self, grace_s: float) -> None:
        """Stop and start it, one thread at a time. Does nothing once it is closed.

        TimeoutError if it does not stop, OSError if its port can't be had again.
        """
        with self._lock:
            if self._is_closed:
                return
            self._stop(grace_s)
            retry_while_taken(lambda: self._server.start(self.endpoint))

    def accounts(self) -> list[Account]:
        """Counts of the server now."""
        return accounts_of(self._server)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            self._stop(0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _stop(self, grace_s: float) -> None:
        self._server.stop(grace_s)
        if not self._server.join(grace_s + STOP_S):
            raise TimeoutError(f"{self._server!r} did not stop")
        self.unsettled += wait_settled(self.accounts)
