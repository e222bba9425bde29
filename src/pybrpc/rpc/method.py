"""Methods of protobuf services, taken from descriptors; no generated stubs are needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message


@dataclasses.dataclass(frozen=True, slots=True)
class Method:
    """One method of a service: its names on the wire and its message classes."""

    service_name: str
    """Full name, with the package."""
    name: str
    request_class: type[Message]
    response_class: type[Message]

    @property
    def full_name(self) -> str:
        return f"{self.service_name}.{self.name}"


def methods_of(service: ServiceDescriptor) -> Iterator[Method]:
    """The methods of a service, in the order of its .proto file.

    `service` is what `some_pb2.DESCRIPTOR.services_by_name["SomeService"]` gives.
    """
    if not hasattr(service, "methods") or not hasattr(service, "full_name"):
        raise TypeError(
            "pass the descriptor of a service, such as "
            f'echo_pb2.DESCRIPTOR.services_by_name["EchoService"], not {service!r}'
        )
    return map(_method_of, service.methods)


def _method_of(method: MethodDescriptor) -> Method:
    return Method(
        service_name=method.containing_service.full_name,
        name=method.name,
        request_class=message_factory.GetMessageClass(method.input_type),
        response_class=message_factory.GetMessageClass(method.output_type),
    )
