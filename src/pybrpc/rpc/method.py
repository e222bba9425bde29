"""Methods of protobuf services, taken from descriptors; no generated stubs are needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.body import parse_response, serialize_request
from pybrpc.rpc.body_encoding import PLAIN, BodyEncoding, EncodedBody
from pybrpc.rpc.controller import Controller


@dataclasses.dataclass(frozen=True)
class Method:
    """One method of a service: its names on the wire and its message classes."""

    service_name: str
    """Full name, with the package."""
    name: str
    request_class: type[Message]
    response_class: type[Message]
    encoding: BodyEncoding = PLAIN
    """How its requests travel, but for what the controller of a call says otherwise."""

    @property
    def full_name(self) -> str:
        return f"{self.service_name}.{self.name}"

    def serialize(self, request: Message, controller: Controller | None) -> bytes | EncodedBody:
        """A request as it travels; BadRequestError if it can't be one."""
        return serialize_request(request, self.request_class, controller, self.encoding)

    def parse(self, response: RpcResponse, max_body_size: int) -> Message:
        """The message in a response; BadResponseError if there is none."""
        return parse_response(response, self.response_class, max_body_size)

    def fill(self, controller: Controller, response: RpcResponse) -> None:
        """Put what came beside the message into the caller's controller."""
        controller._note_response(response)
        controller._response_attachment = response.attachment
        controller._response_user_fields = response.user_fields


def methods_of(service: ServiceDescriptor) -> Iterator[Method]:
    """The methods of a service, in the order of its .proto file.

    `service` is what `some_pb2.DESCRIPTOR.services_by_name["SomeService"]` gives.
    """
    if not hasattr(service, "methods") or not hasattr(service, "full_name"):
        raise TypeError(
            "pass the descriptor of a service, such as "
            f'echo_pb2.DESCRIPTOR.services_by_name["EchoService"], not {service!r}'
        )
    return map(method_of, service.methods)


def method_of(method: MethodDescriptor) -> Method:
    """One method, by what `service.methods_by_name["SomeMethod"]` gives."""
    if not hasattr(method, "containing_service"):
        raise TypeError(
            "pass the descriptor of a method, such as "
            'echo_pb2.DESCRIPTOR.services_by_name["EchoService"].methods_by_name["Echo"], '
            f"not {method!r}"
        )
    return Method(
        service_name=method.containing_service.full_name,
        name=method.name,
        request_class=message_factory.GetMessageClass(method.input_type),
        response_class=message_factory.GetMessageClass(method.output_type),
    )
