"""Files of rpc_dump, for the commands that read them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from pybrpc.cli.command import UsageError
from pybrpc.server.rpc_dump.dump_format import (
    PROTOCOL_BAIDU_STD,
    DumpedRequest,
    DumpFormatError,
    read_requests,
)
from pybrpc.server.rpc_dump.dump_writer import is_dump


def files_of(paths: Sequence[str]) -> list[str]:
    """The files, and those in the directories, in order. UsageError if there is none, or
    if a directory can't be read."""
    found: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            try:
                names = sorted(os.listdir(path))
            except OSError as error:
                raise UsageError(f"{path}: {error.strerror}") from error
            found += [os.path.join(path, each) for each in names if is_dump(each)]
        else:
            found.append(path)
    if not found:
        raise UsageError(f"there is no file of rpc_dump in {', '.join(paths)}")
    return found


def read_files(files: Sequence[str]) -> Iterator[DumpedRequest]:
    """The requests of all files. UsageError, with the name of the file, if one makes no sense."""
    for path in files:
        try:
            with open(path, "rb") as file:
                for request in read_requests(file):
                    if request.protocol_type != PROTOCOL_BAIDU_STD:
                        raise DumpFormatError("a request is of another protocol than baidu_std")
                    yield request
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        except DumpFormatError as error:
            raise UsageError(f"{path}: {error}") from error
