"""User code of streams: their functions and bodies, in threads and in loops, on both sides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pybrpc
from tests.peers.echo import echo_request
from tests.raising.entries import ANSWERED, Entry, name_of
from tests.raising.kinds import raise_kind
from tests.raising.server_hooks import answer_to, stub_of_service
from tests.raising.site import LIMIT_S, EchoService
from tests.raising.strike import Strike, hook

METHODS = {"Stream": "threads", "Echo": "a loop"}
"""Those of EchoService: Stream is a plain handler, Echo an async one."""

Accept = Callable[[pybrpc.Controller, str, bool, Entry], object]
"""Accepts a stream whose user code raises that kind; in a loop if that is true. The entry is for
its end on the server."""


class Streams(EchoService):
    """Accepts a stream for a request that has a `fail_text`."""

    def __init__(self, strike: Strike, accept: Accept, *ends: str) -> None:
        super().__init__(strike.site)
        self._accept = accept
        self._entries = {
            # Made now, so that the round waits for them.
            (kind, is_async): strike.entry(f"end on the server, async={is_async}, {kind}", *ends)
            for kind in strike.kinds
            for is_async in (False, True)
        }

    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        if request.fail_text:
            return self._answer(request, controller, True)
        return await EchoService.Echo(self, request, controller)

    def Stream(self, request: Any, controller: pybrpc.Controller) -> Any:
        return self._answer(request, controller, False) if request.fail_text else answer_to(request)

    def _answer(self, request: Any, controller: pybrpc.Controller, is_async: bool) -> Any:
        kind = request.fail_text
        self._accept(controller, kind, is_async, self._entries[kind, is_async])
        return answer_to(request)


def function(is_async: bool, kind: str, entry: Entry | None = None) -> Callable[..., Any]:
    """A function that ends `entry`, once, and raises."""

    def raising(*_: Any) -> None:
        if entry is not None and not entry.ends:
            entry.end()
        raise_kind(kind)

    async def raising_in_loop(*_: Any) -> None:
        raising()

    return raising_in_loop if is_async else raising


def begin_streams(
    strike: Strike, accept: Accept, *expected: str, what: str, ends: str = ANSWERED
) -> None:
    """For each kind: a stream whose user code on the server raises, and calls beside it. The client
    closes the stream, or waits for its end if an end is `expected`."""
    stub = stub_of_service(strike, Streams(strike, accept, ends))
    for method, where in METHODS.items():
        for kind in strike.kinds:
            entry = strike.entry(f"stream whose {what} raises in {where}, {kind}", *expected)
            request = echo_request(strike.message(), fail_text=kind)
            call = getattr(stub, method).stream(request, timeout=LIMIT_S)
            begin_stream(strike, call, entry, waits=bool(expected))
            for form in ("future", "callback"):
                strike.begin(form, stub, f"call beside a stream, {kind}")


def begin_stream(strike: Strike, call: Any, entry: Entry, waits: bool) -> None:
    """Open a stream and send a message, in a thread. The stream, and `entry`, end."""

    def use() -> None:
        with call:
            call.stream.send(b"x", timeout=LIMIT_S)
            failure = call.stream.wait_closed(LIMIT_S) if waits else None
            if failure is not None:
                raise failure

    strike.site.blockers.do(lambda: entry.try_end(use, None))


async def ignore_in_loop(*_: Any) -> None:
    pass


@hook("on_messages of a stream")
def _(strike: Strike) -> None:
    def accept(controller: pybrpc.Controller, kind: str, is_async: bool, entry: Entry) -> None:
        options = pybrpc.StreamOptions(
            on_messages=function(is_async, kind),
            on_closed=lambda _, error: entry.end(ANSWERED if error is None else name_of(error)),
        )
        controller.accept_stream(options)

    begin_streams(strike, accept, "ECONNRESET", what="on_messages", ends="ECONNRESET")


@hook("on_closed of a stream")
def _(strike: Strike) -> None:
    def accept(controller: pybrpc.Controller, kind: str, is_async: bool, entry: Entry) -> None:
        options = pybrpc.StreamOptions(
            on_messages=ignore_in_loop if is_async else lambda *_: None,
            on_closed=function(is_async, kind, entry),
        )
        controller.accept_stream(options)

    begin_streams(strike, accept, what="on_closed")


@hook("on_idle_timeout of a stream")
def _(strike: Strike) -> None:
    def accept(controller: pybrpc.Controller, kind: str, is_async: bool, entry: Entry) -> None:
        options = pybrpc.StreamOptions(
            on_messages=lambda *_: None,
            on_idle_timeout=function(is_async, kind, entry),
            idle_timeout=0.01,
            lifetime=1.0,
        )
        controller.accept_stream(options)

    begin_streams(strike, accept, "ECONNRESET", what="on_idle_timeout")


@hook("body of a stream")
def _(strike: Strike) -> None:
    def accept(controller: pybrpc.Controller, kind: str, is_async: bool, entry: Entry) -> None:
        controller.accept_stream(body=function(is_async, kind, entry))

    begin_streams(strike, accept, "ECONNRESET", what="body")


@hook("on_messages and on_closed of a stream of a client")
def _(strike: Strike) -> None:
    def talk(stream: Any) -> None:
        stream.send(b"x")
        stream.wait_closed(LIMIT_S)

    class Talking(EchoService):
        def Stream(self, request: Any, controller: pybrpc.Controller) -> Any:
            if request.fail_text:
                controller.accept_stream(body=talk)
            return answer_to(request)

    stub = stub_of_service(strike, Talking(strike.site))
    for kind in strike.kinds:
        entry = strike.entry(f"stream of a client whose functions raise, {kind}", "ECONNRESET")
        closed = strike.entry(f"on_closed of a client, {kind}")
        options = pybrpc.StreamOptions(
            on_messages=function(False, kind), on_closed=function(False, kind, closed)
        )
        request = echo_request(strike.message(), fail_text=kind)
        call = stub.Stream.stream(request, options=options, timeout=LIMIT_S)
        begin_stream(strike, call, entry, waits=True)
        strike.begin("future", stub, f"call beside a stream of a client, {kind}")
