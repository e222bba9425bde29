"""HealthCheck: what it calls, and how it judges."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

import pytest

from pybrpc.client.endpoints.health_check import HealthCheck, _OneConnection
from pybrpc.errors import ErrorCode, Phase, RpcError
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.testing.step_dispatcher import StepDispatcher
from tests.fakes.serving import no_later, serving_call
from tests.fakes.sources import FakeClientConnection
from tests.fakes.threads import in_threads
from tests.peers.echo import ECHO
from tests.protos import conformance_pb2 as pb

METHOD = ECHO.methods_by_name["Echo"]
WELL = pb.EchoResponse(message="well")


class Checked:
    """A check under way over an established connection."""

    def __init__(self, **options: Any) -> None:
        self._ends: list[RpcError | None] = []
        self.step = StepDispatcher()
        self.line = FakeClientConnection(TimeoutQueues(self.step), None)
        self.line.stand()
        request = options.pop("request", pb.EchoRequest(message="well?"))
        HealthCheck(METHOD, request, **options).start(self.line, self._on_checked)

    def _on_checked(self, connection: Any, error: RpcError | None) -> None:
        assert connection is self.line
        assert self.step.is_current()
        self._ends.append(error)

    @property
    def ends(self) -> list[RpcError | None]:
        """How it ended so far."""
        self.step.run_until_idle()
        return self._ends

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


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, KeyboardInterrupt, MemoryError])
def test_check_fails_whatever_is_healthy_raises(kind: type[BaseException]) -> None:
    def is_healthy(response: Any) -> bool:
        raise kind("in a check")

    def run(index: int) -> None:
        checked = Checked(is_healthy=is_healthy)
        checked.line.answer(WELL)
        assert isinstance(checked.error.__cause__, kind)

    # Not in the main thread, which would get the KeyboardInterrupt.
    in_threads(1, run)


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


def test_check_inherits_nothing_of_a_handler_whose_call_has_led_to_it() -> None:
    with serving_call(0.0) as served:
        checked = Checked(timeout=0.2)
        served.cancel("the peer left", no_later)
    (attempt,) = checked.line.attempts
    assert attempt.call.served is None
    checked.line.answer(WELL)
    assert checked.ends == [None]


def test_check_fails_on_a_connection_that_had_failed_before() -> None:
    step = StepDispatcher()
    line = FakeClientConnection(TimeoutQueues(step), None)
    line.stand()
    line.fail(ErrorCode.EEOF)
    ends: list[Any] = []
    check = HealthCheck(METHOD, pb.EchoRequest(message="well?"))
    check.start(line, lambda connection, error: ends.append(error))
    step.run_until_idle()
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
    with pytest.raises(
        ValueError, match="must be a EchoRequest with its required fields: give message"
    ):
        HealthCheck(METHOD)


@pytest.mark.parametrize("judge", ["yes", asyncio.sleep])
def test_judge_that_is_no_plain_function_is_refused(judge: Any) -> None:
    with pytest.raises(TypeError, match=r"is_healthy must be a (function or None|plain function)"):
        HealthCheck(METHOD, pb.EchoRequest(message="well?"), is_healthy=judge)


def test_call_of_a_check_has_exactly_one_connection() -> None:
    line = FakeClientConnection(TimeoutQueues(StepDispatcher()), None)
    source = _OneConnection(line)
    call: Any = None
    assert source.get(call) is line
    assert source.connection_for_backup(call, line) is None
    assert source.endpoint == line.socket.remote_side
    assert (source.timeouts, source.dispatcher) == (line.timeouts, line.timeouts.dispatcher)
    assert source.why_down is None
    source.reclaim(call)
    with pytest.raises(AssertionError, match="always the one connection"):
        source.wait(call)
    with pytest.raises(AssertionError, match="never retried"):
        source.pause(call, 1.0)
