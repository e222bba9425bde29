"""SubCall: what a mapper wants sent; MergeResult: what a merger says; SubResult: how a sub call
has ended."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Any, ClassVar

from google.protobuf.descriptor import MethodDescriptor

from pybrpc.base.checked_options import checked_instance_or_none
from pybrpc.base.deadline import checked_timeout_s
from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.rpc.controller import Controller


class _Mapped(enum.Enum):
    SKIP = "skip"
    BAD = "bad"


@dataclasses.dataclass(frozen=True, slots=True)
class SubCall:
    """A call over one channel of a ParallelChannel, made by a mapper. After bRPC's `SubCall`.

    request     the request message
    controller  a Controller with options for this sub call alone; those that are not set are those
                of the main call, and the main call's attachment follows its own
    timeout     seconds that this sub call may take; `None`: as long as the main call
    method      the descriptor of another method to be called; `None`: that of the main call

    `SubCall.SKIP`, or `None`: don't use the channel in this call. `SubCall.BAD`: fail the call with
    EREQUEST, before anything is sent.
    """

    request: Any
    controller: Controller | None = None
    timeout: float | None = None
    method: MethodDescriptor | None = None

    SKIP: ClassVar[_Mapped] = _Mapped.SKIP
    BAD: ClassVar[_Mapped] = _Mapped.BAD

    def __post_init__(self) -> None:
        checked_instance_or_none("controller", self.controller, Controller)
        checked_timeout_s(self.timeout)


class MergeResult(enum.Enum):
    """The verdict of a merger. After bRPC's `ResponseMerger::Result`."""

    MERGED = "merged"
    """The sub call has succeeded. `None` means the same."""
    FAIL = "fail"
    """The sub call counts as one that has failed."""
    FAIL_ALL = "fail all"
    """The whole call fails, with ERESPONSE."""


Mapper = Callable[[int, int, str, Any], Any]
"""`mapper(channel_index, channel_count, method_name, request)` returns a SubCall, or a request."""

Merger = Callable[[Any, Any], MergeResult | None]
"""`merger(response, sub_response)` adds one response to that of the main call."""


class SubResult:
    """One sub call, and its outcome once it has ended.

    index       place of its channel in the combined channel, from 0 on
    channel     the channel
    controller  that of the sub call, with its attachment and latency
    response    the response message; `None` if it has failed, or has not ended
    error       the RpcError; `None` if it has succeeded, or has not ended
    has_ended   whether it has ended
    """

    __slots__ = ("channel", "controller", "error", "has_ended", "index", "response")

    def __init__(self, index: int, channel: Any, controller: Controller) -> None:
        self.index = index
        self.channel = channel
        self.controller = controller
        self.response: Any = None
        self.error: RpcError | None = None
        self.has_ended = False

    @property
    def code(self) -> int:
        """The error code; 0 if there is no error."""
        return 0 if self.error is None else self.error.code

    @property
    def server(self) -> Endpoint | None:
        """The address of the server that was called; `None` if none was."""
        return self.controller.remote_side

    @property
    def latency_us(self) -> int:
        """Microseconds that the sub call took."""
        return self.controller.latency_us

    @property
    def response_attachment(self) -> IOBuf:
        """Bytes that follow the response."""
        return self.controller.response_attachment

    def end(self, response: Any, error: RpcError | None) -> None:
        """Note the outcome."""
        self.response = response
        self.error = error
        if error is not None and self.controller.error_code != error.code:
            self.controller.error_code = error.code
            self.controller.error_text = error.text
        self.has_ended = True

    def __repr__(self) -> str:
        state = "in flight" if not self.has_ended else "ok" if self.error is None else self.error
        return f"<SubResult of channel {self.index}, {state}, {self.latency_us} us>"
