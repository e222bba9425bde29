"""How one measurement is made: of an echo, of two servers in a row, of a process by itself."""

from __future__ import annotations

from bench.client_process import run_client_process
from bench.figures import Figures
from bench.peers import ENTRIES
from bench.peers.brpc_cpp import Server
from bench.peers.entry import Entry, Kind
from bench.site import Site
from bench.work import Window, Work


def missing(name: str) -> str:
    """Why the entry of that name can't take part, or ""."""
    return ENTRIES[name].missing()


def echo(site: Site, name: str, work: Work, window: Window) -> Figures:
    """A client, and a server that echoes."""
    entry = ENTRIES[name]
    server = site.server(entry.server or name)
    if entry.kind is not Kind.CPP:
        return call(entry, work, window, [server])
    figures: Figures = entry.load().run(work, window, server)
    return figures


def chain(site: Site, name: str, work: Work, window: Window) -> Figures:
    """A client, a server that calls another one, and that one, which echoes."""
    entry = ENTRIES[name]
    backend = site.server(entry.server or name)
    return call(entry, work, window, [site.server(name, backend), backend])


def call(entry: Entry, work: Work, window: Window, servers: list[Server]) -> Figures:
    """A client of the first of `servers`."""
    port = servers[0].port
    return run_client_process(
        "call", entry.name, work, window, port, servers, environment=entry.environment
    )


def flood(site: Site, name: str, work: Work, window: Window) -> Figures:
    """A process that writes to a peer of its own."""
    return run_client_process("flood", name, work, window)


def redis(site: Site, name: str, work: Work, window: Window) -> Figures:
    """A client of the redis-server."""
    return run_client_process("redis", name, work, window, site.redis_port())
