"""Methods of protobuf services, taken from descriptors; no generated stubs are needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from pybrpc.errors import StreamingMethodError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.body import MessageType, parse_response, serialize_request
from pybrpc.rpc.body_encoding import PLAIN, BodyEncoding, EncodedBody
from pybrpc.rpc.controller import Controller


class Method:
    """One method of a service: its names on the wire, its messages, how requests are encoded."""

    __slots__ = (
        "encoding",
        "index",
        "is_idempotent",
        "name",
        "request_type",
        "response_type",
        "service_name",
    )

    def __init__(
        self,
        service_name: str,
        name: str,
        request_type: MessageType,
        response_type: MessageType,
        encoding: BodyEncoding = PLAIN,
        is_idempotent: bool = False,
        index: int | None = None,
    ) -> None:
        """`service_name`: the full one, with the package."""
        self.service_name = service_name
        self.name = name
        self.request_type = request_type
        self.response_type = response_type
        self.encoding = encoding
        """How its requests are encoded, unless the controller of a call asks for something else."""
        self.is_idempotent = is_idempotent
        """Whether a request may run twice without harm: its `idempotency_level` says so."""
        self.index = index
        """Its place in the service, from 0 on; `None` if that is not known."""

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
        return Method(
            self.service_name,
            self.name,
            self.request_type,
            self.response_type,
            encoding,
            self.is_idempotent,
            self.index,
        )

    def serialize(
        self, request: Message, controller: Controller | None
    ) -> bytes | IOBuf | EncodedBody:
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
    """The unary methods of a service, in the order of its .proto file.

    `service` is what `some_pb2.DESCRIPTOR.services_by_name["SomeService"]` gives.
    """
    _check_service(service)
    return map(method_of, [method for method in service.methods if not is_streaming(method)])


def streaming_methods_of(service: ServiceDescriptor) -> list[str]:
    """The names of the methods of a service that stream requests or responses."""
    _check_service(service)
    return [method.name for method in service.methods if is_streaming(method)]


def is_streaming(method: MethodDescriptor) -> bool:
    """Whether a method streams requests or responses."""
    kind: Any = method  # the types that mypy knows lack both
    return bool(kind.client_streaming or kind.server_streaming)


def _check_service(service: ServiceDescriptor) -> None:
    if not hasattr(service, "methods") or not hasattr(service, "full_name"):
        raise TypeError(
            "pass the descriptor of a service, such as "
            f'echo_pb2.DESCRIPTOR.services_by_name["EchoService"], not {service!r}'
        )


def method_of(method: MethodDescriptor) -> Method:
    """Make a Method from its descriptor, such as `service.methods_by_name["SomeMethod"]`.

    StreamingMethodError if it streams.
    """
    if not hasattr(method, "containing_service"):
        raise TypeError(
            "pass the descriptor of a method, such as "
            'echo_pb2.DESCRIPTOR.services_by_name["EchoService"].methods_by_name["Echo"], '
            f"not {method!r}"
        )
    if is_streaming(method):
        name = f"{method.containing_service.full_name}.{method.name}"
        raise StreamingMethodError(f"{name} streams, and a unary method is needed")
    # The module that has the service has imported these. Here they would be imported for all.
    from google.protobuf.descriptor_pb2 import MethodOptions
    from google.protobuf.message_factory import GetMessageClass

    return Method(
        service_name=method.containing_service.full_name,
        name=method.name,
        request_type=MessageType(GetMessageClass(method.input_type)),
        response_type=MessageType(GetMessageClass(method.output_type)),
        is_idempotent=method.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN,
        index=method.index,
    )
