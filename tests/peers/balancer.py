"""Balancer: a TCP proxy in front of several servers, as load balancers are."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable

Work = Callable[..., None]


class Balancer:
    """Hands each connection to the next server that accepts it; closes it if none does.

    Two threads for each connection, which pass on what comes, and how it ends.
    """

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._turns = itertools.count()
        self._live: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._thread = threading.Thread(target=self._accept_all, name="balancer")

    def __enter__(self) -> Balancer:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for sock in list(self._live):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join()

    def _accept_all(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._forward, client)

    def _start(self, work: Work, *arguments: socket.socket) -> threading.Thread:
        thread = threading.Thread(target=self._run, args=(work, *arguments), name="balanced")
        self._threads.add(thread)
        thread.start()
        return thread

    def _run(self, work: Work, *arguments: socket.socket) -> None:
        try:
            work(*arguments)
        finally:
            self._threads.discard(threading.current_thread())

    def _forward(self, client: socket.socket) -> None:
        with client:
            server = self._connect()
            if server is None:
                return
            with server:
                both = {client, server}
                self._live |= both
                back = self._start(_pump, server, client)
                _pump(client, server)
                back.join()
                self._live -= both

    def _connect(self) -> socket.socket | None:
        first = next(self._turns) % len(self.addresses)
        for address in self.addresses[first:] + self.addresses[:first]:
            host, _, port = address.rpartition(":")
            with contextlib.suppress(OSError):
                return socket.create_connection((host, int(port)))
        return None


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # A server that closes its listener resets what it has not accepted.
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
