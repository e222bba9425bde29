"""User code of servers beside handlers: listeners to the ends of calls, functions for start and
end, signal handlers in the main thread, whose loop serves."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from typing import Any

import pybrpc
from tests.peers.echo import ECHO
from tests.raising.callback_hooks import BROKEN
from tests.raising.entries import ANSWERED, Entry, name_of, wait_ended
from tests.raising.kinds import KINDS, raise_kind, raiser
from tests.raising.process_hooks import STRUCK_S, in_main_thread, signals_of
from tests.raising.server_hooks import StoppedAtTheEnd, answers_to
from tests.raising.site import LIMIT_S, PATIENT_S, EchoService
from tests.raising.strike import Strike, hook


class RaisingListener:
    """A listener to the ends of calls, which raises all kinds, one after the other."""

    def __init__(self, kinds: list[str]) -> None:
        self._kinds = itertools.cycle(kinds)

    def on_call_end(self, call: object, latency_s: float) -> None:
        raise_kind(next(self._kinds))


class CountingListener:
    def __init__(self) -> None:
        self.count = 0

    def on_call_end(self, call: object, latency_s: float) -> None:
        self.count += 1


@hook("listener to the ends of a server's calls")
def _(strike: Strike) -> None:
    made = StoppedAtTheEnd(EchoService(strike.site), {})
    strike.stack.callback(made.close)
    counting, run = CountingListener(), made.server._run
    assert run is not None
    run.call_end.listeners = (RaisingListener(strike.kinds), counting)
    stub = strike.site.new_stub(made.address)
    calls: list[Entry] = []
    for kind in strike.kinds:
        for verb, method in (("hold", "Echo"), ("now", "Echo"), ("now", "Stream")):
            options = {"verb": verb, "method": method}
            calls.append(strike.begin("future", stub, "call", **options))
            what = "call whose handler raises"
            calls.append(
                strike.begin("callback", stub, what, answers_to(kind), fail_text=kind, **options)
            )

    def count() -> int:
        limit = time.monotonic() + LIMIT_S
        while counting.count < len(calls) and time.monotonic() < limit:
            time.sleep(0.001)
        return counting.count

    def compare() -> None:
        entry = strike.entry("count of the last listener")
        strike.site.blockers.do(lambda: entry.try_end(count, len(calls)))

    strike.later.append(compare)


def async_raiser(kind: str) -> Callable[[], Any]:
    async def function() -> None:
        await asyncio.sleep(0)
        raise_kind(kind)

    return function


MAKERS = {"plain": raiser, "async": async_raiser}


@hook("function of a server for its start")
def _(strike: Strike) -> None:
    for kind, (form, make) in itertools.product(strike.kinds, MAKERS.items()):
        server = pybrpc.Server()
        server.add_service(ECHO, EchoService(strike.site))
        server.on_startup(make(kind))
        # A coroutine can't raise StopIteration.
        expected = {name_of(KINDS[kind]()), *(["RuntimeError"] if form == "async" else [])}
        entry = strike.entry(f"start whose {form} function raises, {kind}", *expected)
        start = server.start
        strike.site.blockers.do(
            lambda entry=entry, start=start: entry.try_end(lambda: start("127.0.0.1:0"), None)
        )


@hook("function of a server for its stop, or its end")
def _(strike: Strike) -> None:
    for kind in strike.kinds:
        made = StoppedAtTheEnd(EchoService(strike.site), {})
        made.close()
        server = made.server
        entry = strike.entry(f"function behind those that raise, {kind}")
        server.on_shutdown(entry.end)
        for make in MAKERS.values():
            server.on_shutdown(make(kind))
            server.on_stopping(make(kind))
        server.on_stopping(strike.entry(f"function at the beginning of a stop, {kind}").end)
        address = str(server.start("127.0.0.1:0"))
        stub = strike.site.new_stub(address, max_retry=0)
        call = strike.begin("future", stub, "call of a server that stops", ANSWERED, verb="now")

        def stop(server: Any = server, kind: str = kind, call: Entry = call) -> None:
            # A request that it has not read yet when it stops has to be sent elsewhere.
            wait_ended([call], LIMIT_S)
            entry = strike.entry(f"stop whose functions raise, {kind}")

            def stop_and_join() -> Any:
                server.stop(LIMIT_S / 2)
                return server.join(LIMIT_S)

            strike.site.blockers.do(lambda: entry.try_end(stop_and_join, True))

        strike.later.append(stop)


@hook("signal handler in the loop of a server")
def _(strike: Strike) -> None:
    site = strike.site
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    server = pybrpc.Server()
    server.add_service(ECHO, EchoService(site))
    entries: list[Entry] = []

    async def start() -> str:
        await server.__aenter__()
        return str(server.start("127.0.0.1:0"))

    def serve_until_struck(stub: Any, kind: str, sent: Any) -> None:
        held = site.gate.waiting
        for verb in ("hold", "now"):
            for form in ("future", "callback"):
                # What is struck in the middle may break: its connection, or the call.
                what = f"call of a struck server, {kind}"
                expected = (ANSWERED, "EINTERNAL", "ECANCELED", *BROKEN)
                entries.append(strike.begin(form, stub, what, *expected, verb=verb))
        sent.send_when(lambda: site.gate.waiting >= held + 2, 0.002)
        with contextlib.suppress(BaseException):
            loop.run_until_complete(asyncio.sleep(STRUCK_S))

    def serve_often() -> None:
        address = loop.run_until_complete(start())
        for kind, sent in signals_of(strike.kinds):
            serve_until_struck(site.new_stub(address, max_retry=0), kind, sent)

    async def serve_to_the_end() -> None:
        limit = time.monotonic() + PATIENT_S
        while not all(entry.ends for entry in entries) and time.monotonic() < limit:
            await asyncio.sleep(0.001)
        server.stop(0)
        await server.wait_stopped()

    def go_on() -> None:
        loop.run_until_complete(serve_to_the_end())
        loop.close()

    in_main_thread(strike, serve_often)
    strike.later.append(lambda: in_main_thread(strike, go_on))
