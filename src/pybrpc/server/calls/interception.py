"""Interception: interceptors around the handlers of a server.

They are put around a handler when its service is added, so that calls of a server without
interceptors cost nothing more. They run where the handler runs, as part of it: in its context, with
its deadline; and what they raise becomes the response, as what the handler raises.
"""

from __future__ import annotations

import inspect
from typing import Any

from pybrpc.rpc.controller import Controller
from pybrpc.rpc.interceptors.chain import LoopChain, ThreadChain
from pybrpc.rpc.interceptors.interceptor import InterceptedCall, Interceptor, Kind
from pybrpc.server.calls.method_entry import Handler, is_async_handler


def intercepted(handler: Handler, interceptors: tuple[Interceptor, ...], name: str) -> Handler:
    """A handler that runs `interceptors` around `handler`, and is async if that is.

    `name`: of the method. TypeError if one of them can't run there.
    """
    if not interceptors:
        return handler
    if is_async_handler(handler):
        return _intercepted_async(handler, interceptors, name)
    where = f"around the plain handler of {name}, which runs in a thread"
    for interceptor in interceptors:
        interceptor.check_is_no(Kind.ASYNC, where, "a plain function")
    chain = ThreadChain(interceptors)

    def handle(request: Any, controller: Controller) -> Any:
        call = _call_of(request, controller)
        return chain.run(call, lambda request: handler(request, controller))

    return handle


def _intercepted_async(
    handler: Handler, interceptors: tuple[Interceptor, ...], name: str
) -> Handler:
    where = f"around the async handler of {name}, whose loop it would block"
    for interceptor in interceptors:
        interceptor.check_is_no(Kind.PLAIN, where, "an `async def`")
    chain = LoopChain(interceptors)
    begin = _returning(handler) if inspect.isasyncgenfunction(handler) else handler

    async def handle(request: Any, controller: Controller) -> Any:
        call = _call_of(request, controller)
        return await chain.run(call, lambda request: begin(request, controller))

    return handle


def _returning(generator: Handler) -> Handler:
    """An async handler that returns what `generator`, which yields, makes: it runs later."""

    async def begin(request: Any, controller: Controller) -> Any:
        return generator(request, controller)

    return begin


def _call_of(request: Any, controller: Controller) -> InterceptedCall:
    return InterceptedCall(
        "server",
        controller.method_name,
        request,
        controller,
        controller.remote_side,
        controller._streams is not None,
    )
