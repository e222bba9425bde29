"""A method called `default_method` gets all paths of its service that name no other method."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import message_factory

import pybrpc
from tests.fakes.routed_services import make_service
from tests.peers.http_server import JSON, ask, client_of

SERVICE = make_service("default.Files", ["default_method", "Other"])


class Files:
    """Answers with the name of the method, and with what of the path was left."""

    def default_method(self, request: Any, controller: pybrpc.Controller) -> Any:
        return self._answer("default", controller)

    def Other(self, request: Any, controller: pybrpc.Controller) -> Any:
        return self._answer("other", controller)

    def _answer(self, name: str, controller: pybrpc.Controller) -> Any:
        rest = controller.http_request.unresolved_path
        controller.http_response.content_type = "text/plain"
        controller.response_attachment = f"{name} {rest}".encode()
        return message_factory.GetMessageClass(SERVICE.file.message_types_by_name["Response"])()


@contextlib.contextmanager
def serving() -> Iterator[pybrpc.Server]:
    server = pybrpc.Server()
    server.add_service(SERVICE, Files())
    with server:
        server.start("127.0.0.1:0")
        yield server


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/Files", "default "),
        ("/Files/", "default "),
        ("/default.Files//a///b.txt/", "default a/b.txt"),
        ("/Files/a%20b", "default a%20b"),
        ("/Files/default_method/x", "default x"),
        ("/Files/Other", "other "),
        ("/Files/Other/x/y", "other x/y"),
    ],
)
def test_default_method_gets_the_rest_of_the_path(path: str, text: str) -> None:
    with serving() as server, client_of(server) as client:
        answer = ask(client, "POST", path, "{}", JSON)
        assert (answer.status, answer.text) == (200, text)


def test_default_method_is_called_by_get_no_more_than_others() -> None:
    with serving() as server, client_of(server) as client:
        answer = ask(client, "GET", "/Files/a.txt")
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
