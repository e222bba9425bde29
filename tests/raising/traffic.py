"""Traffic: 1,000 calls in every form that are in flight while user code raises."""

from __future__ import annotations

import time

from tests.raising.entries import Entries
from tests.raising.site import HOLD, LIMIT_S, NEVER, Site

HALF = {
    "blocking": 10,
    "future": 150,
    "callback": 150,
    "asyncio": 80,
    "asyncio-shared": 40,
}
"""Calls of each form that begin before something is raised; as many begin after it."""

APART = 10
"""Calls over pooled connections, and over short ones: each waits on a connection of its own."""

REDIS = 50
UNHELD = 20
"""Calls to plain handlers, which are answered at once."""

TIMEOUT_S = 0.1
"""The timeout of calls that reach it."""


class Traffic:
    """The calls of one round. All but a few wait at the server until the gate is open."""

    def __init__(self, site: Site, entries: Entries) -> None:
        self._site = site
        self._entries = entries
        self._number = 0
        self._held = 0

    def begin_half(self) -> None:
        """Begin half of the calls: on the connection that is struck, and on another one."""
        site = self._site
        for form, count in HALF.items():
            stubs = (site.usual_stub_of(form), self._other_stub_of(form))
            for number in range(count):
                entry = self._entries.new(f"other call, {form}")
                site.begin(form, stubs[number % 2], self._next(HOLD), entry)
        for stub in (site.pooled, site.short):
            for _ in range(APART):
                entry = self._entries.new("other call, on a connection of its own")
                site.begin("future", stub, self._next(HOLD), entry)
        self._held += sum(HALF.values()) + 2 * APART
        for number in range(UNHELD):
            entry = self._entries.new("other call of a plain handler")
            stub = (site.stub, site.other)[number % 2]
            site.begin("future", stub, self._next("now"), entry, method="Stream")
        for _ in range(REDIS):
            site.begin_redis(self._next(HOLD), self._entries.new("other call of Redis"))

    def wait_held(self) -> None:
        """Return once the calls are at the server, or after `LIMIT_S`."""
        limit = time.monotonic() + LIMIT_S
        while self._site.gate.waiting < self._held and time.monotonic() < limit:
            time.sleep(0.001)

    def _other_stub_of(self, form: str) -> object:
        site = self._site
        return {"asyncio": site.aio_other, "asyncio-shared": site.shared_other}.get(
            form, site.other
        )

    def _next(self, verb: str) -> str:
        self._number += 1
        return f"{verb} {self._number}"


def begin_aftermath(site: Site, entries: Entries) -> None:
    """Begin calls in every form that are answered, and others that reach their deadlines."""
    for form in (*HALF,):
        stub = site.usual_stub_of(form)
        for method in ("Echo", "Stream"):
            entry = entries.new(f"later call of {method}, {form}")
            site.begin(form, stub, "later", entry, method=method)
        entry = entries.new(f"later deadline, {form}", "ERPCTIMEDOUT")
        site.begin(form, stub, NEVER, entry, timeout=TIMEOUT_S)
    site.begin_redis("later", entries.new("later call of Redis"))
