"""Whatever names a .proto file has, the generated code is Python, and its types are those meant."""

from __future__ import annotations

import ast
import keyword
from typing import Any

import pytest
from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.codegen.plugin import respond

pytestmark = pytest.mark.same_everywhere

WORDS = st.one_of(
    st.sampled_from(["pybrpc", "Any", "a_pb2", "b_pb2", "a_a_pb2", "import_module", "SERVICE"]),
    st.sampled_from(["A", "AAio", "AStub", "_channel", "__init__", "request", "annotations"]),
    st.sampled_from([*keyword.kwlist, *keyword.softkwlist, "self", "google"]),
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,2}", fullmatch=True),
)
PATHS = st.lists(st.one_of(st.sampled_from("ab"), WORDS), min_size=1, max_size=3).map(
    lambda parts: "/".join(parts) + ".proto"
)


@st.composite
def files(draw: st.DrawFn) -> list[FileDescriptorProto]:
    made, messages = [], []
    for number, path in enumerate(draw(st.lists(PATHS, min_size=1, max_size=4, unique=True))):
        file = FileDescriptorProto(name=path, package=f"p{number}")
        name = draw(WORDS)
        file.message_type.add(name=name).nested_type.add(name="Inner")
        messages += [f".p{number}.{name}", f".p{number}.{name}.Inner"]
        made.append(file)
    for file in made:
        for name in draw(st.lists(WORDS, max_size=3, unique=True)):
            service = file.service.add(name=name)
            for method in draw(st.lists(WORDS, max_size=4, unique=True)):
                kinds = draw(st.sampled_from(messages)), draw(st.sampled_from(messages))
                service.method.add(name=method, input_type=kinds[0], output_type=kinds[1])
    return made


@given(files(), st.booleans())
def test_generated_code_is_python_and_its_types_are_those_meant(
    made: list[FileDescriptorProto], is_relative: bool
) -> None:
    request = CodeGeneratorRequest(
        proto_file=made,
        file_to_generate=[file.name for file in made],
        parameter="relative_imports" if is_relative else "",
    )
    texts = [file.content for file in respond(request).file]
    served = [file for file in made if file.service]
    assert len(texts) == len(served)
    for file, text in zip(served, texts, strict=True):
        compile(text, file.name, "exec", dont_inherit=True)
        check(file, ast.parse(text))


def check(file: FileDescriptorProto, tree: ast.Module) -> None:
    imported = {
        alias.asname or alias.name: alias.name
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert len({made.name for made in classes}) == len(classes) == 3 * len(file.service)
    for number, service in enumerate(file.service):
        for made in classes[3 * number : 3 * number + 3]:
            members = [
                node for node in made.body if isinstance(node, ast.AnnAssign | ast.FunctionDef)
            ]
            names = {name_of(node) for node in members}
            assert len(names) == len(members) == len(service.method)
            for method, member in zip(service.method, members, strict=True):
                kinds = [method.input_type, method.output_type]
                for kind, found in zip(kinds, types_in(member), strict=True):
                    check_type(kind, found, imported, names)


def check_type(kind: str, found: ast.expr, imported: dict[str, str], names: set[str]) -> None:
    """The name in `found` is that of an imported module, which nothing in the class hides."""
    root, *rest = ast.unparse(found).split(".")
    assert root not in names
    message = kind.split(".")[2:]
    if imported[root] == "Any":
        assert rest == []
    else:
        assert imported[root].endswith("_pb2")
        assert rest == message


def types_in(member: Any) -> list[ast.expr]:
    if isinstance(member, ast.AnnAssign):
        assert isinstance(member.annotation, ast.Subscript)
        assert isinstance(member.annotation.slice, ast.Tuple)
        return member.annotation.slice.elts
    return [member.args.posonlyargs[1].annotation, member.returns.slice]


def name_of(member: Any) -> str:
    name = member.target.id if isinstance(member, ast.AnnAssign) else member.name
    assert not name.startswith("__")
    return str(name)
