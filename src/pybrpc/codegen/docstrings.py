"""Comments: those of one .proto file; docstring: lines of Python that hold one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from google.protobuf.descriptor_pb2 import FileDescriptorProto

_SERVICE = FileDescriptorProto.SERVICE_FIELD_NUMBER
_METHOD = 2
"""The number of the field `method` of a ServiceDescriptorProto."""

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")


class Comments:
    """The comments of one .proto file, by the path of what they belong to."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._by_path: dict[tuple[int, ...], str] = {}
        for location in file.source_code_info.location:
            text = location.leading_comments or location.trailing_comments
            if text.strip():
                self._by_path.setdefault(tuple(location.path), text)

    def of_service(self, index: int) -> list[str]:
        """The lines of the comment of a service; none if it has no comment."""
        return self._lines((_SERVICE, index))

    def of_method(self, service: int, index: int) -> list[str]:
        """The lines of the comment of a method."""
        return self._lines((_SERVICE, service, _METHOD, index))

    def _lines(self, path: tuple[int, ...]) -> list[str]:
        text = self._by_path.get(path, "").replace("\r\n", "\n")
        lines = [line.rstrip() for line in text.split("\n")]
        # The blank after "//" is not a part of the comment.
        if all(line.startswith(" ") for line in lines if line):
            lines = [line[1:] for line in lines]
        while lines and not lines[0]:
            del lines[0]
        while lines and not lines[-1]:
            del lines[-1]
        return lines


def docstring(lines: Sequence[str], indent: str) -> list[str]:
    """The lines of a docstring, with nothing that could end it early or change its meaning."""
    first, *rest = map(escaped, lines)
    if not rest and first.endswith('"') and not first.endswith(_THREE):
        first = f'{first[:-1]}\\"'
    if first.startswith('"'):
        first = f"\\{first}"
    if not rest:
        return [f'{indent}"""{first}"""']
    body = [f"{indent}{line}" if line else "" for line in rest]
    return [f'{indent}"""{first}', *body, f'{indent}"""']


_THREE = '\\"' * 3


def escaped(line: str) -> str:
    """A line of text, as it stands in a docstring."""
    line = line.replace("\\", "\\\\").replace('"""', _THREE)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)
