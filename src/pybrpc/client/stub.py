"""Stub: the methods of a service on a channel."""

from __future__ import annotations

from typing import Any, Protocol

from google.protobuf.descriptor import ServiceDescriptor

from pybrpc.rpc.method import Method, methods_of


class MethodMaker(Protocol):
    """A channel, as a stub sees it."""

    def make_method(self, method: Method) -> Any:
        """The callable for one method on this channel."""


class Stub:
    """The methods of a service as attributes, without generated code.

        stub = pybrpc.Stub(echo_pb2.DESCRIPTOR.services_by_name["EchoService"], channel)
        reply = stub.Echo(request, timeout=0.5)      # pybrpc.Channel
        reply = await stub.Echo(request)             # pybrpc.aio.Channel

    Cheap to make, thread-safe.
    """

    def __init__(self, service: ServiceDescriptor, channel: MethodMaker) -> None:
        if not hasattr(channel, "make_method"):
            raise TypeError(f"pass a pybrpc.Channel or pybrpc.aio.Channel, not {channel!r}")
        self._service_name = ""
        self._channel = channel
        for method in methods_of(service):
            self._service_name = method.service_name
            setattr(self, method.name, channel.make_method(method))

    def __getattr__(self, name: str) -> Any:
        methods = ", ".join(name for name in vars(self) if not name.startswith("_"))
        service = vars(self).get("_service_name")
        raise AttributeError(f"{service} has no method {name}; it has {methods}")

    def __repr__(self) -> str:
        return f"<Stub of {self._service_name} on {self._channel!r}>"
