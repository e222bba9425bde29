"""A callback that raises concerns nobody else: every other call completes once and in time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from typing import Any

from tests.cases.child import run_in_child
from tests.cases.peers import (
    LATE_S,
    Failed,
    answer_in_batches,
    close_after,
    echo_stub,
    in_thread,
    outcomes_by_key,
    outcomes_of,
)
from tests.peers.echo import echo_request
from tests.peers.scripted_server import ScriptedServer, never_answer

KINDS: dict[str, type[BaseException]] = {
    kind.__name__: kind for kind in (Failed, asyncio.CancelledError, GeneratorExit)
}
FORMS = ("future", "callback")
OTHERS = 20
BLOCKING = 3
TIMEOUT_S = 0.3


def call_and_raise(stub: Any, form: str, kind: str) -> None:
    """Begin a call whose callback raises."""

    def callback(*_: object) -> None:
        raise KINDS[kind]("in a callback")

    if form == "future":
        stub.Echo.future(echo_request("raises")).add_done_callback(callback)
    else:
        stub.Echo.with_callback(echo_request("raises"), callback)


def begin_futures(stub: Any, count: int) -> list[Any]:
    return [stub.Echo.future(echo_request()) for _ in range(count)]


def outcomes_beside_a_raising_callback() -> dict[str, Counter[str]]:
    futures = {}
    with contextlib.ExitStack() as stack:
        for form, kind in itertools.product(FORMS, KINDS):
            server = stack.enter_context(ScriptedServer(answer_in_batches(OTHERS + 1)))
            stub = echo_stub(server.address)
            call_and_raise(stub, form, kind)
            futures[f"{form} {kind}"] = begin_futures(stub, OTHERS)
        return outcomes_by_key(futures, LATE_S)


def test_answers_of_one_read_reach_their_calls_when_one_callback_raises() -> None:
    found = run_in_child(outcomes_beside_a_raising_callback)
    keys = [f"{form} {kind}" for form, kind in itertools.product(FORMS, KINDS)]
    assert found == {key: {"answered": OTHERS} for key in keys}


def outcomes_beside_callbacks_that_raise_at_their_deadlines() -> Counter[str]:
    with ScriptedServer(never_answer) as server:
        stub = echo_stub(server.address, timeout=TIMEOUT_S)
        futures = []
        for kind in KINDS:
            call_and_raise(stub, "future", kind)
            futures += begin_futures(stub, OTHERS)
        found = outcomes_of(futures, TIMEOUT_S + LATE_S)
        if "never ended" not in found:
            found.update(outcomes_of(begin_futures(stub, 1), TIMEOUT_S + LATE_S))
        return found


def test_deadlines_of_one_length_hold_when_a_callback_raises_at_such_a_deadline() -> None:
    found = run_in_child(outcomes_beside_callbacks_that_raise_at_their_deadlines)
    assert found == {"ERPCTIMEDOUT": OTHERS * len(KINDS) + 1}


def outcomes_when_the_connection_of_a_raising_callback_breaks() -> dict[str, Counter[str]]:
    futures = {}
    with contextlib.ExitStack() as stack:
        for kind in KINDS:
            server = stack.enter_context(ScriptedServer(close_after(1 + BLOCKING)))
            stub = echo_stub(server.address, timeout=1, max_retry=0)
            call_and_raise(stub, "callback", kind)
            futures[kind] = [
                in_thread(lambda s=stub: s.Echo(echo_request())) for _ in range(BLOCKING)
            ]
        return outcomes_by_key(futures, 1 + LATE_S)


def test_blocking_calls_end_when_a_callback_of_their_broken_connection_raises() -> None:
    found = run_in_child(outcomes_when_the_connection_of_a_raising_callback_breaks)
    assert found == {key: {"EEOF": BLOCKING} for key in KINDS}
