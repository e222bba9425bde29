"""HealthCheck: what it calls, and how it judges."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from pybrpc.client.endpoints.health_check import HealthCheck, _OneConnection
from pybrpc.errors import ErrorCode, Phase, RpcError
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.testing.step_dispatcher import StepDispatcher
from tests.fakes.sources import FakeClientConnection
from tests.peers.echo import ECHO
from tests.protos import conformance_pb2 as pb

METHOD = ECHO.methods_by_name["Echo"]
WELL = pb.EchoResponse(message="well")


class Checked:
    """A check under way over an established connection."""

    def __init__(self, **options: Any) -> None:
        self.ends: list[RpcError | None] = []
        self.line = FakeClientConnection(TimeoutQueues(StepDispatcher()), None)
        self.line.stand()
        request = options.pop("request", pb.EchoRequest(message="well?"))
        HealthCheck(METHOD, request, **options).start(self.line, self._on_checked)

    def _on_checked(self, connection: Any, error: RpcError | None) -> None:
        assert connection is self.line
        self.ends.append(error)

    @property
    def error(self) -> RpcError:
        """How it ended, which was once and badly."""
        (error,) = self.ends
        assert error is not None
        assert (error.code, error.phase) == (errno.EHOSTDOWN, Phase.CONNECT)
        assert error.text.startswith("Fail to check the health of 10.0.0.1:8000 with conformance.")
        return error


def test_check_with_a_response_passes() -> None:
    checked = Checked()
    (attempt,) = checked.line.attempts
    assert bytes(attempt.call.body) == pb.EchoRequest(message="well?").SerializeToString()
    checked.line.answer(WELL)
    assert checked.ends == [None]


def test_request_is_copied() -> None:
    request = pb.EchoRequest(message="well?")
    check = HealthCheck(METHOD, request)
    request.message = "changed"
    assert check.request == pb.EchoRequest(message="well?")


def test_is_healthy_gets_the_response() -> None:
    judged: list[str] = []
    checked = Checked(is_healthy=lambda response: judged.append(response.message) or True)
    checked.line.answer(WELL)
    assert checked.ends == [None]
    assert judged == ["well"]


def test_check_fails_if_is_healthy_returns_false() -> None:
    checked = Checked(is_healthy=lambda response: False)
    checked.line.answer(WELL)
    assert checked.error.text.endswith("is_healthy() found the server not healthy")
    assert checked.error.__cause__ is None


def test_check_fails_if_is_healthy_raises() -> None:
    checked = Checked(is_healthy=lambda response: response.no_such_field)
    checked.line.answer(WELL)
    assert isinstance(checked.error.__cause__, AttributeError)
    assert "no_such_field" in checked.error.text


def test_check_fails_once_if_the_connection_breaks() -> None:
    checked = Checked()
    checked.line.fail(ErrorCode.EEOF)
    checked.line.close()
    assert isinstance(checked.error.__cause__, RpcError)
    assert checked.error.__cause__.code == ErrorCode.EEOF


def test_check_fails_without_a_response_in_time() -> None:
    checked = Checked(timeout=0.2)
    (attempt,) = checked.line.attempts
    attempt.call.expire()
    assert "Reached timeout=200ms" in checked.error.text


def test_check_fails_on_a_connection_that_had_failed_before() -> None:
    line = FakeClientConnection(TimeoutQueues(StepDispatcher()), None)
    line.stand()
    line.fail(ErrorCode.EEOF)
    ends: list[Any] = []
    check = HealthCheck(METHOD, pb.EchoRequest(message="well?"))
    check.start(line, lambda connection, error: ends.append(error))
    (error,) = ends
    assert error.code == errno.EHOSTDOWN


@pytest.mark.parametrize("timeout", [0, -1, None])
def test_check_without_a_timeout_is_refused(timeout: Any) -> None:
    with pytest.raises(ValueError, match="timeout must be"):
        HealthCheck(METHOD, WELL, timeout=timeout)  # type: ignore[arg-type]


def test_request_of_another_method_is_refused() -> None:
    with pytest.raises(TypeError, match="request must be a EchoRequest, not message"):
        HealthCheck(METHOD, WELL)


def test_request_that_lacks_a_required_field_is_refused() -> None:
    with pytest.raises(ValueError, match="give a request with all required fields"):
        HealthCheck(METHOD)


def test_call_of_a_check_has_exactly_one_connection() -> None:
    line = FakeClientConnection(TimeoutQueues(StepDispatcher()), None)
    source = _OneConnection(line)
    call: Any = None
    assert source.get(call) is line
    assert source.connection_for_backup(line) is None
    assert source.endpoint == line.socket.remote_side
    assert (source.timeouts, source.dispatcher) == (line.timeouts, line.timeouts.dispatcher)
    assert source.why_down is None
    source.reclaim(call)
    with pytest.raises(AssertionError, match="always the one connection"):
        source.wait(call)
