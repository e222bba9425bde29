"""Connection types: single, pooled and short; who shares a connection, and how many there are."""

from __future__ import annotations

from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    ConnectError,
    ConnectionFailedError,
    ErrorCode,
    Phase,
)
from tests.fakes.threads import in_threads, wait_until
from tests.peers.callers import FORMS, LOOPS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.endpoints import counts
from tests.peers.scripted_server import (
    Peer,
    ScriptedServer,
    closed_port,
)

TYPES = ("single", "pooled", "short", "auto")
every_form = pytest.mark.parametrize("form", FORMS)
every_type = pytest.mark.parametrize("connection_type", TYPES)


# --- bRPC's acceptance list, for each type ---


@every_form
@pytest.mark.parametrize(("connection_type", "made"), [("single", 1), ("pooled", 1), ("short", 20)])
def test_calls_one_after_another(form: str, connection_type: str, made: int) -> None:
    """bRPC: success. A connection that has just been freed is the next call's."""
    with ScriptedServer() as server:
        with caller(form, server.address, connection_type=connection_type) as client:
            for i in range(20):
                assert client.call(echo_request(str(i))).message == str(i)
            found = counts(client.channel)
            assert (found.created, found.in_use, found.waiting) == (made, 0, 0)
            if connection_type == "short":
                wait_until(lambda: counts(client.channel).closed == 20)
    assert server.connections == made


@every_type
def test_ten_channels_share_what_their_options_agree_on(connection_type: str) -> None:
    """bRPC: init_as_single_server, 10 channels share one socket."""
    with ScriptedServer() as server:
        channels = [
            pybrpc.Channel(server.address, timeout=30, connection_type=connection_type)
            for _ in range(10)
        ]
        for channel in channels:
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
        assert len({id(channel.source()) for channel in channels}) == 1
        for channel in channels:
            channel.close()
    assert server.connections == (10 if connection_type == "short" else 1)


@pytest.mark.parametrize("connection_type", ["single", "pooled"])
def test_connection_groups_share_nothing_but_their_spaces(connection_type: str) -> None:
    """bRPC: success."""
    with ScriptedServer() as server:
        groups = ("", "a", " a\t", "b", "a")
        channels = [
            pybrpc.Channel(
                server.address,
                timeout=30,
                connection_type=connection_type,
                connection_group=group,
            )
            for group in groups
        ]
        for channel in channels:
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
        assert server.connections == 3
        for channel in channels:
            channel.close()


@every_form
@every_type
def test_connection_refused(form: str, connection_type: str) -> None:
    """bRPC: connection_failed."""
    with closed_port() as address:
        with caller(form, address, connection_type=connection_type, max_retry=0) as client:
            with pytest.raises(ConnectError) as caught:
                client.call(echo_request())
            assert caught.value.code == ErrorCode.ECONNREFUSED
            wait_until(lambda: counts(client.channel).is_down)
            assert counts(client.channel).in_use == counts(client.channel).idle == 0


@every_form
@every_type
def test_peer_that_closes_in_the_middle_of_a_call(form: str, connection_type: str) -> None:
    """bRPC: close_fd."""

    def close_after_reading(peer: Peer) -> None:
        peer.expect_request()

    with ScriptedServer(close_after_reading) as server:
        with caller(form, server.address, connection_type=connection_type, max_retry=0) as client:
            for _ in range(3):
                with pytest.raises(ConnectionFailedError) as caught:
                    client.call(echo_request())
                assert caught.value.code == ErrorCode.EEOF
                assert caught.value.phase == Phase.WAITING
            wait_until(lambda: counts(client.channel).closed == 3)
            assert counts(client.channel).created == 3


@every_type
def test_broken_connection_is_retried_on_a_fresh_one(connection_type: str) -> None:
    """bRPC: retry."""

    def close_after_reading(peer: Peer) -> None:
        peer.expect_request()

    controller = pybrpc.Controller()
    with ScriptedServer(close_after_reading, Peer.echo_until_closed) as server:
        with caller("blocking", server.address, connection_type=connection_type) as client:
            assert client.call(echo_request("again"), controller=controller).message == "again"
    assert controller.retried_count == 1
    assert server.connections == 2


@every_type
@every_form
def test_many_threads_and_tasks_get_their_own_answers(form: str, connection_type: str) -> None:
    """bRPC: multiple_threads_single_channel."""
    with ScriptedServer() as server:
        with caller(form, server.address, connection_type=connection_type) as client:
            if form in LOOPS or form.endswith("shared"):
                requests = [echo_request(str(i)) for i in range(500)]
                answers = client.call_many(requests)
                assert [answer.message for answer in answers] == [str(i) for i in range(500)]
            else:

                def call(index: int) -> None:
                    for i in range(50):
                        text = f"{index} {i}"
                        assert client.call(echo_request(text)).message == text

                in_threads(10, call)
            found = counts(client.channel)
            assert (found.in_use, found.waiting) == (0, 0)
            if connection_type == "pooled":
                assert found.created <= (10 if form in ("blocking", "callback") else 100)
                assert found.closed == 0


# --- several parallel connections ---


def test_parallel_connections_are_used_in_turn() -> None:
    with ScriptedServer() as server:
        with pybrpc.Channel(server.address, timeout=30, connections=4) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            for _ in range(40):
                stub.Echo(echo_request())
            assert counts(channel).created == counts(channel).idle == 4
            shares = [len(peer.received) for peer in server.peers]
    assert len(set(shares)) == 1


def test_parallel_connection_that_broke_is_replaced_alone() -> None:
    with ScriptedServer() as server:
        with pybrpc.Channel(server.address, timeout=30, connections=3) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            for _ in range(3):
                stub.Echo(echo_request())
            server.peers[0].sock.shutdown(2)
            for _ in range(30):
                stub.Echo(echo_request())
            found = counts(channel)
            assert (found.created, found.closed, found.idle) == (4, 1, 3)
    assert server.connections == 4


# --- options ---


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"connection_type": "polled"}, "one of 'single', 'pooled', 'short', 'auto', not 'polled'"),
        ({"connections": 0}, "connections must be a whole number >= 1"),
        ({"connections": 2, "connection_type": "pooled"}, 'for the connection_type "single"'),
        (
            {"connection_type": "pooled", "max_pool_size": 0},
            "max_pool_size must be None or",
        ),
        (
            {"connection_type": "pooled", "max_pool_size": 1.5},
            "max_pool_size must be None or",
        ),
        ({"max_pool_size": 10}, 'for the connection_types "pooled" and "auto"'),
        ({"idle_timeout": 0}, "idle_timeout must be more than 0"),
        ({"idle_timeout": -1}, "idle_timeout must be at least 0"),
        ({"wait_for_ready": True, "dial_backoff": None}, "give a dial_backoff"),
    ],
)
def test_senseless_options_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        pybrpc.Channel("127.0.0.1:1", **options)


def test_numbers_before_the_first_call() -> None:
    with pybrpc.Channel("127.0.0.1:1", connection_type="pooled") as channel:
        assert channel.endpoint_statistics() is None
        assert channel.statistics() is None
