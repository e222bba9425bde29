"""Which ends of an attempt may be repeated."""

from __future__ import annotations

import errno
import re
from typing import Any

import pytest

from pybrpc.base.backoff import Backoff
from pybrpc.client.calls.retry import (
    DEFAULT_RETRY_POLICY,
    RETRYABLE_CODES,
    RetryPolicy,
    checked_max_retry,
)
from pybrpc.errors import CONNECTION_CODES, ErrorCode, Phase, RpcError, make_rpc_error


@pytest.mark.parametrize(
    "code",
    [
        ErrorCode.EFAILEDSOCKET,
        ErrorCode.EEOF,
        ErrorCode.ELOGOFF,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EPIPE,
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
    ],
)
def test_broken_connection_may_be_retried(code: int) -> None:
    assert DEFAULT_RETRY_POLICY.may_retry(make_rpc_error(code, "x"))


@pytest.mark.parametrize(
    "code",
    [
        ErrorCode.ERPCTIMEDOUT,
        ErrorCode.ECANCELED,
        ErrorCode.EREQUEST,
        ErrorCode.ERESPONSE,
        ErrorCode.ENOSERVICE,
        ErrorCode.ENOMETHOD,
        ErrorCode.EINTERNAL,
        ErrorCode.EOVERCROWDED,
        ErrorCode.ELIMIT,
        ErrorCode.ECLOSE,
        ErrorCode.EINVAL,
        10042,
        0,
    ],
)
def test_error_that_the_server_sent_is_not_retried(code: int) -> None:
    assert not DEFAULT_RETRY_POLICY.may_retry(make_rpc_error(code, "x"))


def answer(code: int) -> RpcError:
    """An error that the server has sent."""
    return make_rpc_error(code, "x", phase=Phase.SERVER, is_remote=True)


@pytest.mark.parametrize("code", sorted(RETRYABLE_CODES | CONNECTION_CODES))
def test_of_answers_only_elogoff_is_retried(code: int) -> None:
    """The code of a connection is that of a call which the handler has made."""
    assert DEFAULT_RETRY_POLICY.may_retry(answer(code)) is (code == ErrorCode.ELOGOFF)


def test_codes_of_a_policy_may_name_an_answer_but_no_connection_in_an_answer() -> None:
    policy = RetryPolicy(codes=frozenset({ErrorCode.ELIMIT, ErrorCode.EEOF, 10042}))
    codes = (ErrorCode.ELIMIT, 10042, ErrorCode.EEOF, ErrorCode.ELOGOFF)
    assert [policy.may_retry(answer(code)) for code in codes] == [True, True, False, False]


def test_judge_decides_of_a_connection_code_in_an_answer() -> None:
    assert RetryPolicy(judge=lambda error: True).may_retry(answer(ErrorCode.EEOF))


def test_judge_decides_instead_of_the_codes() -> None:
    policy = RetryPolicy(codes=frozenset({1}), judge=lambda error: error.code == 2)
    assert [policy.may_retry(make_rpc_error(code, "x")) for code in (1, 2, 3)] == [
        False,
        True,
        False,
    ]


def test_retry_without_a_backoff_does_not_pause() -> None:
    assert [RetryPolicy().delay_s(count) for count in range(3)] == [0, 0, 0]


def test_pauses_between_retries_grow_with_the_backoff() -> None:
    policy = RetryPolicy(backoff=Backoff(first_s=1, factor=2, max_s=3, jitter=0))
    assert [policy.delay_s(count) for count in range(4)] == [1, 2, 3, 3]


@pytest.mark.parametrize("max_retry", [-1, 1.5, "3", None, True])
def test_senseless_max_retry_is_refused(max_retry: object) -> None:
    with pytest.raises(ValueError, match="max_retry must be a whole number >= 0, not"):
        checked_max_retry(max_retry)


@pytest.mark.parametrize("max_retry", [0, 3])
def test_sensible_max_retry_is_taken(max_retry: int) -> None:
    assert checked_max_retry(max_retry) == max_retry


def test_judge_must_be_callable() -> None:
    judge: Any = "yes"
    with pytest.raises(TypeError, match="judge must be a function or None, not 'yes'"):
        RetryPolicy(judge=judge)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"codes": "EEOF"},
            "codes must be a list of numbers such as ErrorCode.EEOF, not the string 'EEOF'",
        ),
        ({"codes": 1014}, "codes must be a list of numbers such as ErrorCode.EEOF, not 1014"),
        (
            {"codes": ["EEOF"]},
            "codes must be a list of numbers such as ErrorCode.EEOF; 'EEOF' is none",
        ),
        ({"backoff": 0.1}, "backoff must be a pybrpc.Backoff or None, not 0.1"),
        ({"may_have_run": None}, "may_have_run must be True or False, not None"),
    ],
)
def test_other_options_of_a_policy_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=re.escape(said)):
        RetryPolicy(**options)


def test_judge_must_not_be_async() -> None:
    async def judge(error: Any) -> bool:
        return True

    wrong: Any = judge
    with pytest.raises(TypeError, match="judge must be a plain function, not an async one"):
        RetryPolicy(judge=wrong)


def test_codes_may_be_any_iterable() -> None:
    codes: Any = [ErrorCode.ELIMIT, 7]
    assert RetryPolicy(codes=codes).codes == frozenset({2004, 7})
