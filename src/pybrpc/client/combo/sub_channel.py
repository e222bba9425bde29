"""SubChannel: one of the channels of a combined channel; SubMethods: a method on each of them."""

from __future__ import annotations

import weakref
from typing import Any, Protocol

from google.protobuf.descriptor import MethodDescriptor

from pybrpc.client.channel.aio_channel import AioChannel
from pybrpc.client.channel.base import ChannelBase
from pybrpc.client.channel.channel import Channel
from pybrpc.client.combo.sub_call import Mapper, Merger
from pybrpc.rpc.method import Method, method_of


class NestedChannel(Protocol):
    """A combined channel within another one."""

    @property
    def runs_user_code(self) -> bool:
        """Whether a call on it runs functions of the user."""

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is known against a call on it. Never blocks."""

    def check_may_block(self, method: Method) -> None:
        """WouldDeadlockError if a blocking call in this thread would wait for itself."""

    def make_method(self, method: Method) -> Any:
        """The method, as the stubs of this channel have it."""


class SubChannel:
    """A channel with its mapper and its merger."""

    def __init__(
        self, channel: Any, mapper: Mapper | None = None, merger: Merger | None = None
    ) -> None:
        self.channel: Channel | AioChannel | NestedChannel = channel
        self.mapper = mapper
        self.merger = merger

    @property
    def runs_user_code(self) -> bool:
        """Whether to start a call on it, or to end one, runs functions of the user."""
        channel = self.channel
        if isinstance(channel, ChannelBase):
            inner = bool(channel._interceptors)
        else:
            inner = channel.runs_user_code
        return inner or self.mapper is not None or self.merger is not None

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is known against a call on it. Never blocks."""
        channel = self.channel
        if isinstance(channel, ChannelBase):
            source = channel._used_source
            return not channel.is_closed and (source is None or source.why_down is None)
        return channel.is_healthy

    def __repr__(self) -> str:
        return f"<SubChannel {self.channel!r}>"


class SubMethods:
    """A method, as the methods of stubs on the channels of a combined channel. Any thread."""

    def __init__(self, method: Method) -> None:
        self.method = method
        self._made: weakref.WeakKeyDictionary[SubChannel, dict[str, Any]] = (
            weakref.WeakKeyDictionary()
        )

    def of(self, entry: SubChannel, other: MethodDescriptor | None = None) -> Any:
        """The method on the channel of `entry`, or another method."""
        made = self._made.get(entry)
        if made is None:
            made = self._made.setdefault(entry, {})
        name = self.method.full_name if other is None else other.full_name
        method = made.get(name)
        if method is None:
            method = entry.channel.make_method(self.method if other is None else method_of(other))
            made[name] = method
        return method
