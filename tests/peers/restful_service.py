"""The EchoService of bRPC's test/echo.proto, as far as tests of HTTP need it: Echo to Echo5."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import ServiceDescriptor

_FIELD = descriptor_pb2.FieldDescriptorProto
METHODS = ("Echo", "Echo2", "Echo3", "Echo4", "Echo5")


@cache
def restful_service(package: str = "restful") -> ServiceDescriptor:
    """Five methods from EchoRequest to EchoResponse, whose field `message` is required."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}_echo.proto", package=package, syntax="proto2"
    )
    for name in ("EchoRequest", "EchoResponse"):
        file.message_type.add(name=name).field.add(
            name="message", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_REQUIRED
        )
    service = file.service.add(name="EchoService")
    for name in METHODS:
        service.method.add(
            name=name,
            input_type=f".{package}.EchoRequest",
            output_type=f".{package}.EchoResponse",
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindServiceByName(f"{package}.EchoService")


class RestfulEcho:
    """Answers with the message, "_v1", and the name of the method unless it is Echo. Without a
    message, as when bodies are not turned into messages, the body is the answer if there is one.
    """

    def __init__(self) -> None:
        self.called: list[str] = []
        """The method of each call."""
        for name in METHODS:
            setattr(self, name, partial(self._answer, name))

    def _answer(self, name: str, request: Any, controller: Any) -> Any:
        self.called.append(name)
        response = message_factory.GetMessageClass(
            request.DESCRIPTOR.file.message_types_by_name["EchoResponse"]
        )()
        if request.HasField("message"):
            response.message = f"{request.message}_v1" + (f"_{name}" if name != "Echo" else "")
        else:
            controller.response_attachment = controller.request_attachment
        return response
