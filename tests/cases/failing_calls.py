"""Many calls that fail, of a connection that is reset or at an endpoint that is down."""

from __future__ import annotations

import threading
from typing import Any

from tests.cases.peers import PATIENT_S, echo_stub, waited_for
from tests.peers.echo import echo_request
from tests.peers.scripted_server import Peer, Script, ScriptedServer, closed_port

STEPS_OF_FAILURES = 20
"""In which a call of another connection is answered; mostly in two."""


def reset_when(event: threading.Event) -> Script:
    """A script for ScriptedServer: resets its connection at the event; reads nothing before."""

    def script(peer: Peer) -> None:
        event.wait(PATIENT_S)
        peer.reset()

    return script


def failures_before_a_call_of_another_connection_is_answered(calls: int) -> list[int]:
    """The call begins with the first failure of many; and how many failures there are at all."""
    reset, seen = threading.Event(), []
    failures = 0
    with ScriptedServer(reset_when(reset)) as server, ScriptedServer() as good:
        stub, other = (
            echo_stub(address, max_retry=0) for address in (server.address, good.address)
        )
        other.Echo(echo_request())

        def on_failure(*_: Any) -> None:
            nonlocal failures
            failures += 1
            if failures == 1:
                other.Echo.with_callback(echo_request(), lambda *_: seen.append(failures))

        for _ in range(calls):
            stub.Echo.with_callback(echo_request(), on_failure)
        reset.set()
        waited_for(lambda: failures == calls and bool(seen))
        return [*seen, failures]


def calls_begun_by_callbacks_at_an_endpoint_that_is_down(count: int) -> int:
    begun = 0
    with closed_port() as address:
        stub = echo_stub(address, max_retry=0)

        def call_again(*_: Any) -> None:
            nonlocal begun
            begun += 1
            if begun < count:
                stub.Echo.with_callback(echo_request(), call_again)

        call_again()
        waited_for(lambda: begun == count)
        return begun
