"""The text of generated files; tests/golden/test_codegen.py has whole ones."""

from __future__ import annotations

import ast

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from pybrpc.codegen.messages import Messages
from pybrpc.codegen.service_file import ServiceFile, class_names

pytestmark = pytest.mark.same_everywhere


def file_with(*services: str, path: str = "echo.proto") -> FileDescriptorProto:
    file = FileDescriptorProto(name=path, package="example")
    file.message_type.add(name="Text")
    for service in services:
        made = file.service.add(name=service)
        made.method.add(name="Echo", input_type=".example.Text", output_type=".example.Text")
    return file


def text_of(file: FileDescriptorProto) -> str:
    return ServiceFile(file, Messages([file]), False).text()


def test_each_service_has_three_classes() -> None:
    made = ast.parse(text_of(file_with("Echo", "Other")))
    classes = [node.name for node in made.body if isinstance(node, ast.ClassDef)]
    assert classes == [
        "EchoStub",
        "EchoAioStub",
        "EchoBase",
        "OtherStub",
        "OtherAioStub",
        "OtherBase",
    ]


def test_file_lies_beside_that_of_protoc() -> None:
    file = file_with(path="a/b-c.proto")
    assert ServiceFile(file, Messages([file]), False).path == "a/b_c_brpc.py"


def test_class_whose_name_is_taken_gets_an_underscore() -> None:
    assert class_names(["A", "AAio"]) == [
        ("AStub", "AAioStub", "ABase"),
        ("AAioStub_", "AAioAioStub", "AAioBase"),
    ]


def test_path_can_end_neither_comment_nor_string() -> None:
    path = 'a"""b\\\nraise\n.proto'
    text = text_of(file_with("Echo", path=path))
    assert (
        ast.get_docstring(ast.parse(text)) == f"Stubs and base classes for the services of {path}."
    )
    assert "\nraise" not in text


def test_comments_are_docstrings_of_classes_attributes_and_handlers() -> None:
    file = file_with("Echo")
    for path, comment in (((6, 0), " Echoes.\n"), ((6, 0, 2, 0), " Echo it.\n")):
        file.source_code_info.location.add(path=path, leading_comments=comment)
    text = text_of(file)
    assert text.count('    """Echoes."""\n') == 3
    assert text.count('Text]\n    """Echo it."""\n') == 2
    assert text.count('Text]:\n        """Echo it."""\n') == 1


def test_streaming_methods_have_a_comment_alone() -> None:
    file = file_with("Echo")
    file.service[0].method[0].server_streaming = True
    text = text_of(file)
    assert text.count("# Echo streams as methods of gRPC do: pybrpc can't call it.") == 2
    assert text.count("# Echo streams as methods of gRPC do: pybrpc can't serve it.") == 1
    assert "def Echo" not in text
    assert "Echo:" not in text
