"""FailedAttempts: what the error that ends a call says of its attempts."""

from __future__ import annotations

import pytest

from pybrpc.client.calls.failed_attempts import FailedAttempts
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error


def failure(phase: Phase, text: str = "broken") -> RpcError:
    return make_rpc_error(ErrorCode.EEOF, text, phase=phase)


def test_text_lists_all_attempts() -> None:
    failed = FailedAttempts()
    for number, text in enumerate(("first", "second", "third")):
        failed.add(failure(Phase.CONNECT, text), number)
    last = failure(Phase.CONNECT, "third")
    failed.describe_in(last)
    assert last.text == "[E1014]first [R1][E1014]second [R2][E1014]third"
    assert last.args == (last.text,)
    assert last.message == "third"
    assert repr(failed) == f"<FailedAttempts {last.text}>"


@pytest.mark.parametrize(
    ("phases", "may_have_run"),
    [
        ([Phase.CONNECT, Phase.QUEUED], False),
        ([Phase.WAITING, Phase.CONNECT], True),
        ([Phase.CONNECT, Phase.SENT, Phase.CONNECT], True),
        ([Phase.CONNECT, Phase.WAITING], True),
    ],
)
def test_call_may_have_run_if_one_attempt_may(phases: list[Phase], may_have_run: bool) -> None:
    failed = FailedAttempts()
    last = failure(Phase.QUEUED)
    for phase in phases:
        last = failure(phase)
        failed.add(last, 0)
    failed.describe_in(last)
    assert last.may_have_run is may_have_run
