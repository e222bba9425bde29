"""SelectiveChannel: each call goes to one of its channels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pybrpc.base.checked_options import checked_instance_or_none, checked_text
from pybrpc.client.calls.backup_policy import BackupRequestPolicy
from pybrpc.client.calls.call_options import CallOptions
from pybrpc.client.calls.retry import (
    DEFAULT_MAX_RETRY,
    DEFAULT_RETRY_POLICY,
    RetryPolicy,
    checked_max_retry,
)
from pybrpc.client.channel.options import DEFAULT_TIMEOUT_S, backup_policy_of
from pybrpc.client.cluster.balancing.load_balancer import LoadBalancer
from pybrpc.client.cluster.balancing.registry import new_load_balancer
from pybrpc.client.cluster.balancing.user_balancer import guarded_balancer
from pybrpc.client.combo.call_form import Form
from pybrpc.client.combo.combo_channel import ComboChannel, LoopsFront, ThreadsFront
from pybrpc.client.combo.selective_call import SelectiveCall
from pybrpc.client.combo.sub_channel import SubChannel, SubMethods
from pybrpc.client.combo.sub_router import SubRouter
from pybrpc.rpc.controller import Controller


class SelectiveCore(ComboChannel):
    """A channel each of whose calls goes to one of its channels."""

    def __init__(self, timeout: float | None, options: CallOptions, balancer: LoadBalancer) -> None:
        super().__init__(timeout)
        self.call_options = options
        self.router = SubRouter(f"a {self.name}", balancer, self._on_unused)
        self.waiting: dict[SelectiveCall, None] = {}
        """Calls that wait until its channels are known."""

    def has_to_wait(self, call: SelectiveCall) -> bool:
        """Whether `call` has to wait until the channels are known; then it is in `waiting`, and its
        `begin_attempts` is called once."""
        return False

    @property
    def channel_count(self) -> int:
        """How many channels it has."""
        return len(self.entries)

    @property
    def entries(self) -> tuple[SubChannel, ...]:  # type: ignore[override]
        """The channels, in the order in which they were added."""
        return self.router.entries

    @property
    def runs_user_code(self) -> bool:  # type: ignore[override]
        """Whether a call runs functions of the user."""
        return any(entry.runs_user_code for entry in self.entries)

    @property
    def is_healthy(self) -> bool:
        """Whether a call may succeed, as far as is known. Never blocks."""
        return self.router.is_healthy

    def new_call(
        self,
        methods: SubMethods,
        request: Any,
        timeout_s: float | None,
        controller: Controller | None,
        form: Form,
    ) -> SelectiveCall:
        return SelectiveCall(self, methods, request, timeout_s, controller, form)

    def _on_unused(self, entry: SubChannel) -> None:
        """The last call of a channel that was removed has ended. Any thread."""


class SelectiveBase(SelectiveCore):
    """Each call goes to one of its channels, which a load balancer picks. If it fails there, it
    goes to one that it has not tried.

    channels       the first channels
    load_balancer  the name of a balancer, as for clusters, or an object of your own
    timeout        seconds that a call may take, with all of its sub calls; `None`: no limit
    max_retry, retry_policy, backup_request_ms, backup_request_policy
                   as of `pybrpc.Channel`, but each retry, and the backup request, goes to another
                   channel. The channels themselves retry by their own options

    A channel without a usable server (ENODATA, EHOSTDOWN) gets no calls until it has one; that is
    looked at once a second. Channels may be added and removed at any time. The controller's
    `sub_calls` has the sub call that decided. Thread-safe. After bRPC's SelectiveChannel.
    """

    def __init__(
        self,
        channels: Iterable[Any] = (),
        *,
        load_balancer: str | LoadBalancer = "rr",
        timeout: float | None = DEFAULT_TIMEOUT_S,
        max_retry: int = DEFAULT_MAX_RETRY,
        retry_policy: RetryPolicy | None = None,
        backup_request_ms: float | None = None,
        backup_request_policy: BackupRequestPolicy | None = None,
    ) -> None:
        options = CallOptions(
            checked_max_retry(max_retry),
            checked_instance_or_none("retry_policy", retry_policy, RetryPolicy)
            or DEFAULT_RETRY_POLICY,
            backup_policy_of(backup_request_ms, backup_request_policy),
        )
        balancer = (
            new_load_balancer(load_balancer)
            if isinstance(load_balancer, str)
            else guarded_balancer(load_balancer)
        )
        super().__init__(timeout, options, balancer)
        for channel in channels:
            self.add_channel(channel)

    def add_channel(self, channel: Any, tag: str = "") -> None:
        """Have calls use a channel, of any kind. `tag`: as that of a server, such as "3", its
        weight. ValueError if it is there already, TypeError if it can't be used."""
        self.router.add(self._entry(channel), checked_text("tag", tag))

    def remove_channel(self, channel: Any) -> None:
        """Have no more calls use a channel. Its calls in flight go on. ValueError if it is not
        there."""
        self.router.remove(channel)


class SelectiveChannel(ThreadsFront, SelectiveBase):
    __doc__ = SelectiveBase.__doc__


class AioSelectiveChannel(LoopsFront, SelectiveBase):
    """`pybrpc.aio.SelectiveChannel`: of channels of `pybrpc.aio`. The options are those of
    `pybrpc.SelectiveChannel`."""

    @property
    def name(self) -> str:
        """The name of its kind, for texts."""
        return "SelectiveChannel"
