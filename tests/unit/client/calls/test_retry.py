"""Which ends of an attempt may be repeated."""

from __future__ import annotations

import errno

import pytest

from pybrpc.base.backoff import Backoff
from pybrpc.client.calls.retry import DEFAULT_RETRY_POLICY, RetryPolicy, checked_max_retry
from pybrpc.errors import ErrorCode, make_rpc_error


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
