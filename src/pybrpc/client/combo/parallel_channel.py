"""ParallelChannel: each call goes to all of its channels, and the responses are merged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pybrpc.base.checked_options import checked_count_or_none
from pybrpc.client.channel.options import DEFAULT_TIMEOUT_S
from pybrpc.client.combo.call_form import Form
from pybrpc.client.combo.combo_channel import ComboChannel, LoopsFront, ThreadsFront
from pybrpc.client.combo.parallel_call import ParallelCall
from pybrpc.client.combo.sub_call import Mapper, Merger
from pybrpc.client.combo.sub_channel import SubChannel, SubMethods
from pybrpc.rpc.controller import Controller


class ParallelCore(ComboChannel):
    """A channel whose calls go to all of its channels at the same time."""

    def __init__(
        self, timeout: float | None, fail_limit: int | None, success_limit: int | None
    ) -> None:
        super().__init__(timeout)
        self.fail_limit = checked_count_or_none("fail_limit", fail_limit)
        self.success_limit = checked_count_or_none("success_limit", success_limit)

    def _add(self, entry: SubChannel) -> None:
        with self._lock:
            self.entries = (*self.entries, entry)

    @property
    def channel_count(self) -> int:
        """How many channels it has."""
        return len(self.entries)

    @property
    def runs_user_code(self) -> bool:  # type: ignore[override]
        """Whether a call runs functions of the user."""
        return any(entry.runs_user_code for entry in self.entries)

    @property
    def is_healthy(self) -> bool:
        """Whether a call may succeed, as far as is known. Never blocks."""
        count = len(self.entries)
        limit = count if self.fail_limit is None else min(max(self.fail_limit, 1), count)
        healthy = sum(entry.is_healthy for entry in self.entries)
        return count > 0 and healthy >= count - limit + 1

    def new_call(
        self,
        methods: SubMethods,
        request: Any,
        timeout_s: float | None,
        controller: Controller | None,
        form: Form,
    ) -> ParallelCall:
        return ParallelCall(self, methods, request, timeout_s, controller, form)


class ParallelBase(ParallelCore):
    """Each call goes to all of its channels at the same time, and the responses are merged.

    channels       the first channels, each with `mapper` and `merger`
    timeout        seconds that a call may take, its sub calls together; `None`: no limit
    fail_limit     so many failed sub calls fail the call, and cancel the others; `None`: all
    success_limit  so many sub calls that succeed end the call, and the others with EPCHANFINISH;
                   only without fail_limit; `None`: all
    mapper         `mapper(channel_index, channel_count, method_name, request)` returns what is sent
                   over one channel: a request or a `SubCall`, or `SubCall.SKIP` or `SubCall.BAD`;
                   `None`: the request of the call
    merger         `merger(response, sub_response)` adds a response to that of the call, and returns
                   a `MergeResult`, or `None`, which is MERGED; `None`: `response.MergeFrom`

    A call succeeds if fewer than `fail_limit` sub calls have failed when all have ended. Its
    controller's `sub_calls` has the outcome of each. Thread-safe. After bRPC's ParallelChannel.
    """

    def __init__(
        self,
        channels: Iterable[Any] = (),
        *,
        timeout: float | None = DEFAULT_TIMEOUT_S,
        fail_limit: int | None = None,
        success_limit: int | None = None,
        mapper: Mapper | None = None,
        merger: Merger | None = None,
    ) -> None:
        super().__init__(timeout, fail_limit, success_limit)
        for channel in channels:
            self.add_channel(channel, mapper=mapper, merger=merger)

    def add_channel(
        self, channel: Any, *, mapper: Mapper | None = None, merger: Merger | None = None
    ) -> None:
        """Add a channel, of any kind; the same one may be added several times. Calls that have
        begun don't use it. TypeError or ValueError if it can't be used."""
        self._add(self._entry(channel, mapper, merger))


class ParallelChannel(ThreadsFront, ParallelBase):
    __doc__ = ParallelBase.__doc__


class AioParallelChannel(LoopsFront, ParallelBase):
    """`pybrpc.aio.ParallelChannel`: of channels of `pybrpc.aio`. Mergers run in the loop, and must
    not block. The options are those of `pybrpc.ParallelChannel`."""

    @property
    def name(self) -> str:
        """The name of its kind, for texts."""
        return "ParallelChannel"
