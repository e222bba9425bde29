"""A cluster of three hosts, one of which can't be reached for a while: packets vanish."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from pybrpc.errors import ErrorCode, RpcError
from pybrpc.transport.runtime import default_runtime
from soak.network.namespace import why_no_namespaces
from soak.network.star import Ray, star
from tests.fakes.threads import wait_until
from tests.peers.clusters import Load, Member, cluster_stub, wait_for_state
from tests.peers.far_echo import WATCHFUL
from tests.peers.programs import require_program

pytestmark = [pytest.mark.slow, pytest.mark.proof]


class FarMember(Member):
    """A server on another host."""

    def __init__(self, name: str, ray: Ray) -> None:
        self.wire = ray.wire
        with ray.host.entered():
            super().__init__(name, f"{ray.ip}:0", options=WATCHFUL)


@pytest.fixture
def members() -> Iterator[list[FarMember]]:
    """Three, on as many hosts; what this test makes is on a fourth one."""
    require_program("ip")
    if why_no_namespaces():
        pytest.skip(why_no_namespaces())
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(star(3))
        stack.enter_context(hosts.near.entered())
        _ = default_runtime().dispatcher
        made = []
        for number, ray in enumerate(hosts.rays):
            made.append(FarMember(f"server {number}", ray))
            stack.callback(made[-1].stop, grace=0.5)
        yield made


def wait_for_calls_to(member: Member, count: int) -> None:
    wanted = member.calls + count
    wait_until(lambda: member.calls >= wanted)


@pytest.mark.parametrize("directions", [{}, {"to_far": False}, {"to_near": False}])
@pytest.mark.parametrize("balancer", ["rr", "p2c_ewma:tau_ms=500"])
def test_calls_go_on_elsewhere_while_a_link_is_cut_and_come_back_with_it(
    members: list[FarMember], balancer: str, directions: dict[str, bool]
) -> None:
    lost, *others = members
    addresses = [member.address for member in members]
    options = {"load_balancer": balancer, "timeout": 0.5, "connect_timeout": 0.3}
    with (
        cluster_stub(addresses, options=WATCHFUL, **options) as (stub, channel),
        Load(stub) as load,
    ):
        for member in members:
            wait_for_calls_to(member, 20)
        assert load.errors == []
        lost.wire.cut(**directions)
        wait_for_state(channel, lost, "down")
        # A call that was under way may have its timeout before it.
        load.wait_for_calls(20)
        noticed = list(load.errors)
        for member in others:
            wait_for_calls_to(member, 200)
        assert load.errors == noticed
        lost.wire.mend()
        wait_for_calls_to(lost, 50)
        wait_for_state(channel, lost, "up")
        assert load.errors == noticed
    codes = {error.code for error in noticed if isinstance(error, RpcError)}
    assert len(codes) == len({type(error) for error in noticed})
    assert codes <= {int(ErrorCode.ERPCTIMEDOUT)}
