"""Times of a server while peers cost it TLS work: handshakes or uploads at once, KeyUpdates."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.times.connections import OTHERS_MS
from bench.times.found import Found
from bench.times.site import LIMIT_S, Site, tell


def struck_server(site: Site, deed: str, count: int, where: str = "threads") -> Iterator[Found]:
    server = site.module("tls_server", where)
    port = server.read_line(LIMIT_S)
    attacker = site.module("tls_attacker", deed, port, count)
    attacker.read_line(LIMIT_S)
    with site.probe(f"127.0.0.1:{port}") as probe:
        time.sleep(0.2)
        probe.begin()
        time.sleep(0.3)
        yield Found(f"calls_before_{deed}", probe.longest_ms)
        probe.begin()
        started_at = time.monotonic()
        tell(attacker, "begin")
        yield Found(f"calls_during_{deed}", probe.longest_ms, OTHERS_MS)
        yield Found(f"end_of_{deed}", (time.monotonic() - started_at) * 1000)


def handshakes(site: Site, count: int) -> Iterator[Found]:
    """`count` TLS handshakes begin at once."""
    return struck_server(site, "handshakes", count)


def uploads_to_a_loop(site: Site, count: int) -> Iterator[Found]:
    """`count` TLS connections send a long request at once to a server in an asyncio loop."""
    return struck_server(site, "uploads", count, "loop")


def key_updates(site: Site, count: int) -> Iterator[Found]:
    """One peer sends `count` KeyUpdate messages at once, with a byte of a request now and then."""
    return struck_server(site, "key_updates", count)
