"""Methods of protobuf services, taken from descriptors; no generated stubs are needed."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.body import MessageType, parse_response, serialize_request
from pybrpc.rpc.body_encoding import PLAIN, BodyEncoding, EncodedBody
from pybrpc.rpc.controller import Controller


class Method:
    """One method of a service: its names on the wire, its messages, how requests are encoded."""

    __slots__ = ("encoding", "name", "request_type", "response_type", "service_name")

    def __init__(
        self,
        service_name: str,
        name: str,
        request_type: MessageType,
        response_type: MessageType,
        encoding: BodyEncoding = PLAIN,
    ) -> None:
        """`service_name`: the full one, with the package."""
        self.service_name = service_name
        self.name = name
        self.request_type = request_type
        self.response_type = response_type
        self.encoding = encoding
        """How its requests are encoded, unless the controller of a call asks for something else."""

    @property
    def full_name(self) -> str:
        return f"{self.service_name}.{self.name}"

    @property
    def request_class(self) -> type[Message]:
        return self.request_type.message_class

    @property
    def response_class(self) -> type[Message]:
        return self.response_type.message_class

    def with_encoding(self, encoding: BodyEncoding) -> Method:
        """A copy of this method, with requests that are encoded by `encoding`."""
        return Method(self.service_name, self.name, self.request_type, self.response_type, encoding)

    def serialize(self, request: Message, controller: Controller | None) -> bytes | EncodedBody:
        """The encoded body of a request; BadRequestError if `request` is not allowed."""
        return serialize_request(request, self.request_type, controller, self.encoding)

    def parse(self, response: RpcResponse, max_body_size: int) -> Message:
        """The message in a response; BadResponseError if there is none."""
        return parse_response(response, self.response_type, max_body_size)

    def fill(self, controller: Controller, response: RpcResponse) -> None:
        """Put the rest of the response, beside the message, into the caller's controller."""
        controller._note_response(response)
        controller._response_attachment = response.attachment
        controller._response_user_fields = response.user_fields

    def __repr__(self) -> str:
        return f"<Method {self.full_name}>"


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
    """Make a Method from its descriptor, such as `service.methods_by_name["SomeMethod"]`."""
    if not hasattr(method, "containing_service"):
        raise TypeError(
            "pass the descriptor of a method, such as "
            'echo_pb2.DESCRIPTOR.services_by_name["EchoService"].methods_by_name["Echo"], '
            f"not {method!r}"
        )
    return Method(
        service_name=method.containing_service.full_name,
        name=method.name,
        request_type=MessageType(message_factory.GetMessageClass(method.input_type)),
        response_type=MessageType(message_factory.GetMessageClass(method.output_type)),
    )
