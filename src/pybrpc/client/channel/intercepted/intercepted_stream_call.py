"""InterceptedStreamCall: a call that opens streams, with interceptors around it. For threads.

The interceptors run around the call, from its request to its response; not around the messages of
its streams.
"""

from __future__ import annotations

from typing import Any, Self

from pybrpc.client.channel.stream_call import StreamCall
from pybrpc.rpc.interceptors.chain import ThreadChain
from pybrpc.rpc.interceptors.interceptor import InterceptedCall


class InterceptedStreamCall(StreamCall):
    """A StreamCall of a channel with interceptors, which run in `open`."""

    __slots__ = ("_chain",)

    _chain: ThreadChain

    def open(self) -> Self:
        """As `StreamCall.open`. Raises what an interceptor raises, too; the streams are reset."""

        def last(request: Any) -> Any:
            self._request = request
            return StreamCall.open(self).response

        try:
            response = self._chain.run(intercepted_call_of(self), last)
            check_is_open(self)
        except BaseException:
            self.reset()
            raise
        self.response = response
        return self


def intercepted_call_of(call: Any) -> InterceptedCall:
    """A call that opens streams, as its interceptors see it. Raises what it raises for a wrong
    timeout."""
    call._timeout_s()
    return InterceptedCall(
        "client",
        call._method.full_name,
        call._request,
        call.controller,
        call._channel.endpoint,
        True,
    )


def check_is_open(call: Any) -> None:
    """TypeError if an interceptor has answered `call`, or hidden its error: it has no streams."""
    if not isinstance(call._streams, list):
        raise TypeError(
            f"an interceptor answered the call of {call._method.full_name}, which opens streams, "
            "without them: return after proceed(), or raise an RpcError"
        )
