"""CallingChannel and its two forms: the part of a channel that its stub methods use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pybrpc.client.channel.options import Timeout
from pybrpc.rpc.controller import Controller

if TYPE_CHECKING:
    from pybrpc.client.calls.aio_calls import LoopBinding
    from pybrpc.client.calls.call_options import CalledMethod, CallOptions
    from pybrpc.client.calls.interfaces import ConnectionSource


class CallingChannel(Protocol):
    """The part of a channel that all its stub methods use."""

    timeout_s: float | None
    call_options: CallOptions

    def timeout_of_call(self, timeout: Timeout, controller: Controller | None) -> float | None:
        """The timeout in seconds of a call that asks for `timeout`, or whose controller does."""


class ThreadsChannel(CallingChannel, Protocol):
    """A `pybrpc.Channel`, as its stub methods see it."""

    @property
    def open_source(self) -> ConnectionSource | None:
        """The source of its connections, if it has one already."""

    def source(self) -> ConnectionSource:
        """The source of its connections. Raises ChannelClosedError."""

    def source_of_blocking(self, method: CalledMethod) -> ConnectionSource:
        """`source`, for a blocking call. Raises WouldDeadlockError too."""


class LoopsChannel(CallingChannel, Protocol):
    """A `pybrpc.aio.Channel`, as its stub methods see it."""

    open_binding: LoopBinding | None
    """The binding of the loop used last."""

    def binding(self) -> LoopBinding:
        """The binding of the running loop. Raises ChannelClosedError."""
