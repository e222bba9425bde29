"""The plugin: a request of protoc in, a response out."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from pybrpc.codegen.plugin import OptionError, Options, main, respond

pytestmark = pytest.mark.same_everywhere

ROOT = Path(__file__).parents[3]


def request(parameter: str = "") -> CodeGeneratorRequest:
    file = FileDescriptorProto(name="echo.proto", package="example")
    file.message_type.add(name="Text")
    service = file.service.add(name="Echo")
    service.method.add(name="Echo", input_type=".example.Text", output_type=".example.Text")
    without = FileDescriptorProto(name="none.proto")
    return CodeGeneratorRequest(
        parameter=parameter,
        file_to_generate=["echo.proto", "none.proto"],
        proto_file=[file, without],
    )


def test_file_with_services_gets_a_file() -> None:
    response = respond(request())
    (made,) = response.file
    assert made.name == "echo_brpc.py"
    compile(made.content, made.name, "exec")
    assert not response.HasField("error")


def test_imported_files_get_none() -> None:
    asked = request()
    asked.file_to_generate[:] = ["none.proto"]
    assert not respond(asked).file


def test_optional_fields_and_editions_are_supported() -> None:
    response = respond(CodeGeneratorRequest())
    assert response.supported_features & CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    assert response.supported_features & CodeGeneratorResponse.FEATURE_SUPPORTS_EDITIONS
    assert response.minimum_edition <= 998
    assert response.maximum_edition >= 1000


@pytest.mark.parametrize(
    "parameter", ["relative_imports", " relative_imports=true ,", ",relative_imports"]
)
def test_option_is_set(parameter: str) -> None:
    assert Options.of(parameter) == Options(relative_imports=True)


@pytest.mark.parametrize("parameter", ["", ",", "relative_imports=false"])
def test_option_is_not_set(parameter: str) -> None:
    assert Options.of(parameter) == Options(relative_imports=False)


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        ("relative", "unknown option 'relative'; there is relative_imports"),
        ("relative_imports,=", "unknown option ''"),
        ("relative_imports=yes", "relative_imports is true or false, not 'yes'"),
    ],
)
def test_wrong_option_is_an_error_of_the_response(parameter: str, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        Options.of(parameter)
    response = respond(request(parameter))
    assert response.error.startswith(f"protoc-gen-pybrpc: {text}")
    assert not response.file


@pytest.mark.parametrize(("sent", "status"), [(request().SerializeToString(), 0), (b"\xff", 1)])
def test_status_says_whether_there_was_a_request(
    sent: bytes,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(sent)))
    assert main([]) == status
    expected = respond(request()).SerializeToString() if status == 0 else b""
    assert capsysbinary.readouterr().out == expected


def run(sent: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "pybrpc.codegen.plugin", *arguments]
    environment = {"PYTHONPATH": str(ROOT / "src"), "PYBRPC_IMPL": "python"}
    return subprocess.run(command, input=sent, capture_output=True, env=environment, check=False)


@pytest.mark.slow
def test_command_reads_stdin_and_writes_stdout() -> None:
    made = run(request().SerializeToString())
    assert (made.returncode, made.stderr) == (0, b"")
    assert CodeGeneratorResponse.FromString(made.stdout) == respond(request())


@pytest.mark.slow
def test_bytes_that_are_no_request_are_refused() -> None:
    made = run(b"\xff")
    assert (made.returncode, made.stdout) == (1, b"")
    assert made.stderr.startswith(b"stdin has no request of protoc")
    assert b"Traceback" not in made.stderr


def test_arguments_are_refused_with_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 2
    assert "--pybrpc_out=." in capsys.readouterr().err


def test_terminal_gets_the_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    master, terminal = os.openpty()
    os.write(master, b"\x04")  # the end of the input, for a plugin that reads it
    with open(master, "rb"), open(terminal, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert main([]) == 2
    assert "--pybrpc_out=." in capsys.readouterr().err


def test_package_installs_the_command() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["protoc-gen-pybrpc"].partition(":")
    assert getattr(import_module(module), name) is main
