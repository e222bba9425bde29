"""pybrpc: a method that echoes JSON, and one that answers with a text."""

from __future__ import annotations

import threading
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto

import pybrpc
from bench.echo_messages import SERVICE, EchoResponse
from bench.http.tasks import TEXT, TEXT_PATH


def _build_text_service() -> tuple[Any, Any]:
    """A service whose messages have no fields, and the class of its response."""
    file = FileDescriptorProto(name="bench/text.proto", package="bench", syntax="proto3")
    file.message_type.add(name="TextRequest")
    file.message_type.add(name="TextResponse")
    file.service.add(name="TextService").method.add(
        name="Hello", input_type=".bench.TextRequest", output_type=".bench.TextResponse"
    )
    built = descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    response = built.message_types_by_name["TextResponse"]
    return built.services_by_name["TextService"], message_factory.GetMessageClass(response)


TEXT_SERVICE, TextResponse = _build_text_service()
_TEXT_RESPONSE = TextResponse()


class EchoService:
    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return EchoResponse(message=request.message)


class TextService:
    def Hello(self, request: Any, controller: pybrpc.Controller) -> Any:
        controller.response_attachment = TEXT
        controller.http_response.content_type = "text/plain"
        return _TEXT_RESPONSE


class AsyncEchoService(EchoService):
    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return EchoResponse(message=request.message)


class AsyncTextService(TextService):
    async def Hello(self, request: Any, controller: pybrpc.Controller) -> Any:
        return TextService.Hello(self, request, controller)


def serve(port: int) -> None:
    _serve(port, EchoService(), TextService())


def serve_async(port: int) -> None:
    _serve(port, AsyncEchoService(), AsyncTextService())


def _serve(port: int, echo: EchoService, text: TextService) -> None:
    server = pybrpc.Server()
    server.add_service(SERVICE, echo)
    server.add_service(TEXT_SERVICE, text, restful_mappings=f"GET {TEXT_PATH} => Hello")
    server.start(f"127.0.0.1:{port}")
    threading.Event().wait()
