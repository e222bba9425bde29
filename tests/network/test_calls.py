"""Calls through a network that fails as networks do: TCP makes it good, and nobody sees it."""

from __future__ import annotations

import pytest

import pybrpc
from soak.network.link_faults import LinkFaults
from tests.peers.callers import caller
from tests.peers.echo import echo_request
from tests.peers.far_echo import SECURITIES, FarEcho, channel_options

pytestmark = [pytest.mark.slow, pytest.mark.proof]

BAD = LinkFaults(delay_s=0.002, jitter_s=0.002, loss=0.01, duplicate=0.1, reorder=0.1, corrupt=0.01)
STRUCK = ("lost", "duplicated", "reordered", "corrupted")
CARELESS_OF_TIME = pybrpc.SocketOptions(tcp_user_timeout_ms=60_000)
BODY = bytes(range(256)) * 400


@pytest.mark.parametrize("security", SECURITIES)
@pytest.mark.parametrize("form", ["blocking", "asyncio", "uvloop"])
def test_every_call_is_answered_and_run_once(far: FarEcho, form: str, security: str) -> None:
    _, address = far.serve(security)
    far.wire.fail(BAD)
    options = channel_options(security, max_retry=0, options=CARELESS_OF_TIME)
    with caller(form, address, **options) as client:
        for number in range(8):
            controller = pybrpc.Controller()
            controller.request_attachment = BODY
            response = client.call(echo_request(f"{number}"), controller=controller)
            assert response.message == f"{number}"
            assert bytes(controller.response_attachment) == BODY
    assert far.executed == {f"{number}": 1 for number in range(8)}
    assert all(far.wire.counts()[name] for name in STRUCK)
