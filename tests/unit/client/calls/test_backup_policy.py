"""When backups may be sent. bRPC: RateLimitedBackupPolicyTest, as far as it has a counterpart.

Not adapted: InvalidWindowSizeTooSmall, InvalidWindowSizeTooLarge and InvalidUpdateIntervalTooSmall,
because the window is fixed and nothing is cached; ValidMinusOneBackupRequestMsInherits, because a
policy always says when (a call may say otherwise, see test_backup_requests).
"""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.client.calls.backup_policy import WINDOW_S, BackupPolicyError, BackupRequestPolicy
from pybrpc.client.calls.call_options import CallOptions
from pybrpc.client.channel.options import backup_policy_of
from pybrpc.rpc.controller import Controller
from pybrpc.testing.step_dispatcher import FakeClock

pytestmark = pytest.mark.usefixtures("clock")


def note_calls(policy: BackupRequestPolicy, count: int) -> None:
    for _ in range(count):
        policy.note_call()


def send_what_may_be_sent(policy: BackupRequestPolicy, tries: int) -> int:
    sent = 0
    for _ in range(tries):
        if policy.may_send():
            policy.note_backup()
            sent += 1
    return sent


@pytest.mark.parametrize("after_s", [-2, -0.001, float("nan"), float("inf"), 1e9, "1", None, True])
def test_senseless_time_is_refused(after_s: Any) -> None:
    """bRPC: InvalidBackupRequestMs."""
    with pytest.raises(BackupPolicyError, match="after_s must be at least 0 seconds, not"):
        BackupRequestPolicy(after_s)


@pytest.mark.parametrize("max_ratio", [0.0, -0.1, 1.001, float("nan"), "1", None, True])
def test_senseless_ratio_is_refused(max_ratio: Any) -> None:
    """bRPC: InvalidMaxBackupRatioZero, ...Negative, ...AboveOne."""
    with pytest.raises(BackupPolicyError, match="max_ratio must be above 0 and at most 1, not"):
        BackupRequestPolicy(0.01, max_ratio=max_ratio)


@pytest.mark.parametrize("after_ms", [-2, -1, float("nan"), "5", True])
def test_senseless_backup_request_ms_is_refused(after_ms: Any) -> None:
    with pytest.raises(BackupPolicyError, match="backup_request_ms must be at least 0 millisec"):
        backup_policy_of(after_ms, None)


def test_channel_takes_either_a_time_or_a_policy() -> None:
    with pytest.raises(ValueError, match="not both"):
        backup_policy_of(10, BackupRequestPolicy(0.01))
    assert backup_policy_of(None, None) is None
    made = backup_policy_of(10, None)
    assert made is not None
    assert (made.after_s, made.max_ratio) == (0.01, 0.1)


@pytest.mark.parametrize("max_ratio", [0.1, 1.0])
def test_first_call_of_all_may_have_a_backup(max_ratio: float) -> None:
    """bRPC: ColdStartAllowsBackup, ValidMaxRatioAtBoundary."""
    policy = BackupRequestPolicy(0.01, max_ratio=max_ratio)
    policy.note_call()
    assert policy.may_send()


def test_cold_start_allows_one_backup_until_there_are_more_calls() -> None:
    """bRPC: AfterColdStartBackupSuppressedUntilRpcCompletes."""
    policy = BackupRequestPolicy(0.01)
    note_calls(policy, 5)
    assert send_what_may_be_sent(policy, 5) == 1
    note_calls(policy, 14)
    assert not policy.may_send()
    note_calls(policy, 1)
    assert policy.may_send()


@pytest.mark.parametrize(
    ("calls", "max_ratio", "most"), [(1000, 0.1, 100), (40, 0.5, 20), (7, 1, 7)]
)
def test_backups_are_at_most_their_ratio_of_the_calls(
    calls: int, max_ratio: float, most: int
) -> None:
    policy = BackupRequestPolicy(0.01, max_ratio=max_ratio)
    note_calls(policy, calls)
    assert send_what_may_be_sent(policy, calls) == most
    assert policy.counts() == (calls, most)


def test_more_calls_allow_more_backups() -> None:
    """bRPC: OnRPCEnd...RatioDownAndReAllows."""
    policy = BackupRequestPolicy(0.01, max_ratio=0.5)
    note_calls(policy, 40)
    assert send_what_may_be_sent(policy, 40) == 20
    assert not policy.may_send()
    note_calls(policy, 10)
    assert send_what_may_be_sent(policy, 40) == 5


def test_calls_before_the_window_do_not_count(clock: FakeClock) -> None:
    policy = BackupRequestPolicy(0.01, max_ratio=0.5)
    note_calls(policy, 40)
    send_what_may_be_sent(policy, 40)
    clock.advance(WINDOW_S / 2)
    note_calls(policy, 10)
    assert policy.counts() == (50, 20)
    clock.advance(WINDOW_S / 2 + 0.001)
    assert policy.counts() == (10, 0)
    clock.advance(WINDOW_S)
    assert policy.counts() == (0, 0)


def test_window_slides_under_steady_traffic(clock: FakeClock) -> None:
    policy = BackupRequestPolicy(0.01)
    sent = 0
    for _ in range(1000):
        note_calls(policy, 10)
        sent += send_what_may_be_sent(policy, 10)
        clock.advance(0.1)
        calls, _ = policy.counts()
        assert calls <= 10 * WINDOW_S / 0.1 + 10
    assert 900 <= sent <= 1100


def test_call_may_ask_for_a_backup_if_the_channel_has_none() -> None:
    """All such calls of the channel share a ratio."""
    options = CallOptions()
    asking = Controller()
    asking.backup_request_ms = 5
    ones = [options.of_call(asking) for _ in range(2)]
    assert [one.backup_after_s for one in ones] == [0.005] * 2
    assert ones[0].backup is ones[1].backup is options.backup_on_call
    assert CallOptions().backup_on_call is not options.backup_on_call


def test_call_may_ask_for_another_time_of_its_backup() -> None:
    policy = BackupRequestPolicy(0.01)
    asking = Controller()
    asking.backup_request_ms = 0
    options = CallOptions(backup=policy).of_call(asking)
    assert options.backup is policy
    assert options.backup_after_s == 0


def test_call_without_options_uses_those_of_the_channel() -> None:
    options = CallOptions()
    assert options.of_call(Controller()) is options


def test_repr() -> None:
    policy = BackupRequestPolicy(0.01)
    note_calls(policy, 10)
    policy.note_backup()
    assert repr(policy) == "<BackupRequestPolicy after 0.01 s, at most 10%: 1 of 10 calls>"
