"""A link that is cut: while connecting, in a handshake, in a message; and that comes back."""

from __future__ import annotations

import errno
import time

import pytest

import pybrpc
from pybrpc.errors import ConnectError, ConnectionFailedError, ErrorCode, HandshakeError, Phase
from soak.network.two_hosts import FAR_IP, NEAR_IP, OTHER_FAR_IP
from tests.peers.callers import caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.far_echo import SECURITIES, FarEcho, channel_options, socket_of, wait_until
from tests.protos import conformance_pb2 as pb

pytestmark = [pytest.mark.slow, pytest.mark.proof]

HANG_S = 60.0
OTHER_NEAR_IP = "10.9.0.9"
BIG = bytes(4_000_000)


def call(
    channel: pybrpc.Channel, attachment: bytes = b""
) -> tuple[pb.EchoResponse, pybrpc.Controller]:
    controller = pybrpc.Controller()
    controller.request_attachment = attachment
    response = pybrpc.Stub(ECHO, channel).Echo(echo_request("hello"), controller=controller)
    return response, controller


@pytest.mark.parametrize("form", ["blocking", "asyncio", "uvloop"])
def test_connecting_into_nothing(far: FarEcho, form: str) -> None:
    _, address = far.serve()
    far.wire.cut()
    options = channel_options("plain", connect_timeout=0.2, max_retry=0)
    with caller(form, address, **options) as client:
        with pytest.raises(ConnectError) as caught:
            client.call(echo_request())
        assert (caught.value.code, caught.value.phase) == (ErrorCode.ETIMEDOUT, Phase.CONNECT)


@pytest.mark.parametrize("security", SECURITIES)
def test_call_that_waits_for_the_link_to_come_back(far: FarEcho, security: str) -> None:
    _, address = far.serve(security)
    far.wire.cut()
    options = channel_options(security, connect_timeout=0.2, wait_for_ready=True)
    with pybrpc.Channel(address, **options) as channel:
        future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request("hello"))
        time.sleep(0.5)
        assert not future.done()
        far.wire.mend()
        assert future.result(HANG_S).message == "hello"


@pytest.mark.parametrize("direction", ["to_far", "to_near"])
def test_cut_in_the_tls_handshake(far: FarEcho, direction: str) -> None:
    """The hello of either side does not arrive, or not all of it."""
    server, address = far.serve("tls")
    far.wire.cut_after(**{direction: 100})
    options = channel_options("tls", connect_timeout=0.5, max_retry=0)
    with pybrpc.Channel(address, **options) as channel:
        with pytest.raises(HandshakeError) as caught:
            call(channel)
        assert (caught.value.code, caught.value.phase) == (ErrorCode.ETIMEDOUT, Phase.HANDSHAKE)
    wait_until(lambda: server.statistics().connections == 0)


@pytest.mark.parametrize(
    ("form", "security"), [("blocking", "plain"), ("asyncio", "tls"), ("uvloop", "plain")]
)
def test_cut_in_a_big_request(far: FarEcho, form: str, security: str) -> None:
    """Both sides find out, one of them first, which resets; nothing of what was torn is run."""
    server, address = far.serve(security)
    with caller(form, address, **channel_options(security, max_retry=0)) as client:
        client.call(echo_request("first"))
        far.wire.cut_after(to_far=100_000)
        controller = pybrpc.Controller()
        controller.request_attachment = BIG
        with pytest.raises(ConnectionFailedError) as caught:
            client.call(echo_request("torn"), controller=controller)
        assert caught.value.code in (ErrorCode.ETIMEDOUT, ErrorCode.ECONNRESET)
        assert caught.value.phase in (Phase.SENT, Phase.WAITING)
        wait_until(lambda: server.statistics().connections == 0)
    assert far.executed == {"first": 1}


@pytest.mark.parametrize("security", SECURITIES)
def test_cut_in_a_big_answer(far: FarEcho, security: str) -> None:
    """The call ran; with max_retry=0 it does not run again, and the caller gets an error."""
    server, address = far.serve(security)
    with pybrpc.Channel(address, **channel_options(security, max_retry=0)) as channel:
        call(channel)
        far.wire.cut_after(to_near=100_000)
        with pytest.raises(ConnectionFailedError) as caught:
            call(channel, BIG)
        assert (caught.value.code, caught.value.phase) == (ErrorCode.ETIMEDOUT, Phase.WAITING)
        wait_until(lambda: server.statistics().connections == 0)
    assert far.executed == {"hello": 2}


@pytest.mark.parametrize("security", SECURITIES)
def test_link_that_comes_back_in_time(far: FarEcho, security: str) -> None:
    """The connection lives on: nothing is sent again but by TCP."""
    _, address = far.serve(security)
    with pybrpc.Channel(address, **channel_options(security)) as channel:
        _, first = call(channel)
        far.wire.cut()
        future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request("meanwhile"))
        time.sleep(0.5)
        far.wire.mend()
        assert future.result(HANG_S).message == "meanwhile"
        _, last = call(channel)
    assert (last.local_side, last.retried_count) == (first.local_side, 0)
    assert far.executed == {"hello": 2, "meanwhile": 1}


@pytest.mark.parametrize("security", SECURITIES)
def test_link_that_comes_back_too_late(far: FarEcho, security: str) -> None:
    server, address = far.serve(security)
    with pybrpc.Channel(address, **channel_options(security, wait_for_ready=True)) as channel:
        _, first = call(channel)
        socket = socket_of(first)
        far.wire.cut()
        wait_until(lambda: server.statistics().connections == 0)
        wait_until(lambda: socket.is_failed)
        far.wire.mend()
        response, last = call(channel)
    assert response.message == "hello"
    assert last.local_side != first.local_side


def test_call_is_sent_again_after_the_own_interface_was_off(far: FarEcho) -> None:
    """The connection ends with what this machine knows, ENETUNREACH, in place of ETIMEDOUT."""
    _, address = far.serve()
    pause = pybrpc.RetryPolicy(backoff=pybrpc.Backoff(first_s=0.3, max_s=0.3))
    options = channel_options("plain", retry_policy=pause, max_retry=100, wait_for_ready=True)
    with pybrpc.Channel(address, **options) as channel:
        socket = socket_of(call(channel)[1])
        far.wire.cut()
        controller = pybrpc.Controller()
        again = pybrpc.Stub(ECHO, channel).Echo.future(echo_request("again"), controller=controller)
        # Linux learns that there is no way when it sends again what had been on its way.
        wait_until(lambda: far.wire.counts()["cut"] > 0)
        far.hosts.near.switch_off()
        wait_until(lambda: socket.is_failed)
        assert socket.error is not None
        assert socket.error.code == errno.ENETUNREACH
        far.wire.mend()
        far.hosts.near.switch_on()
        assert again.result(HANG_S).message == "again"
    assert controller.retried_count > 0
    assert far.executed["again"] == 1


def test_peer_whose_address_changes(far: FarEcho) -> None:
    """Connections to the old one are found dead; both addresses can be called, each in its time."""
    server, address = far.serve(ip="0.0.0.0")
    port = address.rpartition(":")[2]
    quick = channel_options("plain", connect_timeout=0.3, max_retry=0)
    old, new = (f"{ip}:{port}" for ip in (FAR_IP, OTHER_FAR_IP))
    with pybrpc.Channel(old, **quick) as to_old, pybrpc.Channel(new, **quick) as to_new:
        call(to_old)
        far.hosts.far.remove_address(FAR_IP)
        far.hosts.far.add_address(OTHER_FAR_IP)
        with pytest.raises(ConnectionFailedError):
            call(to_old)
        assert call(to_new)[0].message == "hello"
        wait_until(lambda: server.statistics().connections == 1)


def test_own_address_that_changes(far: FarEcho) -> None:
    """A connection can't go on from another address; the next one begins there."""
    server, address = far.serve()
    with pybrpc.Channel(address, **channel_options("plain", wait_for_ready=True)) as channel:
        call(channel)
        far.hosts.near.remove_address(NEAR_IP)
        far.hosts.near.add_address(OTHER_NEAR_IP)
        response, last = call(channel)
        assert response.message == "hello"
        assert last.local_side is not None
        assert last.local_side.host == OTHER_NEAR_IP
        wait_until(lambda: server.statistics().connections == 1)
