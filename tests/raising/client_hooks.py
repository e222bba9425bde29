"""User code of clients beside policies: message classes, attempt listeners; policies of Redis."""

from __future__ import annotations

import threading
from typing import Any

from pybrpc.client.calls.attempt_end import AttemptEnd
from pybrpc.redis import RedisChannel, RedisRequest
from pybrpc.rpc.body import MessageType
from pybrpc.rpc.method import Method, method_of
from tests.peers.echo import ECHO
from tests.peers.scripted_server import ScriptedServer
from tests.protos import conformance_pb2 as pb
from tests.raising.callback_hooks import BROKEN, close_at
from tests.raising.entries import name_of
from tests.raising.kinds import KINDS, raiser
from tests.raising.policy_hooks import RETRY_POLICIES
from tests.raising.site import FORMS, NEVER, PATIENT_S, THREAD_FORMS
from tests.raising.strike import Strike, hook
from tests.raising.traffic import TIMEOUT_S


def odd_method(kind: str) -> Method:
    """The method Echo, with a class of the response whose parsing raises."""
    odd: Any = type(
        "OddResponse", (), {"DESCRIPTOR": pb.EchoResponse.DESCRIPTOR, "FromString": raiser(kind)}
    )
    odd.SerializePartialToString = raiser(kind)
    echo = method_of(ECHO.methods_by_name["Echo"])
    return Method(echo.service_name, echo.name, echo.request_type, MessageType(odd))


@hook("parsing of a response")
def _(strike: Strike) -> None:
    stubs = {form: strike.site.stub_of(form) for form in FORMS}
    for kind in strike.kinds:
        for form, stub in stubs.items():
            stub.Odd = stub._channel.make_method(odd_method(kind))
            # A caller that blocks parses itself, and gets what no parser raises as it is.
            own = (name_of(KINDS[kind]()),) if form == "blocking" else ()
            what = f"call whose response can't be parsed, {kind}"
            strike.begin(form, stub, what, "ERESPONSE", *own, method="Odd")
            strike.begin(form, stub, "other call of the connection")


class Listeners:
    """Listeners to attempts that raise, and one after them, which counts."""

    def __init__(self, source: Any, kinds: list[str]) -> None:
        self.ends: list[AttemptEnd] = []
        for kind in kinds:
            source.add_attempt_listener(raiser(kind))
        source.add_attempt_listener(self.ends.append)


@hook("attempt listener")
def _(strike: Strike) -> None:
    site, broken = strike.site, threading.Event()
    breaking = strike.stack.enter_context(ScriptedServer(close_at(broken))).address

    def listen(form: str, stub: Any) -> None:
        if form in THREAD_FORMS:
            Listeners(stub._channel.source(), strike.kinds)
            return
        has_added = threading.Event()

        def add() -> None:
            Listeners(stub._channel.binding().source, strike.kinds)
            has_added.set()

        site.loop.do(add)
        assert has_added.wait(PATIENT_S)

    for form in FORMS:
        options: dict[str, Any] = {"connection_group": f"listened {form}", "max_retry": 0}
        stub, breaks = site.stub_of(form, **options), site.stub_of(form, breaking, **options)
        for each in (stub, breaks):
            listen(form, each)
        for _ in range(5):
            strike.begin(form, stub, "call whose attempt is listened to")
            strike.begin(form, breaks, "call whose connection breaks", *BROKEN)
            what = "call that reaches its deadline"
            strike.begin(form, stub, what, "ERPCTIMEDOUT", verb=NEVER, timeout=TIMEOUT_S)
    strike.later.append(broken.set)


@hook("attempt listener after others that raise")
def _(strike: Strike) -> None:
    stub = strike.site.new_stub(connection_group="counted")
    listeners = Listeners(stub._channel.source(), strike.kinds)
    calls = [strike.begin("future", stub, "call that is counted") for _ in range(20)]

    def compare() -> None:
        entry = strike.entry("count of the last listener")
        strike.site.blockers.do(lambda: entry.try_end(lambda: count(), len(calls)))

    def count() -> int:
        for call in calls:
            while not call.ends:
                threading.Event().wait(0.001)
        return len(listeners.ends)

    strike.later.append(compare)


@hook("RetryPolicy of a RedisChannel")
def _(strike: Strike) -> None:
    broken = threading.Event()
    address = strike.stack.enter_context(ScriptedServer(close_at(broken))).address
    for name, make in RETRY_POLICIES.items():
        for kind in strike.kinds:
            channel = strike.stack.enter_context(
                RedisChannel(
                    address,
                    timeout=PATIENT_S,
                    protocol=2,
                    max_retry=1,
                    retry_policy=make(kind),
                    connection_group=f"{name}, {kind}",
                )
            )
            entry = strike.entry(f"command that is not sent again, {name}, {kind}", *BROKEN)
            future = channel.future(RedisRequest().add("ECHO", "x"))
            future.add_done_callback(
                lambda done, entry=entry: entry.try_end(lambda: done.result(0), None)
            )
    strike.later.append(broken.set)
