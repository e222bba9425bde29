"""A cluster that comes back. bRPC's own test of it is in test_brpc_load_balancer.py."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pybrpc.client.cluster.balancing.registry import KINDS, new_load_balancer
from pybrpc.errors import ErrorCode, RpcError
from tests.fakes.clusters import begin, end, new_servers


def recovering(spec: str, count: int = 10) -> Any:
    servers = new_servers(count, "1")
    text = f"{spec}:min_working_instances=5 hold_seconds=2"
    return new_load_balancer(text, random.Random(1)).new_picker(servers)


def accepted(picker: Any, now: float, count: int = 400) -> float:
    """The part of the picks that was not rejected."""
    found = 0
    for key in range(count):
        try:
            found += picker.pick((), key, now) is not None
        except RpcError as error:
            if error.code != ErrorCode.EREJECT:
                raise
    return found / count


def fail_all(picker: Any, now: float) -> None:
    for server in picker.servers:
        server.is_usable = False
    assert picker.pick((), 1, now) is None


@pytest.mark.parametrize("spec", [name for name in KINDS if name != "maglev"])
def test_first_servers_that_come_back_get_a_part_of_the_calls(spec: str) -> None:
    picker = recovering(spec)
    fail_all(picker, 1.0)
    assert accepted(picker, 1.0, 20) == 0
    picker.servers[0].is_usable = True
    assert accepted(picker, 1.1) == pytest.approx(0.2, abs=0.07)
    for server in picker.servers[:3]:
        server.is_usable = True
    assert accepted(picker, 1.2) == pytest.approx(0.6, abs=0.08)


def test_all_calls_are_sent_when_as_many_servers_are_back_as_are_needed() -> None:
    picker = recovering("rr")
    fail_all(picker, 1.0)
    for server in picker.servers[:5]:
        server.is_usable = True
    assert accepted(picker, 1.1) == 1.0


def test_recovery_ends_when_the_number_of_usable_servers_has_not_changed_for_a_while() -> None:
    picker = recovering("rr")
    fail_all(picker, 1.0)
    picker.servers[0].is_usable = True
    assert accepted(picker, 2.0) < 0.5
    picker.servers[1].is_usable = True
    assert accepted(picker, 3.5) < 0.6
    assert accepted(picker, 5.4) < 0.6
    assert accepted(picker, 5.6) == 1.0
    picker.servers[0].is_usable = picker.servers[1].is_usable = False
    fail_all(picker, 9.0)
    assert accepted(picker, 20.0) == 0


def test_recovery_does_not_end_while_no_server_is_usable() -> None:
    picker = recovering("rr")
    fail_all(picker, 1.0)
    assert accepted(picker, 100.0, 20) == 0
    picker.servers[0].is_usable = True
    assert accepted(picker, 101.0) < 0.5


def test_empty_list_begins_no_recovery() -> None:
    balancer = new_load_balancer("rr:min_working_instances=5 hold_seconds=2")
    assert balancer.new_picker([]).pick((), None, 1.0) is None
    (server,) = new_servers(1)
    assert balancer.new_picker([server]).pick((), None, 1.1) is server


def test_recovery_goes_on_with_the_next_list() -> None:
    servers = new_servers(10)
    balancer = new_load_balancer("rr:min_working_instances=5 hold_seconds=2", random.Random(1))
    fail_all(balancer.new_picker(servers), 1.0)
    servers[0].is_usable = True
    assert accepted(balancer.new_picker(servers), 1.1) < 0.5


def test_attempts_reach_the_balancer() -> None:
    picker = recovering("p2c_ewma", 1)
    begin(picker, picker.servers[0], 1.0)
    end(picker, picker.servers[0], 1.0, 1.25)
    assert picker.servers[0].load.average_s == pytest.approx(0.25)
