"""CallInvoker and RunnerHost: what workers, and the coroutines of tasks, ask of others."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from pybrpc.errors import RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.rpc.serving import HandlerThread
from pybrpc.rpc.timeout_queue import TimeoutQueue
from pybrpc.server.calls.response_batch import ResponseBatch


class CallInvoker(Protocol):
    """The Invoker, as workers see it."""

    def run(self, call: Any, response_batch: ResponseBatch, thread: HandlerThread) -> None:
        """Run `call` in `thread`, the calling one. Never raises.

        Its response may be left in `response_batch`.
        """

    def end_expired(self, calls: list[Any], now: float) -> None:
        """Answer calls that have expired while they waited. Never raises."""

    def refuse(self, call: Any, error: RpcError) -> None:
        """Answer `error` to a call that won't be run. Never raises."""


class RunnerHost(Protocol):
    """The HandlerLoop, as a CallRunner sees it. Called in the loop."""

    def put(self, call: Any, data: IOBuf) -> None:
        """Add a response that is written with others, in `end_round`."""

    def answer(self, call: Any, data: IOBuf) -> None:
        """Write a response of a call that had to wait."""

    def end_round(self, left: deque[Any]) -> None:
        """A task ends its round: write its responses, and run the calls in `left` elsewhere."""

    def keep(self, call: Any, now: float) -> TimeoutQueue | None:
        """`call` waits in its task: refer to it until `forget`. Return the queue that ends it at
        its deadline, from which the caller discards it; `None` if it has none."""

    def forget(self, call: Any) -> None:
        """`call`, which has waited in its task, has ended."""

    def drop(self, call: Any) -> None:
        """End a call whose task is gone. Any thread."""
