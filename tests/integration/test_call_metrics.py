"""A call counts once on each side, in every form of calling, however often it was sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import pybrpc
from pybrpc.client.calls.address_variables import ADDRESSES
from pybrpc.errors import ErrorCode, RpcError
from pybrpc.metrics import expose, list_exposed, take_snapshot
from tests.fakes.metrics import SteppedSampler, counts, number, own_variables
from tests.peers.callers import FORMS, caller
from tests.peers.echo import echo_request
from tests.peers.scripted_server import Peer, ScriptedServer, echo, never_answer
from tests.peers.serving import make_server, start


@pytest.fixture(autouse=True)
def sampler() -> Iterator[SteppedSampler]:
    with own_variables() as sampler:
        ADDRESSES.start_anew()
        yield sampler
        ADDRESSES.start_anew()


def name_of(address: str) -> str:
    return "rpc_channel_" + address.replace(".", "_").replace(":", "_")


@pytest.mark.parametrize("form", FORMS)
def test_calls_count_on_both_sides(form: str, sampler: SteppedSampler) -> None:
    with make_server() as server, caller(form, str(start(server))) as client:
        client.call_many([echo_request() for _ in range(5)])
        name = name_of(str(server.endpoint))
        assert number(f"{name}_count") == 5
        assert number("rpc_channel_connection_count") >= 1
        assert number("rpc_socket_count") >= 2
        sampler.pass_seconds()
        assert number(f"{name}_qps") == 5
        assert number(f"{name}_latency") > 0
        assert counts("client") == counts("server") == {"OK": 5}
        assert f"{name}_error_total 0" in expose(take_snapshot()).body
    sampler.pass_seconds()
    assert [each for each in list_exposed() if each.startswith(name)] == []
    assert counts("client") == {"OK": 5}


@pytest.mark.parametrize("form", FORMS)
def test_call_that_is_retried_counts_once(form: str) -> None:
    def broken(peer: Peer) -> None:
        peer.expect_request()
        peer.reset()

    policy = pybrpc.RetryPolicy(may_have_run=True)
    with ScriptedServer(broken, broken, echo) as server:
        with caller(form, server.address, retry_policy=policy, timeout=10) as client:
            controller = pybrpc.Controller()
            client.call(echo_request(), controller=controller)
        assert controller.retried_count == 2
    assert counts("client") == {"OK": 1}
    assert number(f"{name_of(server.address)}_error") == 0


@pytest.mark.parametrize("form", FORMS)
def test_call_that_fails_is_an_error_of_its_code(form: str) -> None:
    with ScriptedServer(never_answer) as server:
        with caller(form, server.address) as client, pytest.raises(RpcError):
            client.call(echo_request(), timeout=0.05)
    name = name_of(server.address)
    assert (number(f"{name}_count"), number(f"{name}_error")) == (0, 1)
    assert counts("client") == {ErrorCode.ERPCTIMEDOUT.name: 1}
