"""The switch: what calls see of it, and the current span."""

from __future__ import annotations

import pytest

from pybrpc.tracing import switch
from pybrpc.tracing.process_rpcz import Rpcz
from pybrpc.tracing.switch import current_span, set_current_span
from tests.fakes.spans import new_span, own_context


def test_off_no_call_wants_a_span_but_one_that_is_traced(rpcz: Rpcz) -> None:
    rpcz.enabled = False
    assert not own_context(switch.wants_client_span, 1.0)
    assert [switch.wants_server_span(1.0, traced) for traced in (False, True)] == [False, True]


def test_on_each_call_wants_a_span_until_the_bucket_is_empty(rpcz: Rpcz) -> None:
    switch.close_until(5.0, 3.0)
    assert [switch.wants_client_span(now) for now in (4.9, 5.0)] == [False, True]
    assert [switch.wants_server_span(now, False) for now in (4.9, 5.0)] == [False, True]
    assert [switch.wants_server_span(now, True) for now in (2.9, 3.0)] == [False, True]


def test_calls_within_a_span_want_one_whatever_the_switch(rpcz: Rpcz) -> None:
    rpcz.enabled = False

    def within() -> bool:
        set_current_span(new_span())
        return switch.wants_client_span(1.0)

    assert own_context(within)
    assert not switch.wants_client_span(1.0)


@pytest.mark.parametrize("enabled", [True, False])
def test_a_change_opens_the_bucket(rpcz: Rpcz, enabled: bool) -> None:
    switch.close_until(5.0, 5.0)
    rpcz.enabled = enabled
    assert switch.wants_server_span(1.0, False) is enabled
    assert switch.is_on() is enabled
    assert switch.follows_upstream()


def test_new_thing_in_the_context_of_a_span_is_not_part_of_it() -> None:
    def within() -> object:
        set_current_span(new_span())
        switch.leave_current_span()
        return current_span()

    assert own_context(within) is None


def test_current_span_is_that_of_the_context() -> None:
    span = new_span()

    def within() -> object:
        set_current_span(span)
        return current_span()

    assert own_context(within) is span
    assert current_span() is None
