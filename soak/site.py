"""Site: a server, and the faulty proxies through which it is called."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE
from pybrpc.testing.faulty_proxy import FaultyProxy, RandomFaults
from soak.echo_services import AsyncEcho, PlainEcho
from soak.tls import PLAIN, TlsPair

FAULT_RATE = 0.6
PROXIES = 2
RETRIES = (0, 1, 3)


class Site:
    """One address to call; channels to it share a connection, for as long as that lives."""

    def __init__(self, proxy: FaultyProxy, tls: TlsPair) -> None:
        self.proxy = proxy
        self.is_tls = tls is not PLAIN
        self._tls = tls

    def drawn_channel_options(self, source: random.Random) -> dict[str, Any]:
        """How a channel to it shall behave; with few different ways of sharing connections."""
        return {
            "tls": self._tls.client,
            "max_retry": source.choice(RETRIES),
            "wait_for_ready": source.random() < 0.3,
            "backup_request_ms": source.choice((None, None, 5)),
            "connections": source.choice((1, 1, 2)),
        }

    def __repr__(self) -> str:
        return f"<Site {'TLS' if self.is_tls else 'plain'} {self.proxy!r}>"


@contextlib.contextmanager
def open_sites(seed: int, tls: TlsPair | None) -> Iterator[list[Site]]:
    """Two servers, plain and async handlers, or four with `tls`; two proxies before each."""
    sites: list[Site] = []
    with contextlib.ExitStack() as stack:
        for kind in (PLAIN, tls) if tls else (PLAIN,):
            for service in (PlainEcho(), AsyncEcho()):
                server = stack.enter_context(_server_of(service, kind))
                upstream = server.start("127.0.0.1:0")
                for _ in range(PROXIES):
                    plan = RandomFaults(seed=seed * 1000 + len(sites), rate=FAULT_RATE)
                    proxy = stack.enter_context(FaultyProxy(upstream, plan))
                    sites.append(Site(proxy, kind))
        yield sites


def faults_of(sites: list[Site]) -> Counter[str]:
    """How often each kind of fault has struck."""
    struck: Counter[str] = Counter()
    for site in sites:
        struck.update(site.proxy.statistics().faults)
    return struck


def _server_of(service: object, tls: TlsPair) -> pybrpc.Server:
    server = pybrpc.Server(tls=tls.server)
    server.add_service(SERVICE, service)
    return server
