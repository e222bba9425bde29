"""A retry judge that raises ends its call, whatever it raises."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pybrpc
from tests.cases.child import run_in_child
from tests.cases.peers import (
    LATE_S,
    Failed,
    close_after,
    in_thread,
    outcomes_by_key,
)
from tests.peers.callers import caller
from tests.peers.echo import echo_request
from tests.peers.scripted_server import ScriptedServer

KINDS: dict[str, type[BaseException]] = {
    kind.__name__: kind for kind in (Failed, asyncio.CancelledError, KeyboardInterrupt, SystemExit)
}
FORMS = ("blocking", "future", "callback", "asyncio")


def raiser(kind: type[BaseException]) -> Callable[[Any], bool]:
    def judge(error: Any) -> bool:
        raise kind("in a judge")

    return judge


def outcomes_with_judges_that_raise() -> dict[str, Counter[str]]:
    """The outcomes of calls whose connection is closed before they are answered."""
    futures: dict[str, Any] = {}
    with ScriptedServer(close_after(1)) as server:
        for form in FORMS:
            for name, kind in {"ValueError": ValueError, **KINDS}.items():
                policy = pybrpc.RetryPolicy(judge=raiser(kind))
                options = {"retry_policy": policy, "connection_group": f"{form} {name}"}
                call = partial(call_once, form, server.address, options)
                futures[f"{form} {name}"] = [in_thread(call)]
        return outcomes_by_key(futures, LATE_S)


def call_once(form: str, address: str, options: dict[str, Any]) -> Any:
    with caller(form, address, **options) as made:
        return made.call(echo_request())


def test_call_ends_when_the_retry_judge_raises_no_exception_class() -> None:
    found = run_in_child(outcomes_with_judges_that_raise)
    as_for_value_error = {
        f"{form} {name}": found[f"{form} ValueError"]
        for form in FORMS
        for name in ("ValueError", *KINDS)
    }
    assert found == as_for_value_error
    assert {form: found[f"{form} ValueError"] for form in FORMS} == {
        form: {"EEOF": 1} for form in FORMS
    }
