"""Methods that a GET calls. Any page in a browser can send one, so it must not change anything."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import ServiceDescriptor

import pybrpc
from tests.peers.http_server import JSON, ask, client_of

LEVELS = ("NO_SIDE_EFFECTS", "IDEMPOTENT", "IDEMPOTENCY_UNKNOWN")


@cache
def marked_service() -> ServiceDescriptor:
    """A method for each level of idempotency, and "Mapped", which says nothing of it."""
    file = descriptor_pb2.FileDescriptorProto(name="marked.proto", package="marked")
    file.message_type.add(name="Text").field.add(
        name="text",
        number=1,
        type=descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
        label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
    )
    service = file.service.add(name="Marked")
    for name in (*LEVELS, "Mapped"):
        method = service.method.add(
            name=name, input_type=".marked.Text", output_type=".marked.Text"
        )
        if name in LEVELS:
            level = descriptor_pb2.MethodOptions.IdempotencyLevel.Value(name)
            method.options.idempotency_level = level
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindServiceByName("marked.Marked")


class Marked:
    """Answers with the name of the method and the text of the request."""

    def __init__(self) -> None:
        self.called: list[str] = []
        for name in (*LEVELS, "Mapped"):
            setattr(self, name, self._method(name))

    def _method(self, name: str) -> Any:
        def answer(request: Any, controller: pybrpc.Controller) -> Any:
            self.called.append(name)
            return message_factory.GetMessageClass(request.DESCRIPTOR)(text=request.text)

        return answer


@contextlib.contextmanager
def serving(service: Marked, restful_mappings: str = "") -> Iterator[pybrpc.Server]:
    server = pybrpc.Server()
    server.add_service(marked_service(), service, restful_mappings=restful_mappings)
    with server:
        server.start("127.0.0.1:0")
        yield server


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", [*LEVELS, "Mapped"])
def test_get_calls_what_is_marked_to_have_no_side_effects(name: str, method: str) -> None:
    service = Marked()
    with serving(service) as server, client_of(server) as client:
        answer = ask(client, method, f"/Marked/{name}?text=a%20b")
        if name == "NO_SIDE_EFFECTS":
            assert (answer.status, service.called) == (200, [name])
            assert method == "HEAD" or answer.json == {"text": "a b"}
        else:
            assert (answer.status, service.called) == (405, [])
            assert answer.headers["allow"] == "POST"
        assert ask(client, "POST", f"/Marked/{name}", '{"text":"c"}', JSON).json == {"text": "c"}


@pytest.mark.parametrize(
    ("mapping", "get", "post"),
    [
        ("GET /v1/text => Mapped", 200, 405),
        ("POST /v1/text => Mapped", 405, 200),
        ("/v1/text => Mapped", 200, 200),
        ("GET /v1/text => Mapped, POST /v1/text => IDEMPOTENT", 200, 200),
    ],
)
def test_get_calls_what_is_mapped_to_it(mapping: str, get: int, post: int) -> None:
    with serving(Marked(), mapping) as server, client_of(server) as client:
        assert ask(client, "GET", "/v1/text").status == get
        assert ask(client, "POST", "/v1/text", "{}", JSON).status == post


def test_page_of_another_site_calls_nothing_by_get() -> None:
    """An image or a link there, whatever the method says of itself."""
    service = Marked()
    with serving(service) as server, client_of(server) as client:
        for mode in ("no-cors", "navigate"):
            headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode}
            answer = ask(client, "GET", "/Marked/NO_SIDE_EFFECTS", headers=headers)
            assert answer.status == 403
    assert service.called == []
