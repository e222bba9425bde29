"""bRPC's own tests of a server (test/brpc_server_unittest.cpp), in our terms: those over HTTP.

Where all of them are; test_acceptance_server.py has those over baidu_std:

    various_forms_of_uri_paths              here
    missing_required_fields                 here
    http_error_code                         here, the client's side too
    disallow_http_body_to_pb                here; test_http_server_bodies
    restful_mapping                         here, the whole table; unit/server/routing,
                                            property/test_routing (with a model of the C++ code)
    conflict_name_between_restful_mapping_and_builtin   test_http_server
    restful_mapping_is_tried_after_others   here
    base64_to_string, single_repeated_to_array          here; test_http_server_bodies; unit/json2pb
    only_allow_protocols_in_enabled_protocols           test_http_server_limits

Ours differ in these, and say so where they are: a blank inside a path is an error of the caller
before anything is sent; the code of a failed call always reaches the client, not only with a flag;
a GET calls what it is mapped to alone; enabled_protocols means HTTP too.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import message_factory

import pybrpc
from pybrpc.errors import ErrorCode, LimitReachedError, ServerStateError
from pybrpc.protocols.http1 import URI
from tests.peers.http_server import JSON, TIMEOUT_S, Answer, ask, client_of
from tests.peers.json_service import json_service
from tests.peers.restful_service import RestfulEcho, restful_service

ECHO = "/EchoService/Echo"

MAPPINGS = (
    "/v1/echo/ => Echo,"
    "/v3/echo => Echo,"
    "/v2/echo/* => Echo,"
    "/v4_echo => Echo,"
    " v5/echo => Echo,"
    " /v6/echo => Echo,"
    " /v6/echo/* => Echo2,"
    " /v6/abc/*/def => Echo3,"
    " /v6/echo/*.flv => Echo4,"
    " /v6/*.flv => Echo5,"
    " *.flv => Echo,"
)


@contextlib.contextmanager
def serving(service: RestfulEcho, **options: Any) -> Iterator[pybrpc.Server]:
    server = pybrpc.Server()
    server.add_service(restful_service(), service, **options)
    with server:
        server.start("127.0.0.1:0")
        yield server


def ask_echo(server: pybrpc.Server, path: str, message: str = "foo") -> Answer:
    with client_of(server) as client:
        return ask(client, "POST", path, json.dumps({"message": message}), JSON)


def test_various_forms_of_uri_paths() -> None:
    """ServerTest.various_forms_of_uri_paths"""
    service = RestfulEcho()
    with serving(service) as server:
        for path in (ECHO, "/EchoService///Echo//", "/EchoService/Echo/Foo"):
            assert ask_echo(server, path).json == {"message": "foo_v1"}
        assert service.called == ["Echo"] * 3
        with pybrpc.Channel(str(server.endpoint), protocol="http", timeout=TIMEOUT_S) as channel:
            with pytest.raises(ValueError, match=r"[Bb]lank|[Ss]pace|target|path"):
                channel.http("POST", "/EchoService /Echo/", body=b'{"message":"foo"}')
    assert service.called == ["Echo"] * 3


@pytest.mark.parametrize(
    ("method", "body"), [("POST", ""), ("POST", '{"message2":"foo"}'), ("POST", "{}")]
)
def test_missing_required_fields(method: str, body: str) -> None:
    """ServerTest.missing_required_fields, and the first part of http_error_code"""
    service = RestfulEcho()
    with serving(service) as server, client_of(server) as client:
        answer = ask(client, method, ECHO, body, JSON)
        assert answer.status == 400
        assert answer.headers["x-bd-error-code"] == str(int(ErrorCode.EREQUEST))
        assert "Missing required field" in answer.text
        assert ask(client, "GET", ECHO).status == 405, "it is mapped to no GET"
    assert service.called == []


def test_missing_required_fields_of_a_get_that_is_mapped() -> None:
    """ServerTest.missing_required_fields: its GET"""
    service = RestfulEcho()
    with serving(service, restful_mappings="/echo => Echo") as server, client_of(server) as client:
        assert ask(client, "GET", "/echo").status == 400
    assert service.called == []


def test_disallow_http_body_to_pb() -> None:
    """ServerTest.disallow_http_body_to_pb, and the second part of http_error_code"""
    service = RestfulEcho()
    options = {"allow_http_body_to_pb": False, "restful_mappings": "/access_echo1=>Echo"}
    with serving(service, **options) as server, client_of(server) as client:
        answer = ask(client, "GET", "/access_echo1")
        assert (answer.status, answer.headers["x-bd-error-code"]) == (
            500,
            str(int(ErrorCode.ERESPONSE)),
        )
        assert ask(client, "POST", "/access_echo1", "heheda").body == b"heheda"
    assert service.called == ["Echo"] * 2


@pytest.mark.parametrize(
    ("mappings", "why"),
    [
        ("/v1/echo => Echo,/v1/echo => Echo", "v1/echo"),
        ("/v1/echo => UnexistMethod", "UnexistMethod"),
        ("/v1/ echo => Echo", "v1/ echo"),
        ("  => Echo", "no path|empty|restful"),
        (" abc* => Echo", "abc"),
        (" abc/def* => Echo", "abc/def"),
        (" /v1/*/* => Echo", "v1"),
    ],
)
def test_mappings_that_are_refused(mappings: str, why: str) -> None:
    """ServerTest.restful_mapping: server2, and server5 to server9"""
    server = pybrpc.Server()
    with pytest.raises(ValueError, match=why):
        server.add_service(restful_service(), RestfulEcho(), restful_mappings=mappings)
    server.add_service(restful_service(), RestfulEcho())


def test_path_with_and_without_wildcard_may_be_there_together() -> None:
    """ServerTest.restful_mapping: server3"""
    service = RestfulEcho()
    with serving(service, restful_mappings="/v1/echo/* => Echo2,/v1/echo   => Echo") as server:
        assert ask_echo(server, "/v1/echo").status == 200
        assert ask_echo(server, "/v1/echo/a").status == 200
    assert service.called == ["Echo", "Echo2"]


def test_services_of_one_name_are_refused_with_paths_of_their_own_too() -> None:
    """ServerTest.restful_mapping: server4"""
    server = pybrpc.Server()
    server.add_service(restful_service(), RestfulEcho(), restful_mappings="/v1/echo => Echo")
    with pytest.raises(ServerStateError, match="the same short name"):
        server.add_service(
            restful_service("restful_2"), RestfulEcho(), restful_mappings="/v2/echo => Echo"
        )


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/v1/echo", "Echo"),
        ("/v3/echo", "Echo"),
        ("//v1///echo////", "Echo"),
        ("/v2/echo", "Echo"),
        ("/v2/echo/anything", "Echo"),
        ("/v4_echo", "Echo"),
        ("/v5/echo", "Echo"),
        ("/v6/echo", "Echo"),
        ("/v6/echo/test", "Echo2"),
        ("/v6/abc/heheda/def", "Echo3"),
        ("/v6/abc/def", "Echo3"),
        ("/v6/echo/1.flv", "Echo4"),
        ("//v6//d.flv//", "Echo5"),
        ("//d.flv//", "Echo"),
        ("/v7/e.flv", "Echo"),
        ("/v0/f.flv", "Echo"),
        ("/EchoService/Echo", None),
        ("/v3/echo/anything", None),
        ("/v6/abc/heheda/def2", None),
        ("/v6/ech/1.ts", None),
    ],
)
def test_restful_mapping(path: str, method: str | None) -> None:
    """ServerTest.restful_mapping: server1, and the third part of http_error_code"""
    service = RestfulEcho()
    with serving(service, restful_mappings=MAPPINGS) as server:
        answer = ask_echo(server, path, "xyz")
    if method is None:
        assert (answer.status, service.called) == (404, [])
        assert answer.headers["x-bd-error-code"] == str(int(ErrorCode.ENOMETHOD))
    else:
        end = "" if method == "Echo" else f"_{method}"
        assert (answer.json, service.called) == ({"message": f"xyz_v1{end}"}, [method])


def test_blanks_around_a_url_are_taken_off() -> None:
    """ServerTest.restful_mapping: " //v1///echo////  " of a client"""
    service = RestfulEcho()
    with serving(service, restful_mappings=MAPPINGS) as server:
        with pybrpc.Channel(str(server.endpoint), protocol="http", timeout=TIMEOUT_S) as channel:
            url = URI(" //v1///echo////  ")
            response = channel.http("POST", url.target, body=b'{"message":"hello"}')
            assert response.json() == {"message": "hello_v1"}


def test_default_url_may_be_allowed() -> None:
    """ServerTest.restful_mapping: server10"""
    service = RestfulEcho()
    options = {"restful_mappings": "/v1/echo => Echo", "allow_default_url": True}
    with serving(service, **options) as server:
        assert ask_echo(server, "/v1/echo").json == {"message": "foo_v1"}
        assert ask_echo(server, ECHO).json == {"message": "foo_v1"}


def test_paths_of_a_service_go_with_it() -> None:
    """ServerTest.restful_mapping: RemoveService"""
    service = RestfulEcho()
    server = pybrpc.Server()
    server.add_service(restful_service(), service, restful_mappings=MAPPINGS)
    server.remove_service(restful_service())
    with server:
        server.start("127.0.0.1:0")
        assert ask_echo(server, "/v1/echo").status == 404
        assert ask_echo(server, "/d.flv").status == 404
    assert service.called == []


def test_restful_mapping_is_tried_after_others() -> None:
    """ServerTest.restful_mapping_is_tried_after_others"""
    service = RestfulEcho()
    with serving(service, restful_mappings="* => Echo") as server, client_of(server) as client:
        status = ask(client, "GET", "/status")
        assert (status.status, "restful.EchoService" in status.text) == (200, True)
        assert ask_echo(server, ECHO).status == 404
        assert service.called == []
        assert ask_echo(server, "/non_exist").json == {"message": "foo_v1"}
    assert service.called == ["Echo"]


def test_http_error_code_of_a_full_method() -> None:
    """ServerTest.http_error_code: the fourth part, with the error that a client gets"""
    service = restful_service()

    class Nested(RestfulEcho):
        """Calls the method again while it runs."""

        code = 0

        def _answer(self, name: str, request: Any, controller: Any) -> Any:
            if not self.code:
                Nested.code = -1
                with pytest.raises(LimitReachedError) as caught:
                    stub.Echo(request)
                Nested.code = int(caught.value.code)
            return super()._answer(name, request, controller)

    server = pybrpc.Server()
    server.add_service(service, Nested())
    server.set_max_concurrency("restful.EchoService.Echo", 1)
    with server:
        endpoint = server.start("127.0.0.1:0")
        options = {"protocol": "http", "timeout": TIMEOUT_S, "max_retry": 0}
        with pybrpc.Channel(str(endpoint), **options) as channel:
            stub = pybrpc.Stub(service, channel)
            assert ask_echo(server, ECHO).status == 200
    assert Nested.code == int(ErrorCode.ELIMIT)


class JsonForms:
    """Answers with the request."""

    def Bytes(self, request: Any, controller: Any) -> Any:
        return request

    def List(self, request: Any, controller: Any) -> Any:
        return request


@contextlib.contextmanager
def json_forms(of_server: pybrpc.JsonOptions, of_client: pybrpc.JsonOptions) -> Iterator[Any]:
    """A stub of `JsonForms`, whose server and client have these options."""
    server = pybrpc.Server()
    server.add_service(json_service(), JsonForms(), json_options=of_server)
    with server:
        endpoint = server.start("127.0.0.1:0")
        options = {"protocol": "http", "timeout": TIMEOUT_S, "json_options": of_client}
        with pybrpc.Channel(str(endpoint), **options) as channel:
            yield pybrpc.Stub(json_service(), channel)


def forms_message(name: str, **fields: Any) -> Any:
    return message_factory.GetMessageClass(json_service().file.message_types_by_name[name])(
        **fields
    )


@pytest.mark.parametrize("is_base64", [True, False])
def test_base64_to_string(is_base64: bool) -> None:
    """ServerTest.base64_to_string: both sides have the option, or neither has it"""
    options = pybrpc.JsonOptions(pb_bytes_to_base64=is_base64)
    with json_forms(options, options) as stub:
        request = forms_message("Bytes", data=b"hello")
        assert stub.Bytes(request) == request


@pytest.mark.parametrize("of_server", [True, False])
@pytest.mark.parametrize("of_client", [True, False])
def test_single_repeated_to_array(of_server: bool, of_client: bool) -> None:
    """ServerTest.single_repeated_to_array: one without the option can't read what the other has
    sent"""
    by_form = {
        is_array: pybrpc.JsonOptions(
            single_repeated_to_array=is_array, array_to_single_repeated=is_array
        )
        for is_array in (True, False)
    }
    with json_forms(by_form[of_server], by_form[of_client]) as stub:
        request = forms_message("List", texts=["foo", "bar"])
        if of_server == of_client:
            assert stub.List(request) == request
        else:
            with pytest.raises(pybrpc.RpcError) as raised:
                stub.List(request)
            code = ErrorCode.ERESPONSE if of_server else ErrorCode.EREQUEST
            assert raised.value.code == int(code)
