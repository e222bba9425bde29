"""A thread that calls: blocking, by futures and by callbacks, and cancels some."""

from __future__ import annotations

import concurrent.futures
import random
import threading
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE
from soak.echo_call import EchoCall, drawn_call
from soak.ledger import Ledger, Ticket
from soak.on_purpose import CALLBACK_KINDS, Kind, drawn_kind, raise_if
from soak.site import Site

TIMEOUTS_S = (0.02, 0.2, 1.0, 3.0)
CALLS_PER_CHANNEL = 60
BURST = 12
HANG_S = 20.0
"""A call that does not complete within this time is given up, and counts as lost."""


class ThreadLoad:
    """Opens channels to random sites, calls over them, closes them, until it is told to stop."""

    def __init__(self, sites: list[Site], ledger: Ledger, seed: str, stop: threading.Event) -> None:
        self._sites = sites
        self._ledger = ledger
        self._source = random.Random(seed)
        self._stop = stop

    def run(self) -> None:
        source = self._source
        while not self._stop.is_set():
            site = source.choice(self._sites)
            auth = site.drawn_identity(source)
            options = site.drawn_channel_options(source)
            with pybrpc.Channel(site.proxy.address, auth=auth, **options) as channel:
                self._call_over(channel, auth.user if auth else "")

    def _call_over(self, channel: pybrpc.Channel, user: str) -> None:
        source = self._source
        echo = pybrpc.Stub(SERVICE, channel).Echo
        for _ in range(source.randint(1, CALLS_PER_CHANNEL)):
            if self._stop.is_set():
                return
            form = source.choice([self._block, self._block, self._futures, self._callbacks])
            form(echo, user)

    def _block(self, echo: Any, user: str) -> None:
        call, ticket = drawn_call(self._source, user), self._ledger.start()
        timeout_s = self._source.choice(TIMEOUTS_S)
        try:
            response = echo(call.request, timeout=timeout_s, controller=call.controller)
        except Exception as error:
            ticket.failed(error)
        else:
            ticket.answered(call.complaint(response))

    def _futures(self, echo: Any, user: str) -> None:
        futures = []
        for _ in range(self._source.randint(1, BURST)):
            call, ticket = drawn_call(self._source, user), self._ledger.start()
            timeout_s = self._source.choice(TIMEOUTS_S)
            future = echo.future(call.request, timeout=timeout_s, controller=call.controller)
            kind = drawn_kind(self._source, CALLBACK_KINDS)
            future.add_done_callback(_enter_future(call, ticket, kind))
            futures.append(future)
        for future in futures:
            if self._source.random() < 0.1:
                future.cancel()
        concurrent.futures.wait(futures, HANG_S)

    def _callbacks(self, echo: Any, user: str) -> None:
        count = self._source.randint(1, BURST)
        told = threading.Semaphore(0)
        for _ in range(count):
            call, ticket = drawn_call(self._source, user), self._ledger.start()
            timeout_s = self._source.choice(TIMEOUTS_S)
            kind = drawn_kind(self._source, CALLBACK_KINDS)
            done = _enter_outcome(call, ticket, told, kind)
            echo.with_callback(call.request, done, timeout=timeout_s, controller=call.controller)
        for _ in range(count):
            if not told.acquire(timeout=HANG_S):
                return


def _enter_future(call: EchoCall, ticket: Ticket, kind: Kind | None) -> Any:
    """A done callback, which raises `kind` at last."""

    def enter(future: concurrent.futures.Future[Any]) -> None:
        try:
            ticket.answered(call.complaint(future.result(0)))
        except (Exception, concurrent.futures.CancelledError) as error:
            ticket.failed(error)
        raise_if(kind)

    return enter


def _enter_outcome(
    call: EchoCall, ticket: Ticket, told: threading.Semaphore, kind: Kind | None
) -> Any:
    """A callback, which raises `kind` at last."""

    def enter(response: Any, error: Exception | None) -> None:
        if error is not None:
            ticket.failed(error)
        else:
            ticket.answered(call.complaint(response))
        told.release()
        raise_if(kind)

    return enter
