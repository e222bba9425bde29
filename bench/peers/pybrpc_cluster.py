"""pybrpc that calls a hundred servers by one channel: all of them are one process, at a hundred
addresses of this host, so that only the client has more to do than with one address."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

import pybrpc
from bench.peers.pybrpc_aio import PybrpcAio, PybrpcAioClient
from bench.peers.pybrpc_sync import EchoService, PybrpcClient, PybrpcSync
from bench.work import TIMEOUT_S

SERVERS = 100
FIRST_CALLS = 5 * SERVERS
"""After so many calls there is a connection to nearly every server."""


def addresses(port: int) -> str:
    """Needs a system on which the whole of 127.0.0.0/8 is this host, as on Linux."""
    return "list://" + ",".join(f"127.1.0.{1 + n}:{port}" for n in range(SERVERS))


class Cluster(PybrpcSync):
    """`balancer` as in `load_balancer=`."""

    host = "0.0.0.0"

    def __init__(self, balancer: str) -> None:
        super().__init__(EchoService, PybrpcClient)
        self._balancer = balancer

    @contextlib.contextmanager
    def client(self, port: int) -> Iterator[PybrpcClient]:
        where = addresses(port)
        with pybrpc.Channel(where, timeout=TIMEOUT_S, load_balancer=self._balancer) as channel:
            client = PybrpcClient(channel)
            for _ in range(FIRST_CALLS):
                client.call(b"", 0)
            yield client


class AioCluster(PybrpcAio):
    """As Cluster, whose server it calls."""

    def __init__(self, balancer: str) -> None:
        self._balancer = balancer

    @contextlib.asynccontextmanager
    async def client(self, port: int) -> AsyncIterator[PybrpcAioClient]:
        where = addresses(port)
        made = pybrpc.aio.Channel(where, timeout=TIMEOUT_S, load_balancer=self._balancer)
        async with made as channel:
            client = PybrpcAioClient(channel)
            for _ in range(FIRST_CALLS):
                await client.call(b"", 0)
            yield client


RR = Cluster("rr")
P2C_EWMA = Cluster("p2c_ewma")
AIO_RR = AioCluster("rr")
AIO_P2C_EWMA = AioCluster("p2c_ewma")
