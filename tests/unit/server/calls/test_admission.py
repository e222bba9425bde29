"""Admission: which limit refuses a request, in the order of bRPC, and what counts under it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pybrpc.errors import ErrorCode
from pybrpc.server.calls.admission import Admission
from pybrpc.server.calls.server_call import ServerCall, new_server_call
from pybrpc.server.calls.service_registry import ServiceRegistry
from tests.peers.raw_peer import SERVICE, request
from tests.peers.serving import EchoService

pytestmark = pytest.mark.python_only

METHOD = f"{SERVICE.full_name}.Echo"


def new_admission(max_concurrency: int = 0) -> tuple[Admission, ServiceRegistry]:
    registry = ServiceRegistry()
    registry.add(SERVICE, EchoService())
    return Admission(registry, max_concurrency), registry


def new_call(registry: ServiceRegistry) -> ServerCall:
    return new_server_call(cast(Any, None), request(1), registry.entry_named(METHOD), 0.0)


def test_call_counts_from_its_admission_until_it_leaves() -> None:
    admission, registry = new_admission(max_concurrency=1)
    entry, call = registry.entry_named(METHOD), new_call(registry)
    assert admission.admits(entry)
    admission.enter(call)
    assert not admission.admits(entry)
    assert repr(admission) == "<Admission, 1 of 1 running>"
    assert admission.leave(call)
    assert not admission.leave(call)
    assert admission.admits(entry)


def test_limit_of_a_method_counts_its_own_calls() -> None:
    admission, registry = new_admission()
    entry, other = registry.entry_named(METHOD), registry.entry_named("EchoService.Stream")
    entry.max_concurrency = 1
    call = new_call(registry)
    admission.enter(call)
    assert not admission.admits(entry)
    assert admission.admits(other)
    rejection = admission.rejection(request(2))
    assert (rejection.code, rejection.text) == (
        ErrorCode.ELIMIT,
        f"Rejected by {METHOD}'s ConcurrencyLimiter, concurrency=2",
    )
    assert admission.leave(call)
    assert not entry.running


def test_call_that_entered_under_a_limit_leaves_though_the_limit_was_lifted() -> None:
    admission, registry = new_admission()
    entry = registry.entry_named(METHOD)
    entry.max_concurrency = 1
    call = new_call(registry)
    admission.enter(call)
    entry.max_concurrency = 0
    assert admission.leave(call)
    assert not entry.running


@pytest.mark.parametrize("is_known", [True, False])
def test_reasons_come_in_the_order_of_brpc(is_known: bool) -> None:
    admission, registry = new_admission(max_concurrency=1)
    entry = registry.entry_named(METHOD)
    entry.max_concurrency = 1
    unwanted = request(2, "Echo" if is_known else "Unknown")
    call = new_call(registry)
    admission.enter(call)
    admission.is_stopping = True
    codes = [admission.rejection(unwanted).code]
    assert repr(admission) == "<Admission, 1 of 1 running, stopping>"
    admission.is_stopping = False
    codes.append(admission.rejection(unwanted).code)
    admission.max_concurrency = 0
    codes.append(admission.rejection(unwanted).code)
    last = ErrorCode.ELIMIT if is_known else ErrorCode.ENOMETHOD
    assert codes == [ErrorCode.ELOGOFF, ErrorCode.ELIMIT, last]


def test_request_for_an_unknown_method_is_not_admitted() -> None:
    admission, _ = new_admission()
    assert not admission.admits(None)


def test_unknown_method_that_has_only_an_index_is_named_by_it() -> None:
    admission, _ = new_admission()
    unknown = request(2, "", service="EchoService", method_index=10)
    rejection = admission.rejection(unknown)
    assert (rejection.code, rejection.text) == (
        ErrorCode.ENOMETHOD,
        "Fail to find method=10 of service=EchoService",
    )


def test_limit_of_the_generic_service_holds_for_all_its_methods_together() -> None:
    admission, registry = new_admission()
    registry.add_generic(print)
    entry = registry.entry_named("*")
    entry.max_concurrency = 1
    call = new_server_call(cast(Any, None), request(1, service="a.S"), entry, 0.0)
    admission.enter(call)
    assert not admission.admits(entry)
    rejection = admission.rejection(request(2, service="b.S"))
    assert (rejection.code, rejection.text) == (
        ErrorCode.ELIMIT,
        "Rejected by *'s ConcurrencyLimiter, concurrency=2",
    )
    assert admission.leave(call)
    assert admission.admits(entry)
