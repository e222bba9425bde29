"""A proxy: passes every call on to another server, and knows no message of it.

    python examples/proxy.py 127.0.0.1:8000 127.0.0.1:8001
    python examples/proxy.py --asyncio 127.0.0.1:8000 127.0.0.1:8001

It listens on the first address and calls the second. Bodies stay as they are, compressed ones too.
Attachments, user fields, log ids and request ids go along; error codes and texts come back as the
server has sent them. A call ends at the deadline of its caller, or with the caller's connection.
"""

from __future__ import annotations

import argparse
import asyncio
import signal

import pybrpc


class Proxy:
    """The handler of a generic service, for threads."""

    def __init__(self, channel: pybrpc.Channel) -> None:
        self._channel = channel

    def __call__(self, request: pybrpc.RawRequest, controller: pybrpc.Controller) -> bytes:
        onward = onward_controller(controller)
        method = self._channel.raw_method(
            request.service, request.method, index=request.method_index
        )
        try:
            body = method(request.body, controller=onward)
        except pybrpc.RpcError as error:
            return_error(error, onward, controller)
            return b""
        return_response(onward, controller)
        return body


class AioProxy:
    """The handler of a generic service, for asyncio."""

    def __init__(self, channel: pybrpc.aio.Channel) -> None:
        self._channel = channel

    async def __call__(self, request: pybrpc.RawRequest, controller: pybrpc.Controller) -> bytes:
        onward = onward_controller(controller)
        method = self._channel.raw_method(
            request.service, request.method, index=request.method_index
        )
        try:
            body = await method(request.body, controller=onward)
        except pybrpc.RpcError as error:
            return_error(error, onward, controller)
            return b""
        return_response(onward, controller)
        return body


def onward_controller(controller: pybrpc.Controller) -> pybrpc.Controller:
    """The controller of the call that passes a request on. Its deadline is inherited anyway."""
    onward = pybrpc.Controller(log_id=controller.log_id, request_id=controller.request_id)
    onward.request_compress_type = controller.request_compress_type
    onward.request_checksum_type = controller.request_checksum_type
    onward.request_checksum_attachment = controller.request_checksum_attachment
    if controller.request_attachment:
        onward.request_attachment = controller.request_attachment
    if controller.request_user_fields:
        onward.request_user_fields = controller.request_user_fields
    return onward


def return_response(onward: pybrpc.Controller, controller: pybrpc.Controller) -> None:
    """Give the caller all that has come with the response."""
    controller.response_compress_type = onward.response_compress_type
    controller.response_checksum_type = onward.response_checksum_type
    controller.response_checksum_attachment = onward.response_checksum_attachment
    if onward.response_attachment:
        controller.response_attachment = onward.response_attachment
    return_user_fields(onward, controller)


def return_user_fields(onward: pybrpc.Controller, controller: pybrpc.Controller) -> None:
    """Give the caller the user fields of the response. An error has them too."""
    if onward.response_user_fields:
        controller.response_user_fields = onward.response_user_fields


def return_error(
    error: pybrpc.RpcError, onward: pybrpc.Controller, controller: pybrpc.Controller
) -> None:
    """Give the caller the error: that of the server as it is, one of the proxy under its address.

    `set_failed` would put the address of the proxy before the text of the server. After ELOGOFF the
    caller takes it that the call has not run; but an earlier attempt of the proxy may have.
    """
    if error.code == pybrpc.ErrorCode.ELOGOFF and error.may_have_run:
        controller.set_failed(pybrpc.ErrorCode.EINTERNAL, error.message)
    elif error.is_remote:
        controller.error_code, controller.error_text = error.code, error.remote_text
        return_user_fields(onward, controller)
    else:
        controller.set_failed(error.code, error.message)


def serve(address: str, backend: str) -> None:
    """Serve with threads until Ctrl-C or SIGTERM."""
    with pybrpc.Channel(backend, timeout=None) as channel, pybrpc.Server() as server:
        server.add_generic_service(Proxy(channel))
        print(f"{server.start(address)} -> {backend}", flush=True)
        server.run_until_asked_to_quit()


async def serve_async(address: str, backend: str) -> None:
    """Serve in one asyncio loop until Ctrl-C or SIGTERM."""
    async with pybrpc.aio.Channel(backend, timeout=None) as channel, pybrpc.Server() as server:
        server.add_generic_service(AioProxy(channel))
        print(f"{server.start(address)} -> {backend}", flush=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        await server.wait_stopped()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("address", help="where to listen, such as 127.0.0.1:8000")
    parser.add_argument("backend", help="the server that gets the calls")
    parser.add_argument("--asyncio", action="store_true", help="one loop in place of threads")
    options = parser.parse_args()
    if options.asyncio:
        asyncio.run(serve_async(options.address, options.backend))
    else:
        serve(options.address, options.backend)


if __name__ == "__main__":
    main()
