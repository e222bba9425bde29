"""pybrpc from threads, over other connections than the one of all calls."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pybrpc
from bench.peers.pybrpc_sync import EchoService, PybrpcClient, PybrpcSync
from bench.work import TIMEOUT_S


class PybrpcConnections(PybrpcSync):
    """A channel of that `connection_type`; the server is that of pybrpc."""

    def __init__(self, connection_type: Any) -> None:
        super().__init__(EchoService, PybrpcClient)
        self._connection_type = connection_type

    @contextlib.contextmanager
    def client(self, port: int) -> Iterator[PybrpcClient]:
        address = f"127.0.0.1:{port}"
        with pybrpc.Channel(
            address, timeout=TIMEOUT_S, connection_type=self._connection_type
        ) as channel:
            yield PybrpcClient(channel)


POOLED = PybrpcConnections("pooled")
AUTO = PybrpcConnections("auto")
