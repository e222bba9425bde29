"""HealthCheck: a call that a server must answer before its endpoint counts as up."""

from __future__ import annotations

import errno
from typing import Any

import pytest

import pybrpc
from tests.fakes.threads import wait_until
from tests.peers.callers import THREAD_FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.endpoints import OFTEN, call_until_refused, is_down, revived, wait_up
from tests.peers.scripted_server import (
    Peer,
    ScriptedServer,
    ScriptedServerOn,
    never_answer,
)
from tests.protos import conformance_pb2 as pb

TYPES = ("single", "pooled", "short", "auto")
every_type = pytest.mark.parametrize("connection_type", TYPES)
ECHO_METHOD = ECHO.methods_by_name["Echo"]
WELL = pb.EchoRequest(message="well?")


@pytest.mark.parametrize("form", THREAD_FORMS)
@every_type
def test_server_that_listens_but_does_not_answer_stays_down(
    form: str, connection_type: str, dead_address: str
) -> None:
    """bRPC: app_level_health_check."""
    check = pybrpc.HealthCheck(ECHO_METHOD, WELL, timeout=0.1)
    options: dict[str, Any] = {
        "health_check": check,
        "dial_backoff": OFTEN,
        "connection_type": connection_type,
    }
    with caller(form, dead_address, **options) as client:
        assert call_until_refused(client).code == errno.ECONNREFUSED
        with ScriptedServerOn(
            dead_address, never_answer, never_answer, Peer.echo_until_closed
        ) as server:
            wait_until(lambda: server.connections >= 2)
            error = call_until_refused(client)
            assert error.code == errno.EHOSTDOWN
            assert "with conformance.EchoService.Echo: " in error.text
            wait_up(client)
            assert server.connections >= 3
            assert bytes(server.requests[0].body) == WELL.SerializeToString()


def test_listener_that_closes_during_the_check_is_checked_again(dead_address: str) -> None:
    """bRPC: app_level_health_check, its last part."""
    check = pybrpc.HealthCheck(ECHO_METHOD, WELL, timeout=30)

    def hang_up(peer: Peer) -> None:
        peer.read_request()

    with caller("blocking", dead_address, health_check=check, dial_backoff=OFTEN) as client:
        call_until_refused(client)
        with ScriptedServerOn(dead_address, hang_up) as server:
            wait_until(lambda: server.connections >= 3)
            assert is_down(client.channel)
        with ScriptedServerOn(dead_address):
            wait_up(client)


def test_function_judges_the_answer_of_the_check(dead_address: str) -> None:
    judged: list[str] = []

    def is_healthy(response: Any) -> bool:
        judged.append(response.message)
        if len(judged) == 1:
            raise KeyError("a judge that raises")
        return len(judged) > 2

    check = pybrpc.HealthCheck(ECHO_METHOD, WELL, timeout=30, is_healthy=is_healthy)
    with caller("blocking", dead_address, health_check=check, dial_backoff=OFTEN) as client:
        call_until_refused(client)
        with revived(dead_address):
            wait_up(client)
    assert judged == ["well?"] * 3


def test_channels_share_with_the_same_check_only() -> None:
    check = pybrpc.HealthCheck(ECHO_METHOD, WELL)
    with ScriptedServer() as server:
        channels = [
            pybrpc.Channel(server.address, timeout=30, health_check=each)
            for each in (check, check, pybrpc.HealthCheck(ECHO_METHOD, WELL))
        ]
        for channel in channels:
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
        assert server.connections == 2
        for channel in channels:
            channel.close()


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"method": "Echo"}, TypeError, "descriptor of a method"),
        ({"method": ECHO_METHOD, "request": WELL, "timeout": 0}, ValueError, "more than 0 s"),
        ({"method": ECHO_METHOD, "request": WELL, "timeout": None}, ValueError, "more than 0 s"),
        ({"method": ECHO_METHOD}, ValueError, "required fields"),
        ({"method": ECHO_METHOD, "request": pb.EchoResponse()}, TypeError, "EchoRequest"),
    ],
)
def test_senseless_health_checks_are_refused(
    arguments: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        pybrpc.HealthCheck(**arguments)
