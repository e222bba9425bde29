"""/list and /protobufs."""

from __future__ import annotations

import json

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from pybrpc.builtin.page import JSON
from pybrpc.builtin.registry import run_page
from pybrpc.builtin.server_view import MethodView, ServiceView
from pybrpc.builtin.service_pages import PROTOBUF, file_set_of
from tests.fakes.pages import FakeServerView, Markup, request_of
from tests.peers.echo import ECHO


def view_of_echo() -> FakeServerView:
    view = FakeServerView()
    names = ("conformance.EchoRequest", "conformance.EchoResponse")
    methods = [
        MethodView(name, f"conformance.EchoService.{name}", *names) for name in ("Echo", "Stream")
    ]
    view.services_shown = [
        ServiceView("EchoService", "conformance.EchoService", tuple(methods)),
        ServiceView("*", "*", (MethodView("*", "*", "", ""),)),
    ]
    view.service_descriptors = [ECHO]
    return view


LIST = (
    '{"service":[{"name":"EchoService","method":[{"name":"Echo","input_type":'
    '".conformance.EchoRequest","output_type":".conformance.EchoResponse"},{"name":"Stream",'
    '"input_type":".conformance.EchoRequest","output_type":".conformance.EchoResponse"}]}]}'
)
"""shared/vectors/pages/list.txt, which a C++ server has sent."""


def test_the_list_is_that_of_c_plus_plus() -> None:
    for is_html in (False, True):
        found = run_page(request_of("/list", wants_html=is_html), view_of_echo())
        assert (found.content_type, found.body) == (JSON, LIST)


def test_protobufs_are_those_of_c_plus_plus() -> None:
    assert run_page(request_of("/protobufs"), view_of_echo()).body == (
        "conformance.EchoRequest\nconformance.EchoResponse\nconformance.EchoService\n"
    )
    markup = Markup(str(run_page(request_of("/protobufs", wants_html=True), view_of_echo()).body))
    assert "/protobufs/conformance.EchoRequest" in markup.values_of("href")


def test_descriptor_set_has_the_files_in_the_order_of_their_imports() -> None:
    found = run_page(request_of("/protobufs?descriptor_set=1"), view_of_echo())
    assert found.content_type == PROTOBUF
    files = FileDescriptorSet.FromString(found.body_bytes()).file
    assert [file.name for file in files] == [ECHO.file.name]
    pool = DescriptorPool()
    for file in files:
        pool.Add(file)
    assert pool.FindServiceByName("conformance.EchoService").methods_by_name["Echo"]


def test_imports_come_first_in_a_descriptor_set() -> None:
    pool = DescriptorPool()
    for name, imports in (("c", []), ("b", ["c"]), ("b2", ["c"]), ("a", ["b", "b2"])):
        file = FileDescriptorProto(name=name, dependency=imports)
        if name == "a":
            file.message_type.add(name="M")
            file.service.add(name="S").method.add(name="Do", input_type=".M", output_type=".M")
        pool.Add(file)
    view = FakeServerView()
    view.service_descriptors = [pool.FindServiceByName("S")]
    names = [file.name for file in file_set_of(view).file]
    assert sorted(names) == ["a", "b", "b2", "c"]
    assert (names[0], names[-1]) == ("c", "a")


def test_the_source_of_one() -> None:
    for is_html in (False, True):
        request = request_of("/protobufs/conformance.EchoService", wants_html=is_html)
        body = str(run_page(request, view_of_echo()).body)
        assert "rpc Echo(.conformance.EchoRequest) returns (.conformance.EchoResponse);" in body
    assert run_page(request_of("/protobufs/other"), view_of_echo()).status == 404


def test_a_server_without_services() -> None:
    view = FakeServerView()
    view.services_shown = []
    assert json.loads(run_page(request_of("/list"), view).body) == {"service": []}
    assert run_page(request_of("/protobufs"), view).body == ""
