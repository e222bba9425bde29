"""The command protoc-gen-pybrpc: a CodeGeneratorRequest on stdin, the response on stdout.

    protoc --python_out=. --pyi_out=. --pybrpc_out=. echo.proto
    protoc ... --pybrpc_opt=relative_imports

google/protobuf/compiler/plugin.proto describes both messages.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import Edition
from google.protobuf.message import DecodeError

from pybrpc.codegen.messages import Messages
from pybrpc.codegen.service_file import ServiceFile

USAGE = """\
protoc-gen-pybrpc is a plugin of protoc, which starts it:
    protoc --python_out=. --pyi_out=. --pybrpc_out=. echo.proto
Option: --pybrpc_opt=relative_imports   import x_pb2 from the package of x_brpc"""

_FEATURES = (
    CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL | CodeGeneratorResponse.FEATURE_SUPPORTS_EDITIONS
)


class OptionError(ValueError):
    """An option that does not exist, or has a wrong value."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options that `--pybrpc_opt` gives."""

    relative_imports: bool = False

    @classmethod
    def of(cls, parameter: str) -> Options:
        """Those of a parameter, "name" or "name=value" with commas between them. OptionError for
        an unknown one."""
        is_relative = False
        for option in filter(None, map(str.strip, parameter.split(","))):
            name, mark, value = option.partition("=")
            if name != "relative_imports":
                raise OptionError(f"unknown option {name!r}; there is relative_imports")
            if mark and value not in ("true", "false"):
                raise OptionError(f"{name} is true or false, not {value!r}")
            is_relative = value != "false"
        return cls(is_relative)


def respond(request: CodeGeneratorRequest) -> CodeGeneratorResponse:
    """The files for a request, or the error of its options. Files without a service have none."""
    response = CodeGeneratorResponse(supported_features=int(_FEATURES))
    response.minimum_edition = Edition.EDITION_PROTO2
    response.maximum_edition = Edition.EDITION_2024
    try:
        options = Options.of(request.parameter)
    except OptionError as error:
        response.error = f"protoc-gen-pybrpc: {error}"
        return response
    messages = Messages(request.proto_file)
    files = {file.name: file for file in request.proto_file}
    for name in request.file_to_generate:
        if files[name].service:
            made = ServiceFile(files[name], messages, options.relative_imports)
            response.file.add(name=made.path, content=made.text())
    return response


def main(arguments: list[str] | None = None) -> int:
    """Run the plugin. Return the exit status: 1 for bytes that are no request, 2 for arguments."""
    has_arguments = bool(sys.argv[1:] if arguments is None else arguments)
    if has_arguments or sys.stdin.isatty():  # nobody types a request
        print(USAGE, file=sys.stderr)
        return 2
    try:
        request = CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    except DecodeError:
        print(f"stdin has no request of protoc. {USAGE}", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(respond(request).SerializeToString())
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
