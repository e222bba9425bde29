"""User code of servers: handlers, what they return and leave behind, verifiers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import pybrpc
from tests.peers.echo import ECHO
from tests.protos import conformance_pb2 as pb
from tests.raising.entries import ANSWERED
from tests.raising.kinds import raise_kind, raiser
from tests.raising.site import LIMIT_S, EchoService
from tests.raising.strike import Strike, hook


def answers_to(kind: str) -> str:
    """The error that a caller gets when a handler has raised that kind."""
    return "E5001" if kind == "RpcError" else "EINTERNAL"


def strike_handlers(strike: Strike, stub: Any, **options: Any) -> None:
    """For each kind: a call whose handler raises, and one beside it."""
    for kind in strike.kinds:
        what = f"call whose handler raises, {kind}"
        strike.begin("future", stub, what, answers_to(kind), fail_text=kind, **options)
        strike.begin("callback", stub, "call beside it", **options)


@hook("plain handler")
def _(strike: Strike) -> None:
    strike_handlers(strike, strike.site.stub, method="Stream")


@hook("async handler that has not waited")
def _(strike: Strike) -> None:
    strike_handlers(strike, strike.site.stub, verb="now")


@hook("async handler that has waited")
def _(strike: Strike) -> None:
    strike_handlers(strike, strike.site.stub)


@hook("handlers of a server in a loop")
def _(strike: Strike) -> None:
    site = strike.site
    is_over = strike.stack.enter_context(contextlib.closing(LoopEvent(site.loop.loop)))
    addresses: list[str] = []
    started = threading.Event()

    async def serve() -> None:
        async with pybrpc.Server() as server:
            server.add_service(ECHO, EchoService(site))
            addresses.append(str(server.start("127.0.0.1:0")))
            started.set()
            await is_over.event.wait()

    site.loop.begin(serve)
    assert started.wait(LIMIT_S)
    stub = site.new_stub(addresses[0])
    strike_handlers(strike, stub)
    strike_handlers(strike, stub, verb="now")
    strike_handlers(strike, stub, method="Stream")


class LoopEvent:
    """An asyncio.Event that `close` sets from another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.event = asyncio.Event()
        self._loop = loop

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self.event.set)


class OddResponse:
    """No message, and everything that is looked up in it raises."""

    def __init__(self, kind: str) -> None:
        object.__setattr__(self, "kind", kind)

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return OddResponse
        raise_kind(object.__getattribute__(self, "kind"))


class OddEcho:
    """Handlers that return what can't be sent."""

    def Stream(self, request: Any, controller: pybrpc.Controller) -> Any:
        return OddResponse(request.fail_text) if request.fail_text else answer_to(request)

    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return self.Stream(request, controller)


def answer_to(request: Any) -> Any:
    return pb.EchoResponse(message=request.message)


def stub_of_service(strike: Strike, service: object, **options: Any) -> Any:
    server = strike.stack.enter_context(contextlib.closing(StoppedAtTheEnd(service, options)))
    return strike.site.new_stub(server.address)


class StoppedAtTheEnd:
    """A server with that service, for one round."""

    def __init__(self, service: object, options: dict[str, Any]) -> None:
        self.server = pybrpc.Server(**options)
        self.server.add_service(ECHO, service)
        self.address = str(self.server.start("127.0.0.1:0"))

    def close(self) -> None:
        self.server.stop(0)
        self.server.join(LIMIT_S)


@hook("response of a handler whose attributes raise")
def _(strike: Strike) -> None:
    stub = stub_of_service(strike, OddEcho())
    for method in ("Echo", "Stream"):
        for kind in strike.kinds:
            what = f"call with such a response of {method}, {kind}"
            strike.begin("future", stub, what, answers_to(kind), method=method, fail_text=kind)
            strike.begin("callback", stub, "call beside it", method=method)


class LoopHarmer(EchoService):
    """Its async handler leaves in its loop what raises."""

    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        if request.fail_text:
            loop = asyncio.get_running_loop()
            loop.call_soon(raiser(request.fail_text))
            self.task = asyncio.create_task(raise_later(request.fail_text))
            return answer_to(request)
        return await EchoService.Echo(self, request, controller)


async def raise_later(kind: str) -> None:
    await asyncio.sleep(0)
    raise_kind(kind)


@hook("function that a handler left in its loop")
def _(strike: Strike) -> None:
    stub = stub_of_service(strike, LoopHarmer(strike.site))
    for kind in strike.kinds:
        strike.begin("callback", stub, f"call that waits in that loop, {kind}")
        strike.begin("future", stub, f"call that leaves it, {kind}", fail_text=kind)
        strike.begin("callback", stub, f"call behind it, {kind}", verb="now")


class RaisesAtTheEnd(EchoService):
    """Its async handler raises something else when it is cancelled."""

    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        try:
            await asyncio.sleep(2 * LIMIT_S)
        finally:
            raise_kind(request.fail_text)


@hook("async handler that is cancelled when its server stops")
def _(strike: Strike) -> None:
    made = StoppedAtTheEnd(RaisesAtTheEnd(strike.site), {})
    stub = strike.site.new_stub(made.address, max_retry=0)
    for kind in strike.kinds:
        expected = ("EINTERNAL", "E5001", "ECANCELED", "EEOF", "ECONNRESET", "ELOGOFF")
        strike.begin("future", stub, f"call when it stops, {kind}", *expected, fail_text=kind)

    def stop() -> None:
        made.server.stop(0)
        entry = strike.entry("stop of the server")
        strike.site.blockers.do(lambda: entry.try_end(lambda: made.server.join(LIMIT_S / 2), True))

    strike.later.append(stop)


class RaisingVerifier:
    """The credential names what the verifier raises."""

    def __init__(self, kind: str = "") -> None:
        self._kind = kind

    def generate_credential(self) -> bytes:
        return self._kind.encode()

    def verify_credential(self, credential: bytes, client: object) -> None:
        if credential:
            raise_kind(credential.decode())


@hook("verify_credential of an Authenticator")
def _(strike: Strike) -> None:
    service = EchoService(strike.site)
    verifier: Any = RaisingVerifier()
    made = StoppedAtTheEnd(service, {"auth": verifier})
    strike.stack.callback(made.close)
    for kind in strike.kinds:
        auth: Any = RaisingVerifier(kind)
        stub = strike.site.new_stub(made.address, auth=auth)
        for form in ("blocking", "future"):
            what = f"call that is not believed, {kind}"
            strike.begin(form, stub, what, "ERPCAUTH", verb="now")
        stub = strike.site.new_stub(made.address, auth=verifier, connection_group=kind)
        strike.begin("callback", stub, "call that is believed", ANSWERED)
