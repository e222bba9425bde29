"""CallOptions: how a channel makes its calls; CalledMethod: the method of a call, as it sees it."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

from pybrpc.client.calls.backup_policy import BackupRequestPolicy
from pybrpc.client.calls.retry import (
    DEFAULT_MAX_RETRY,
    DEFAULT_RETRY_POLICY,
    RetryPolicy,
)
from pybrpc.protocols.protocol import DEFAULT_MAX_BODY_SIZE
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.controller_values import NO_LIMIT_MS

NO_BACKUP_MS = NO_LIMIT_MS
"""As a call's `backup_request_ms`: no backup for this call, whatever the channel's options are."""


class CalledMethod(Protocol):
    """Turns the request of a call into what a connection sends, and a response into a result."""

    @property
    def full_name(self) -> str:
        """The name of the method in errors and logs."""

    @property
    def is_idempotent(self) -> bool:
        """Whether a request may run twice without harm, by the options of the method."""

    def serialize(self, request: Any, controller: Controller | None) -> Any:
        """The body that the connection packs; BadRequestError if there is none for `request`."""

    def parse(self, response: Any, max_body_size: int) -> Any:
        """The result; BadResponseError if there is none. Runs in the waiting caller's thread."""

    def fill(self, controller: Controller, response: Any) -> None:
        """Put the rest of the response, beside the result, into the caller's controller."""


@dataclasses.dataclass(frozen=True, slots=True)
class CallOptions:
    """How the calls of a channel are made.

    max_retry       attempts after the first one, backup requests among them
    retry           which failures are worth another attempt, and the pause before it
    backup          when a call is sent a second time; `None`: never
    wait_for_ready  wait for an endpoint that is down until the deadline, rather than fail at once
    max_body_size   bytes that a response may have, also when it is decompressed
    backup_after_s  seconds before the backup, instead of those of `backup`
    backup_on_call  the policy of calls that ask for a backup if `backup` is None
    """

    max_retry: int = DEFAULT_MAX_RETRY
    retry: RetryPolicy = DEFAULT_RETRY_POLICY
    backup: BackupRequestPolicy | None = None
    wait_for_ready: bool = False
    max_body_size: int = DEFAULT_MAX_BODY_SIZE
    backup_after_s: float | None = None
    backup_on_call: BackupRequestPolicy = dataclasses.field(
        default_factory=lambda: BackupRequestPolicy(0.0), compare=False
    )

    def of_call(self, controller: Controller) -> CallOptions:
        """These options, changed as the controller of one call asks."""
        max_retry, after_ms = controller._max_retry, controller._backup_request_ms
        if max_retry is None and after_ms is None:
            return self
        options = self
        if max_retry is not None:
            options = dataclasses.replace(options, max_retry=max_retry)
        if after_ms is not None:
            options = options._with_backup_after(after_ms)
        return options

    def _with_backup_after(self, after_ms: float) -> CallOptions:
        if after_ms == NO_BACKUP_MS:
            return dataclasses.replace(self, backup=None)
        policy = self.backup or self.backup_on_call
        return dataclasses.replace(self, backup=policy, backup_after_s=after_ms / 1000)


DEFAULT_CALL_OPTIONS = CallOptions()
