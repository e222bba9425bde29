"""User code of the process: logging, destructors, signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pybrpc
from tests.peers.echo import echo_request
from tests.raising.callback_hooks import raising
from tests.raising.entries import ANSWERED, Entry, name_of
from tests.raising.kinds import KINDS, raise_kind, raiser
from tests.raising.server_hooks import answers_to
from tests.raising.site import PATIENT_S
from tests.raising.strike import Strike, hook

LOGGER = logging.getLogger("pybrpc")
LOGGERS = [
    LOGGER,
    *(logging.getLogger(f"pybrpc.{name}") for name in ("client", "server", "transport")),
]
"""A filter sees the records of its own logger only, a handler those of the loggers below too."""

STRUCK_S = 0.3
"""Within this time a signal handler has raised, unless its exception was lost in a destructor."""


class RaisingFilter(logging.Filter):
    """Raises all kinds, one after the other, and begins again."""

    def __init__(self, kinds: list[str]) -> None:
        super().__init__()
        self._kinds = itertools.cycle(kinds)

    def filter(self, record: logging.LogRecord) -> bool:
        raise_kind(next(self._kinds))


class RaisingHandler(logging.Handler):
    """Its `handle` raises all kinds, so that `logging` does not catch them."""

    def __init__(self, kinds: list[str]) -> None:
        super().__init__()
        self._kinds = itertools.cycle(kinds)

    def handle(self, record: logging.LogRecord) -> bool:
        raise_kind(next(self._kinds))


def have_all_logged(strike: Strike) -> None:
    """Make every part of the library log something, some of it as often as there are kinds."""
    site = strike.site
    for kind in strike.kinds:
        done = raising(strike.entry(f"callback that is logged, {kind}"), kind)
        site.stub.Echo.with_callback(echo_request(strike.message()), done)
        for verb, method in (("hold", "Echo"), ("now", "Echo"), ("now", "Stream")):
            what = f"call whose handler is logged, {kind}"
            options = {"verb": verb, "method": method, "fail_text": kind}
            strike.begin("future", site.stub, what, answers_to(kind), **options)
        host, port = site.address.split(":")
        with socket.create_connection((host, int(port))) as garbage:
            garbage.sendall(b"GET / HTTP/1.1\r\n\r\n")


@hook("filter of a logger")
def _(strike: Strike) -> None:
    added = RaisingFilter(strike.kinds)
    for logger in LOGGERS:
        logger.addFilter(added)
        strike.stack.callback(logger.removeFilter, added)
    have_all_logged(strike)


@hook("handler of a logger")
def _(strike: Strike) -> None:
    added = RaisingHandler(strike.kinds)
    LOGGER.addHandler(added)
    strike.stack.callback(LOGGER.removeHandler, added)
    have_all_logged(strike)


class Owner:
    """It is called as a callback; its destructor raises."""

    def __init__(self, kind: str, entry: Entry) -> None:
        self._kind = kind
        self._entry = entry

    def __call__(self, *_: Any) -> None:
        self._entry.end()

    def __del__(self) -> None:
        raise_kind(self._kind)


class OwnedController(pybrpc.Controller):
    """A controller with a destructor that raises."""

    kind = ""

    def __del__(self) -> None:
        raise_kind(self.kind)


@hook("destructor of an object of the user")
def _(strike: Strike) -> None:
    stub = strike.site.stub
    for kind in strike.kinds:
        owner = Owner(kind, strike.entry(f"callback with a destructor, {kind}"))
        stub.Echo.with_callback(echo_request(strike.message()), owner)
        owner = Owner(kind, strike.entry(f"done callback with a destructor, {kind}"))
        stub.Echo.future(echo_request(strike.message())).add_done_callback(owner)
        controller = OwnedController()
        controller.kind = kind
        what = f"call with an attachment whose release raises, {kind}"
        controller.request_attachment.append_user_data(b"x" * 5000, raiser(kind))
        strike.begin("future", stub, what, controller=controller)
        del owner, controller


# --- signal handlers, in the main thread ---


class RaisingSignal:
    """A signal handler of the main thread that raises, and a thread that sends the signal."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._thread = threading.main_thread().ident

    def handle(self, *_: Any) -> None:
        raise_kind(self._kind)

    def send_when(self, condition: Callable[[], bool], delay_s: float = 0.0) -> None:
        """Send it, in a thread of its own, once the condition holds and the delay is over."""
        threading.Thread(target=self._send, args=(condition, delay_s), daemon=True).start()

    def _send(self, condition: Callable[[], bool], delay_s: float) -> None:
        limit = time.monotonic() + PATIENT_S
        while not condition() and time.monotonic() < limit:
            time.sleep(0.001)
        time.sleep(delay_s)
        assert self._thread is not None
        signal.pthread_kill(self._thread, signal.SIGUSR1)


def in_main_thread(strike: Strike, job: Callable[[], None]) -> None:
    """Have the main thread do it, and wait until it has."""
    done = threading.Event()
    strike.site.main_jobs.put(lambda: (job(), done.set()))
    assert done.wait(PATIENT_S)


def signals_of(kinds: list[str]) -> Iterator[tuple[str, RaisingSignal]]:
    """In the main thread: for each kind a signal handler that raises it."""
    for kind in kinds:
        sent = RaisingSignal(kind)
        signal.signal(signal.SIGUSR1, sent.handle)
        yield kind, sent
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


@hook("signal handler during a blocking call")
def _(strike: Strike) -> None:
    site = strike.site

    def call_often() -> None:
        for kind, sent in signals_of(strike.kinds):
            entry = strike.entry(f"call of the main thread, {kind}", name_of(KINDS[kind]()))
            held = site.gate.waiting
            sent.send_when(lambda held=held: site.gate.waiting > held, 0.002)
            request = echo_request(strike.message())
            entry.try_end(lambda request=request: site.stub.Echo(request), None)

    in_main_thread(strike, call_often)


@hook("signal handler while calls begin")
def _(strike: Strike) -> None:
    site = strike.site
    stub = site.new_stub(connection_group="signals", max_retry=1000)

    def begin_until_struck(kind: str, sent: RaisingSignal) -> None:
        for form in ("blocking", "callback") * 3:
            strike.begin(form, stub, "other call of the connection", verb="now")
        sent.send_when(lambda: True, 0.001)
        limit = time.monotonic() + STRUCK_S
        while time.monotonic() < limit:
            # An exception of the kind that the library handles there may be handled there.
            entry = Entry("call that the main thread begins", (ANSWERED, name_of(KINDS[kind]())))
            request = echo_request(strike.message("now"))
            stub.Echo.with_callback(
                request, lambda response, error, entry=entry: entry.end(name_of_end(error))
            )
            strike.entries.add(entry)

    def begin_often() -> None:
        for kind, sent in signals_of(strike.kinds):
            try:
                begin_until_struck(kind, sent)
            except BaseException as error:
                if name_of(error) != name_of(KINDS[kind]()):
                    strike.entry("signal handler").end(f"{kind} came as {name_of(error)}")

    in_main_thread(strike, begin_often)


def name_of_end(error: BaseException | None) -> str:
    return ANSWERED if error is None else name_of(error)


@hook("signal handler in a loop")
def _(strike: Strike) -> None:
    site = strike.site

    def run_until_struck(loop: asyncio.AbstractEventLoop, kind: str, sent: RaisingSignal) -> None:
        stub = site.new_aio_stub()
        raised = {ANSWERED, name_of(KINDS[kind]())}

        async def call(entry: Entry) -> None:
            message = strike.message()
            try:
                got = (await stub.Echo(echo_request(message))).message
            except BaseException as error:
                entry.fail(error)
                raise
            entry.try_end(lambda: got, message)

        async def begin() -> list[asyncio.Task[None]]:
            what = f"call of a loop in the main thread, {kind}"
            return [loop.create_task(call(strike.entry(what, *raised))) for _ in range(4)]

        tasks = loop.run_until_complete(begin())
        held = site.gate.waiting
        sent.send_when(lambda: site.gate.waiting >= held + len(tasks), 0.002)
        loops.append((loop, tasks, stub))
        with contextlib.suppress(BaseException):
            loop.run_until_complete(asyncio.sleep(STRUCK_S))

    loops: list[tuple[asyncio.AbstractEventLoop, list[asyncio.Task[None]], Any]] = []

    def call_often() -> None:
        for kind, sent in signals_of(strike.kinds):
            run_until_struck(asyncio.new_event_loop(), kind, sent)

    def go_on() -> None:
        for loop, tasks, stub in loops:
            loop.run_until_complete(asyncio.wait(tasks, timeout=PATIENT_S))
            loop.run_until_complete(stub._channel.close())
            for task in tasks:
                task.cancelled() or task.exception()
            loop.close()

    in_main_thread(strike, call_often)
    strike.later.append(lambda: in_main_thread(strike, go_on))
