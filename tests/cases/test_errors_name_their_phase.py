"""Errors name what failed: the phase in which a call ended, and the cause of a failed connect."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import RpcError
from tests.cases.child import run_in_child
from tests.cases.peers import PATIENT_S, echo_stub, outcome_of
from tests.peers.callers import caller
from tests.peers.echo import echo_request
from tests.peers.scripted_server import ScriptedServer, never_answer

FORMS = ("blocking", "future", "asyncio")


@pytest.fixture
def slow_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A host name that is looked up until the end of the test."""
    real, over = socket.getaddrinfo, threading.Event()

    def look_up(host: str, *rest: Any, **options: Any) -> Any:
        if host == "slow.example":
            over.wait(PATIENT_S)
            host = "127.0.0.1"
        return real(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield "slow.example"
    over.set()


def error_of_a_call(form: str, address: str, **options: Any) -> RpcError:
    with caller(form, address, timeout=0.3, **options) as made:
        with pytest.raises(RpcError) as caught:
            made.call(echo_request())
    return caught.value


@pytest.mark.parametrize("form", FORMS)
def test_call_that_waits_for_the_resolver_names_it(form: str, slow_resolver: str) -> None:
    error = error_of_a_call(form, f"{slow_resolver}:80")
    assert (error.name, error.phase) == ("ERPCTIMEDOUT", "resolve")
    assert "resolv" in error.text


@pytest.mark.parametrize("form", FORMS)
def test_call_that_waits_for_the_tls_handshake_names_it(form: str) -> None:
    with ScriptedServer(never_answer) as server:
        error = error_of_a_call(form, server.address, tls=pybrpc.ClientTls(verify=False))
        assert (error.name, error.phase) == ("ERPCTIMEDOUT", "handshake")
        assert "handshak" in error.text.lower() or "tls" in error.text.lower()


def errors_when_a_look_up_raises_no_os_error() -> dict[str, str]:
    """As without the codec "idna", which a frozen program may lack."""

    def look_up(*_: Any, **__: Any) -> Any:
        raise LookupError("unknown encoding: idna")

    socket.getaddrinfo = look_up
    errors = {}
    for form in FORMS:
        with caller(form, "some.example:80", timeout=1, max_retry=0) as made:
            try:
                made.call(echo_request())
            except RpcError as error:
                errors[form] = str(error)
    return errors


def test_look_up_that_raises_no_os_error_fails_the_call_with_its_cause() -> None:
    errors = run_in_child(errors_when_a_look_up_raises_no_os_error)
    assert set(errors) == set(FORMS)
    assert all("unknown encoding: idna" in error for error in errors.values()), errors


def outcome_of_a_call_without_poll() -> str:
    del select.poll
    with ScriptedServer() as server:
        return outcome_of(lambda: echo_stub(server.address, timeout=3).Echo(echo_request()))


def test_call_works_without_select_poll_as_with_eventlet() -> None:
    assert run_in_child(outcome_of_a_call_without_poll) == "answered"
