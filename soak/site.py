"""Site: a server, and the faulty proxies through which it is called."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pybrpc.testing.faulty_proxy import FaultyProxy, RandomFaults
from soak.echo_server import EchoServer
from soak.echo_services import AsyncEcho, PlainEcho
from soak.identity import USERS, Identity
from soak.streams.book import StreamBook
from soak.streams.service import StreamHandlers
from soak.tls import PLAIN, TlsPair

FAULT_RATE = 0.4
PROXIES = 2
RETRIES = (0, 1, 3)
CONNECTIONS: tuple[dict[str, Any], ...] = (
    {"connections": 1},
    {"connections": 1},
    {"connections": 1},
    {"connections": 2},
    {"connection_type": "pooled", "max_pool_size": 4},
    {"connection_type": "short"},
)


class Site:
    """One address to call; channels to it share a connection, for as long as that lives."""

    def __init__(self, proxy: FaultyProxy, server: EchoServer) -> None:
        self.proxy = proxy
        self.server = server

    def drawn_identity(self, source: random.Random) -> Identity | None:
        """As whom to call it; `None` if it does not want to know."""
        return None if self.server.auth is None else source.choice(USERS)

    def drawn_channel_options(self, source: random.Random) -> dict[str, Any]:
        """How a channel to it shall behave; with few different ways of sharing connections."""
        return {
            **source.choice(CONNECTIONS),
            "tls": self.server.tls.client,
            "max_retry": source.choice(RETRIES),
            "wait_for_ready": source.random() < 0.3,
            "backup_request_ms": source.choice((None, None, 5)),
        }

    def __repr__(self) -> str:
        is_tls = self.server.tls is not PLAIN
        return f"<Site {'TLS' if is_tls else 'plain'} {self.proxy!r}>"


@contextlib.contextmanager
def open_sites(seed: int, tls: TlsPair | None, book: StreamBook) -> Iterator[list[Site]]:
    """Two servers, or four with `tls`; two proxies before each.

    One has plain handlers, one has async handlers and wants credentials.
    """
    sites: list[Site] = []
    with contextlib.ExitStack() as stack:
        for kind in (PLAIN, tls) if tls else (PLAIN,):
            plain = PlainEcho.with_streams(StreamHandlers(book, is_async=False))
            asynchronous = AsyncEcho.with_streams(StreamHandlers(book, is_async=True))
            for service, auth in ((plain, None), (asynchronous, USERS[0])):
                server = stack.enter_context(EchoServer(service, kind, auth))
                for _ in range(PROXIES):
                    plan = RandomFaults(seed=seed * 1000 + len(sites), rate=FAULT_RATE)
                    proxy = stack.enter_context(FaultyProxy(server.endpoint, plan))
                    sites.append(Site(proxy, server))
        yield sites


def faults_of(sites: list[Site]) -> Counter[str]:
    """How often each kind of fault has struck."""
    struck: Counter[str] = Counter()
    for site in sites:
        struck.update(site.proxy.statistics().faults)
    return struck
