"""Policies of clients: retries, pauses, backup requests, credentials, health checks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pybrpc
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import ScriptedServer, ScriptedServerOn, reserved_port
from tests.raising.callback_hooks import BROKEN, close_at
from tests.raising.entries import Entry, wait_ended
from tests.raising.kinds import raise_kind, raiser
from tests.raising.site import FORMS, LIMIT_S
from tests.raising.strike import Strike, hook

QUICK = pybrpc.Backoff(first_s=0.01, factor=1, max_s=0.01, jitter=0)
DOWN = ("ECONNREFUSED", "EHOSTDOWN")


def with_method(base: type, name: str, kind: str) -> Any:
    """A subclass of `base` of which that method raises."""
    return type(f"Raising{base.__name__}", (base,), {"__slots__": (), name: raiser(kind)})


RETRY_POLICIES: dict[str, Callable[[str], pybrpc.RetryPolicy]] = {
    "retry judge": lambda kind: pybrpc.RetryPolicy(judge=raiser(kind)),
    "may_retry of a RetryPolicy": lambda kind: with_method(pybrpc.RetryPolicy, "may_retry", kind)(),
    "delay_s of a RetryPolicy": lambda kind: with_method(pybrpc.RetryPolicy, "delay_s", kind)(),
    "delay_s of the Backoff of a RetryPolicy": lambda kind: pybrpc.RetryPolicy(
        backoff=with_method(pybrpc.Backoff, "delay_s", kind)()
    ),
}


def strike_retries(strike: Strike, make: Callable[[str], pybrpc.RetryPolicy]) -> None:
    """Calls whose connection breaks, of which some must be judged and others not."""
    broken = threading.Event()
    address = strike.stack.enter_context(ScriptedServer(close_at(broken))).address
    for kind in strike.kinds:
        for form in FORMS:
            options: dict[str, Any] = {"max_retry": 1, "connection_group": kind}
            stub = strike.site.stub_of(form, address, retry_policy=make(kind), **options)
            strike.begin(form, stub, f"call that is not retried, {kind}", *BROKEN)
            options["max_retry"] = 0
            stub = strike.site.stub_of(form, address, **options)
            strike.begin(form, stub, "other call of the connection", *BROKEN)
    strike.later.append(broken.set)


for _name, _make in RETRY_POLICIES.items():
    hook(_name)(lambda strike, make=_make: strike_retries(strike, make))  # type: ignore[misc]


@hook("delay_s of the Backoff of an endpoint that is down")
def _(strike: Strike) -> None:
    address = strike.stack.enter_context(reserved_port())
    down: list[Entry] = []
    for kind in strike.kinds:
        backoff = with_method(pybrpc.Backoff, "delay_s", kind)()
        for form in FORMS:
            options = {"dial_backoff": backoff, "connection_group": f"{kind} {form}"}
            stub = strike.site.stub_of(form, address, max_retry=0, **options)
            down.append(strike.begin(form, stub, f"call while it is down, {kind}", *DOWN))
            stub = strike.site.stub_of(form, address, wait_for_ready=True, **options)
            strike.begin(form, stub, f"call that waits until it is up, {kind}")
    strike.later.append(lambda: serve_after(strike, down, address))


def serve_after(strike: Strike, down: list[Entry], address: str) -> None:
    """Listen at `address` once these calls have ended."""
    wait_ended(down, LIMIT_S)
    strike.stack.enter_context(ScriptedServerOn(address))


def strike_backups(strike: Strike, method: str) -> None:
    for kind in strike.kinds:
        policy = with_method(pybrpc.BackupRequestPolicy, method, kind)(0.01, max_ratio=1)
        for form in FORMS:
            stub = strike.site.stub_of(form, backup_request_policy=policy)
            strike.begin(form, stub, f"call with a policy, {kind}")


for _name in ("may_send", "note_call", "note_backup"):
    hook(f"{_name} of a BackupRequestPolicy")(
        lambda strike, method=_name: strike_backups(strike, method)  # type: ignore[misc]
    )


class RaisingAuthenticator:
    def __init__(self, kind: str) -> None:
        self._kind = kind

    def generate_credential(self) -> bytes:
        raise_kind(self._kind)


@hook("generate_credential of an Authenticator")
def _(strike: Strike) -> None:
    for kind in strike.kinds:
        auth: Any = RaisingAuthenticator(kind)
        for form in FORMS:
            stub = strike.site.stub_of(form, auth=auth)
            for _ in range(2):
                strike.begin(form, stub, f"call without a credential, {kind}", "ERPCAUTH")


@hook("is_healthy of a HealthCheck")
def _(strike: Strike) -> None:
    address = strike.stack.enter_context(reserved_port())
    down: list[Entry] = []
    for form in FORMS:
        left = iter(strike.kinds)

        def is_healthy(_: Any, left: Any = left) -> bool:
            kind = next(left, None)
            if kind is not None:
                raise_kind(kind)
            return True

        method = ECHO.methods_by_name["Echo"]
        check = pybrpc.HealthCheck(method, echo_request("healthy?"), 30.0, is_healthy)
        options = {"dial_backoff": QUICK, "health_check": check}
        stub = strike.site.stub_of(form, address, max_retry=0, **options)
        down.append(strike.begin(form, stub, "call while it is down", *DOWN))
        stub = strike.site.stub_of(form, address, wait_for_ready=True, **options)
        strike.begin(form, stub, "call that waits until it is healthy")
    strike.later.append(lambda: serve_after(strike, down, address))
