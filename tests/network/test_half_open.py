"""Peers that vanish without a word are found by keepalive and TCP_USER_TIMEOUT.

With shorter times than the defaults: `python -m soak.network --half-open` takes those.
"""

from __future__ import annotations

import errno

import pytest

import pybrpc
from pybrpc.errors import ConnectionFailedError
from soak.network.half_open import LIMIT_S, find_half_open
from soak.network.namespace import why_no_namespaces
from tests.peers.callers import caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.far_echo import (
    CARELESS,
    HANG_S,
    SECURITIES,
    SLEEP,
    WATCHFUL,
    FarEcho,
    channel_options,
    socket_of,
    wait_until,
)

pytestmark = [pytest.mark.slow, pytest.mark.proof]


@pytest.mark.parametrize("form", ["blocking", "asyncio", "uvloop"])
def test_call_that_waits_for_a_peer_that_vanished(far: FarEcho, form: str) -> None:
    _, address = far.serve()
    with caller(form, address, **channel_options("plain", max_retry=0)) as client:
        assert client.call(echo_request("hello")).message == "hello"
        far.wire.cut(to_far=False)
        with pytest.raises(ConnectionFailedError) as caught:
            client.call(echo_request(SLEEP))
    assert caught.value.code == errno.ETIMEDOUT


def test_idle_connection_to_a_peer_that_vanished(far: FarEcho) -> None:
    """The one that is not watched still believes in its peer when the other one knows."""
    _, address = far.serve()
    with (
        pybrpc.Channel(address, **channel_options("plain")) as watchful,
        pybrpc.Channel(address, **channel_options("plain", options=CARELESS)) as careless,
    ):
        sockets = []
        for channel in (watchful, careless):
            controller = pybrpc.Controller()
            pybrpc.Stub(ECHO, channel).Echo(echo_request(), controller=controller)
            sockets.append(socket_of(controller))
        far.wire.cut()
        wait_until(lambda: sockets[0].is_failed)
        assert not sockets[1].is_failed
        assert sockets[0].error is not None
        assert sockets[0].error.code == errno.ETIMEDOUT


@pytest.mark.parametrize("security", SECURITIES)
def test_server_stops_in_its_grace_though_its_client_has_vanished(
    far: FarEcho, security: str
) -> None:
    """Also with an answer that nobody takes, and though it does not look after its connections."""
    server, address = far.serve(security, options=CARELESS)
    with pybrpc.Channel(address, **channel_options(security, options=CARELESS)) as channel:
        controller = pybrpc.Controller()
        controller.request_attachment = bytes(4_000_000)
        far.wire.cut_after(to_near=100_000)
        future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request(), controller=controller)
        wait_until(lambda: far.wire.counts()["cut"] > 0)
        server.stop(0.2)
        assert server.join(HANG_S)
        assert not future.done()
        future.cancel()


@pytest.mark.program("ip")
@pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces())
@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "TLS"])
def test_half_open_connection_is_detected_at_both_ends_in_every_state(with_tls: bool) -> None:
    found = find_half_open(WATCHFUL, with_tls)
    assert {(each.side, each.state) for each in found} == {
        ("client", "idle"), ("client", "asked"), ("client", "sending"),
        ("server", "idle"), ("server", "answering"),
    }  # fmt: skip
    assert all(each.seconds < LIMIT_S for each in found)
    assert {each.error for each in found if each.side == "client"} == {"ETIMEDOUT"}
