"""Admission: which limit refuses a request, in the order of bRPC, and what counts under it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pybrpc.errors import ErrorCode
from pybrpc.server.calls.admission import Admission
from pybrpc.server.calls.method_entry import MethodEntry
from pybrpc.server.calls.server_call import NO_ANSWER, ServerCall, new_server_call
from pybrpc.server.calls.service_registry import ServiceRegistry
from pybrpc.server.limiters.limiter import ConstantLimiter, Limiter
from tests.peers.raw_peer import SERVICE, request
from tests.peers.serving import EchoService

pytestmark = pytest.mark.python_only

METHOD = f"{SERVICE.full_name}.Echo"


def new_admission(max_concurrency: int = 0) -> tuple[Admission, ServiceRegistry]:
    registry = ServiceRegistry()
    registry.add(SERVICE, EchoService())
    return Admission(registry, limiter_of(max_concurrency)), registry


def limiter_of(max_concurrency: int) -> Limiter | None:
    return ConstantLimiter(max_concurrency) if max_concurrency else None


def admits(admission: Admission, entry: MethodEntry | None) -> bool:
    return admission.admits(entry, request(9), 0.0)


def new_call(registry: ServiceRegistry) -> ServerCall:
    return new_server_call(cast(Any, None), request(1), registry.entry_named(METHOD), 0.0)


def test_call_counts_from_its_admission_until_it_leaves() -> None:
    admission, registry = new_admission(max_concurrency=1)
    entry, call = registry.entry_named(METHOD), new_call(registry)
    assert admits(admission, entry)
    admission.enter(call)
    assert not admits(admission, entry)
    assert repr(admission) == "<Admission, 1 of 1 running>"
    assert admission.leave(call, 0.0)
    assert not admission.leave(call, 0.0)
    assert admits(admission, entry)


def test_limit_of_a_method_counts_its_own_calls() -> None:
    admission, registry = new_admission()
    entry, other = registry.entry_named(METHOD), registry.entry_named("EchoService.Stream")
    entry.limiter = ConstantLimiter(1)
    call = new_call(registry)
    admission.enter(call)
    assert not admits(admission, entry)
    assert admits(admission, other)
    assert admission.rejected == 0
    assert not admits(admission, entry)
    assert admission.blamed(entry) is entry
    rejection = admission.rejection(entry, request(2))
    assert (rejection.code, rejection.text) == (
        ErrorCode.ELIMIT,
        f"Rejected by {METHOD}'s ConcurrencyLimiter, concurrency=2",
    )
    assert admission.leave(call, 0.0)
    assert not entry.running


def test_call_that_entered_under_a_limit_leaves_though_the_limit_was_lifted() -> None:
    admission, registry = new_admission()
    entry = registry.entry_named(METHOD)
    entry.limiter = ConstantLimiter(1)
    call = new_call(registry)
    admission.enter(call)
    entry.limiter = None
    assert admission.leave(call, 0.0)
    assert not entry.running


@pytest.mark.parametrize("is_known", [True, False])
def test_reasons_come_in_the_order_of_brpc(is_known: bool) -> None:
    admission, registry = new_admission(max_concurrency=1)
    entry = registry.entry_named(METHOD)
    entry.limiter = ConstantLimiter(1)
    unwanted = request(2, "Echo" if is_known else "Unknown")
    call = new_call(registry)
    admission.enter(call)
    admission.is_stopping = True
    known = entry if is_known else None

    def code() -> int:
        assert not admission.admits(known, unwanted, 0.0)
        return admission.rejection(known, unwanted).code

    codes = [code()]
    assert repr(admission) == "<Admission, 1 of 1 running, stopping>"
    admission.is_stopping = False
    codes.append(code())
    assert admission.blamed(known) is None
    admission.limiter = None
    codes.append(code())
    assert (admission.rejected, entry.rejected) == (1, int(is_known))
    assert admission.blamed(known) is known
    last = ErrorCode.ELIMIT if is_known else ErrorCode.ENOMETHOD
    assert codes == [ErrorCode.ELOGOFF, ErrorCode.ELIMIT, last]


def test_request_for_an_unknown_method_is_not_admitted() -> None:
    admission, _ = new_admission()
    assert not admits(admission, None)


def test_unknown_method_that_has_only_an_index_is_named_by_it() -> None:
    admission, _ = new_admission()
    unknown = request(2, "", service="EchoService", method_index=10)
    rejection = admission.rejection(None, unknown)
    assert (rejection.code, rejection.text) == (
        ErrorCode.ENOMETHOD,
        "Fail to find method=10 of service=EchoService",
    )


def test_limit_of_the_generic_service_holds_for_all_its_methods_together() -> None:
    admission, registry = new_admission()
    registry.add_generic(print)
    entry = registry.entry_named("*")
    entry.limiter = ConstantLimiter(1)
    call = new_server_call(cast(Any, None), request(1, service="a.S"), entry, 0.0)
    admission.enter(call)
    assert not admits(admission, entry)
    rejection = admission.rejection(entry, request(2, service="b.S"))
    assert (rejection.code, rejection.text) == (
        ErrorCode.ELIMIT,
        "Rejected by *'s ConcurrencyLimiter, concurrency=2",
    )
    assert admission.leave(call, 0.0)
    assert admits(admission, entry)


class LearningLimiter(Limiter):
    """Notes how calls end; raises if it is told to."""

    def __init__(self, raises: bool = False) -> None:
        Limiter.__init__(self, "learning", True)
        self.ended: list[tuple[float, float, int, int]] = []
        self._raises = raises

    def on_end(self, now: float, latency_s: float, concurrency: int, error_code: int) -> None:
        self.ended.append((now, round(latency_s, 6), concurrency, error_code))
        if self._raises:
            raise MemoryError


def entered(admission: Admission, registry: ServiceRegistry, code: int = 0) -> ServerCall:
    call = new_call(registry)
    admission.enter(call)
    call.error_code = code
    return call


def test_both_limiters_hear_once_how_a_call_has_ended() -> None:
    of_server, of_method = LearningLimiter(), LearningLimiter()
    admission, registry = new_admission()
    calls = [entered(admission, registry)]
    admission.limiter, registry.entry_named(METHOD).limiter = of_server, of_method
    calls += [entered(admission, registry, code) for code in (0, 1008)]
    for call in calls:
        call.admitted_at = 5.0
        assert admission.leave(call, 7.5)
        assert not admission.leave(call, 7.5)
    # The first one had entered under no limit, but it ran.
    assert of_server.ended == [(7.5, 2.5, 2, 0), (7.5, 2.5, 3, 1008)]
    assert of_method.ended == [(7.5, 2.5, 1, 0), (7.5, 2.5, 2, 1008)]


def test_latency_is_counted_from_the_admission() -> None:
    limiter = LearningLimiter()
    admission, registry = new_admission()
    admission.limiter = limiter
    call = entered(admission, registry)
    assert call.received_at == 0.0
    assert admission.leave(call, call.admitted_at + 0.25)
    assert limiter.ended[0][1] == 0.25


def test_call_without_an_answer_says_nothing() -> None:
    limiter = LearningLimiter()
    admission, registry = new_admission()
    admission.limiter = limiter
    assert admission.leave(entered(admission, registry, NO_ANSWER), 1.0)
    assert limiter.ended == []


def test_limiter_that_was_taken_away_hears_nothing() -> None:
    first, second = LearningLimiter(), LearningLimiter()
    admission, registry = new_admission()
    admission.limiter = registry.entry_named(METHOD).limiter = first
    call = entered(admission, registry)
    admission.limiter = None
    registry.entry_named(METHOD).limiter = second
    assert admission.leave(call, 1.0)
    assert first.ended == []
    assert [concurrency for _, _, concurrency, _ in second.ended] == [1]


def test_limiter_that_raises_does_not_keep_the_call(caplog: pytest.LogCaptureFixture) -> None:
    admission, registry = new_admission()
    admission.limiter = LearningLimiter(raises=True)
    assert admission.leave(entered(admission, registry), 1.0)
    assert not admission.running
    assert "a limiter of <ServerCall" in caplog.text


@pytest.mark.parametrize(
    ("timeout_ms", "known"), [(None, 0), (0, 0), (-1, 0), (1, 1), ((1 << 31) - 1, (1 << 31) - 1)]
)
def test_timeout_of_a_request_is_handed_to_the_limiter(timeout_ms: int | None, known: int) -> None:
    asked: list[tuple[int, int, float]] = []

    class Asked(Limiter):
        def admits(self, concurrency: int, timeout_ms: int, now: float) -> bool:
            asked.append((concurrency, timeout_ms, now))
            return False

    admission, registry = new_admission()
    registry.entry_named(METHOD).limiter = Asked("asked", True)
    unwanted, entry = request(1, timeout_ms=timeout_ms), registry.entry_named(METHOD)
    assert not admission.admits(entry, unwanted, 3.0)
    assert asked == [(1, known, 3.0)]
    text = f"Rejected by {METHOD}'s ConcurrencyLimiter, concurrency=1, max_concurrency=0 (asked)"
    assert admission.rejection(entry, unwanted).text == text
