"""CallOptions: those of a channel, changed by the controller of one call."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.client.calls.backup_policy import BackupRequestPolicy
from pybrpc.client.calls.call_options import NO_BACKUP_MS, CallOptions
from pybrpc.rpc.controller import Controller

POLICY = BackupRequestPolicy(0.05)
OPTIONS = CallOptions(max_retry=3, backup=POLICY)


def controller(**fields: Any) -> Controller:
    made = Controller()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_controller_without_options_leaves_those_of_the_channel() -> None:
    assert OPTIONS.of_call(controller()) is OPTIONS


def test_controller_sets_the_number_of_retries() -> None:
    found = OPTIONS.of_call(controller(max_retry=0))
    assert (found.max_retry, found.backup, found.backup_after_s) == (0, POLICY, None)


def test_controller_sets_the_time_of_the_backup_and_keeps_the_policy() -> None:
    found = OPTIONS.of_call(controller(backup_request_ms=20))
    assert (found.max_retry, found.backup, found.backup_after_s) == (3, POLICY, 0.02)


def test_controller_may_ask_for_a_backup_if_the_channel_has_none() -> None:
    options = CallOptions()
    found = options.of_call(controller(backup_request_ms=0))
    assert (found.backup, found.backup_after_s) == (options.backup_on_call, 0.0)


def test_controller_may_forbid_a_backup() -> None:
    found = OPTIONS.of_call(controller(max_retry=1, backup_request_ms=NO_BACKUP_MS))
    assert (found.max_retry, found.backup) == (1, None)


@pytest.mark.parametrize("max_retry", [-1, 1.5, True, "3"])
def test_wrong_number_of_retries_is_refused(max_retry: Any) -> None:
    with pytest.raises(ValueError, match="max_retry must be None or a whole number >= 0"):
        OPTIONS.of_call(controller(max_retry=max_retry))


@pytest.mark.parametrize("after_ms", [-2, float("nan"), True])
def test_wrong_time_of_a_backup_is_refused(after_ms: Any) -> None:
    with pytest.raises(ValueError, match="must be at least 0 milliseconds, -1 for none"):
        OPTIONS.of_call(controller(backup_request_ms=after_ms))
