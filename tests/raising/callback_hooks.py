"""Callbacks: of calls that are answered, fail, reach their deadlines, are cancelled; of loops."""

from __future__ import annotations

import contextlib
import threading
from asyncio import CancelledError
from collections.abc import Callable
from typing import Any

from pybrpc.redis import RedisRequest
from tests.peers.echo import echo_request
from tests.peers.scripted_server import Peer, ScriptedServer, reserved_port
from tests.raising.entries import ANSWERED, Entry, name_of
from tests.raising.kinds import raise_kind
from tests.raising.site import FORMS, HOLD, NEVER, THREAD_FORMS
from tests.raising.strike import Strike, hook
from tests.raising.traffic import TIMEOUT_S

BROKEN = ("EEOF", "ECONNRESET", "EPIPE")
"""The outcomes of calls whose connection the peer has closed."""

BYSTANDERS = 4
"""Calls of each form on a connection that is made for the struck calls."""


def raising(entry: Entry, kind: str) -> Callable[..., Any]:
    """A callback that ends `entry` with the outcome that it is given, and raises."""

    def callback(*ended: Any) -> None:
        entry.end(outcome_of(*ended))
        raise_kind(kind)

    return callback


def outcome_of(*ended: Any) -> str:
    """The outcome of a call, from the arguments of its callback, or of its done callback."""
    *_, last = ended
    if hasattr(last, "cancelled"):
        last = CancelledError() if last.cancelled() else last.exception()
    return ANSWERED if last is None else name_of(last)


def close_at(event: threading.Event) -> Callable[[Peer], None]:
    """A script for ScriptedServer: reads, and closes the connection at the event."""

    def script(peer: Peer) -> None:
        peer.sock.settimeout(0.01)
        while not event.is_set():
            with contextlib.suppress(TimeoutError, ConnectionError):
                if not peer.sock.recv(1 << 18):
                    return

    return script


def begin_callbacks(
    strike: Strike, stub: Any, *expected: str, verb: str = HOLD, **options: Any
) -> None:
    """Begin calls in the forms that have callbacks, each of which raises."""
    for kind in strike.kinds:
        done = raising(strike.entry(f"callback, {kind}", *expected), kind)
        stub.Echo.with_callback(echo_request(strike.message(verb)), done, **options)
        future = stub.Echo.future(echo_request(strike.message(verb)), **options)
        add_two_callbacks(strike, future, kind, *expected)


def add_two_callbacks(strike: Strike, future: Any, kind: str, *expected: str) -> None:
    """Add a done callback that raises, and one after it."""
    # The callback of a future that is done already is called here, and raises here.
    with contextlib.suppress(BaseException):
        future.add_done_callback(raising(strike.entry(f"done callback, {kind}", *expected), kind))
    second = strike.entry(f"second done callback, {kind}", *expected)
    future.add_done_callback(lambda done: second.end(outcome_of(done)))


@hook("callback of a call that is answered")
def _(strike: Strike) -> None:
    begin_callbacks(strike, strike.site.stub)


@hook("callback of a call that reaches its deadline")
def _(strike: Strike) -> None:
    stub = strike.site.stub
    begin_callbacks(strike, stub, "ERPCTIMEDOUT", verb=NEVER, timeout=TIMEOUT_S)
    for form in FORMS:
        stub = strike.site.usual_stub_of(form)
        what = "deadline of another call"
        strike.begin(form, stub, what, "ERPCTIMEDOUT", verb=NEVER, timeout=TIMEOUT_S)


@hook("callback of a call that is cancelled")
def _(strike: Strike) -> None:
    for kind in strike.kinds:
        future = strike.site.stub.Echo.future(echo_request(strike.message(NEVER)))
        add_two_callbacks(strike, future, kind, "CancelledError")
        entry = strike.entry(f"cancel(), {kind}")
        strike.site.blockers.do(lambda f=future, e=entry: e.try_end(f.cancel, True))


@hook("callback of a call whose connection breaks")
def _(strike: Strike) -> None:
    broken = threading.Event()
    address = strike.stack.enter_context(ScriptedServer(close_at(broken))).address
    stub = strike.site.new_stub(address, max_retry=0)

    def begin_others() -> None:
        for form in THREAD_FORMS * BYSTANDERS:
            strike.begin(form, stub, "other call of the broken connection", *BROKEN)

    begin_others()
    begin_callbacks(strike, stub, *BROKEN)
    begin_others()
    strike.later.append(broken.set)


@hook("callback of a call to an endpoint that refuses")
def _(strike: Strike) -> None:
    address = strike.stack.enter_context(reserved_port())
    options: dict[str, Any] = {"max_retry": 0, "dial_backoff": None}
    begin_callbacks(strike, strike.site.new_stub(address, **options), "ECONNREFUSED")
    for form in FORMS:
        stub = strike.site.stub_of(form, address, **options)
        strike.begin(form, stub, "other call that is refused", "ECONNREFUSED")


@hook("callback that calls, and then raises")
def _(strike: Strike) -> None:
    site = strike.site

    def call_and_raise(kind: str, entry: Entry) -> Callable[..., Any]:
        def done(*_: Any) -> None:
            site.begin("callback", site.stub, "inner", entry)
            raise_kind(kind)

        return done

    for kind in strike.kinds:
        entry = strike.entry(f"call in a callback that raises, {kind}")
        done = call_and_raise(kind, entry)
        site.stub.Echo.with_callback(echo_request(strike.message()), done)


@hook("callback of a Redis call")
def _(strike: Strike) -> None:
    redis = strike.site.redis
    for kind in strike.kinds:
        request = RedisRequest().add("ECHO", strike.message())
        redis.with_callback(request, raising(strike.entry(f"callback, {kind}"), kind))
        request = RedisRequest().add("ECHO", strike.message())
        add_two_callbacks(strike, redis.future(request), kind)


@hook("done callback in a loop")
def _(strike: Strike) -> None:
    site = strike.site

    def begin(stub: Any, kind: str) -> None:
        add_two_callbacks(strike, stub.Echo(echo_request(strike.message())), kind)

        async def call() -> Any:
            return await stub.Echo(echo_request(strike.message()))

        add_two_callbacks(strike, site.loop.loop.create_task(call()), kind)

    for kind in strike.kinds:
        for stub in (site.aio_stub, site.shared_stub):
            site.loop.do(lambda stub=stub, kind=kind: begin(stub, kind))


@hook("exception handler of a loop")
def _(strike: Strike) -> None:
    site, loop = strike.site, strike.site.loop.loop
    kinds = iter(strike.kinds)

    def handle(*_: Any) -> None:
        kind = next(kinds, None)
        if kind is not None:
            raise_kind(kind)

    def begin(stub: Any) -> None:
        loop.set_exception_handler(handle)
        add_two_callbacks(strike, stub.Echo(echo_request(strike.message())), "ValueError")

    for _ in strike.kinds:
        for stub in (site.aio_stub, site.shared_stub):
            site.loop.do(lambda stub=stub: begin(stub))
    strike.stack.callback(site.loop.do, lambda: loop.set_exception_handler(lambda *_: None))
