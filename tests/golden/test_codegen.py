"""The files that protoc-gen-pybrpc writes are those in the repository, with each compiler here.

After a change of the generated code:  PYBRPC_WRITE_GOLDEN=1 pytest tests/golden/test_codegen.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

import pybrpc
from pybrpc.codegen import plugin
from tests.peers.protoc import PROTOCS, Protoc, any_protoc, buf_generate

TESTS = Path(__file__).parents[1]
ODD = TESTS / "golden" / "codegen" / "protos"
FILES = sorted(str(path.relative_to(ODD)) for path in ODD.rglob("*.proto"))
EXPECTED = {
    "": TESTS / "golden" / "codegen" / "absolute",
    "relative_imports": TESTS / "golden" / "codegen" / "relative",
}
CATALOG = TESTS / "typing" / "catalog"


# Each runs a compiler, which starts a Python for the plugin.
pytestmark = pytest.mark.same_everywhere


def written(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): path.read_text()
        for path in sorted(directory.rglob("*_brpc.py"))
    }


@pytest.fixture(params=PROTOCS)
def protoc(request: pytest.FixtureRequest, tmp_path: Path) -> Protoc:
    return Protoc(request.param, tmp_path)


@pytest.fixture
def compiled(protoc: Protoc, tmp_path: Path) -> Callable[[Path, Sequence[str], str], Path]:
    def compile(source: Path, files: Sequence[str], option: str) -> Path:
        made = tmp_path / "made"
        made.mkdir()
        options = [f"--pybrpc_opt={option}"] if option else []
        protoc.compile(source, files, [f"--pybrpc_out={made}", *options])
        return made

    return compile


@pytest.mark.slow
@pytest.mark.parametrize("option", EXPECTED)
def test_odd_names_are_written_as_expected(
    option: str, compiled: Callable[[Path, Sequence[str], str], Path]
) -> None:
    made = written(compiled(ODD, FILES, option))
    if os.environ.get("PYBRPC_WRITE_GOLDEN"):
        for name, text in made.items():
            path = EXPECTED[option] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    assert made == written(EXPECTED[option])
    assert len(made) == 3


@pytest.mark.slow
def test_example_for_type_checkers_is_written_as_expected(
    compiled: Callable[[Path, Sequence[str], str], Path],
) -> None:
    made = written(compiled(CATALOG, ["catalog.proto"], "relative_imports"))
    if os.environ.get("PYBRPC_WRITE_GOLDEN"):
        (CATALOG / "catalog_brpc.py").write_text(made["catalog_brpc.py"])
    assert made == written(CATALOG)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorSet:
    """The files with odd names, as protoc gives them to a plugin."""
    directory = tmp_path_factory.mktemp("odd")
    made = directory / "set"
    arguments = [f"--descriptor_set_out={made}", "--include_imports", "--include_source_info"]
    any_protoc(directory).compile(ODD, FILES, arguments)
    return FileDescriptorSet.FromString(made.read_bytes())


def respond_to(odd: FileDescriptorSet, names: list[str], option: str) -> dict[str, str]:
    request = CodeGeneratorRequest(parameter=option, file_to_generate=names, proto_file=odd.file)
    return {file.name: file.content for file in plugin.respond(request).file}


@pytest.mark.parametrize("option", EXPECTED)
def test_neither_order_nor_number_of_files_changes_anything(
    odd: FileDescriptorSet, option: str
) -> None:
    expected = written(EXPECTED[option])
    assert respond_to(odd, FILES, option) == expected
    assert respond_to(odd, FILES[::-1], option) == expected
    one_by_one: dict[str, str] = {}
    for name in FILES:
        one_by_one |= respond_to(odd, [name], option)
    assert one_by_one == expected


@pytest.mark.slow
@pytest.mark.parametrize("edition", ["2023", "2024"])
def test_file_with_an_edition_is_compiled(edition: str, tmp_path: Path) -> None:
    source = (CATALOG / "catalog.proto").read_text()
    for old, new in (('syntax = "proto3"', f'edition = "{edition}"'), ("  optional ", "  ")):
        source = source.replace(old, new)
    if edition == "2024":  # it wants other names than `del`
        legacy = "option features.enforce_naming_style = STYLE_LEGACY;"
        source = source.replace("package catalog;", f"package catalog;\n{legacy}")
    (tmp_path / "catalog.proto").write_text(source)
    protoc = Protoc("grpc_tools", tmp_path)
    arguments = [f"--python_out={tmp_path}", f"--pybrpc_out=relative_imports:{tmp_path}"]
    protoc.compile(tmp_path, ["catalog.proto"], arguments)
    assert written(tmp_path) == written(CATALOG)


@pytest.mark.slow
def test_buf_writes_the_same(tmp_path: Path) -> None:
    buf_generate(ODD, tmp_path / "made", ["relative_imports"])
    assert written(tmp_path / "made") == written(EXPECTED["relative_imports"])


@pytest.mark.slow
def test_unknown_option_is_an_error_of_protoc(protoc: Protoc, tmp_path: Path) -> None:
    result = protoc.run(CATALOG, ["catalog.proto"], [f"--pybrpc_out=typed:{tmp_path}"])
    assert result.returncode != 0
    assert "unknown option 'typed'; there is relative_imports" in result.stderr
    assert "Traceback" not in result.stderr
    assert written(tmp_path) == {}


CHECKED = ["odd-names.proto", "class/kept.proto", "other-dir/base.proto"]
CHECKED += ["shapes/all.proto", "shapes/base.proto", "shapes/draw.proto"]
"""Not words.proto: protoc makes a .pyi of it that is no Python."""


@pytest.mark.proof
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_have_nothing_to_say_of_odd_names(checker: str, tmp_path: Path) -> None:
    pytest.importorskip(checker)
    made = tmp_path / "made"
    made.mkdir()
    protoc = any_protoc(tmp_path)
    protoc.compile(ODD, CHECKED, [f"--pyi_out={made}", f"--pybrpc_out={made}"])
    protoc.compile(ODD, ["words.proto"], [f"--python_out={made}"])
    source = str(Path(pybrpc.__file__).parents[1])
    environment = os.environ | {"MYPYPATH": source}
    arguments = ["--strict", "--config-file=", f"--cache-dir={tmp_path}"]
    if checker == "pyright":
        settings = {"extraPaths": [source], "include": sorted(written(made))}
        (made / "pyrightconfig.json").write_text(json.dumps(settings))
        arguments = [f"--pythonpath={sys.executable}"]
    files = sorted(written(made)) if checker == "mypy" else []
    command = [sys.executable, "-m", checker, *arguments, *files]
    found = subprocess.run(
        command, cwd=made, env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
