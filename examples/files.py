"""Sends files up to a server, and down from it, with progress and a checksum.

    python examples/files.py server 127.0.0.1:8000 a_folder
    python examples/files.py client 127.0.0.1:8000 put some/file
    python examples/files.py client 127.0.0.1:8000 get file another/file

A file travels as messages of 1 MiB, then an empty one, then its SHA-256. A stream has no half that
could be closed, so the empty message says that this was all. However long the file is, each side
holds a few messages of it: `send` waits until the other side has consumed what was sent.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import hashlib
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from google.protobuf import descriptor_pool, wrappers_pb2
from google.protobuf.descriptor_pb2 import (
    FileDescriptorProto,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

import pybrpc
from pybrpc.streams import Stream

Name = wrappers_pb2.StringValue
Size = wrappers_pb2.Int64Value

# As protoc would make it of
#     service Files {
#         rpc Put(google.protobuf.StringValue) returns (google.protobuf.Int64Value);
#         rpc Get(google.protobuf.StringValue) returns (google.protobuf.Int64Value);
#     }
FILE = FileDescriptorProto(
    name="examples/files.proto",
    package="examples",
    syntax="proto3",
    dependency=[wrappers_pb2.DESCRIPTOR.name],
    service=[
        ServiceDescriptorProto(
            name="Files",
            method=[
                MethodDescriptorProto(
                    name=name,
                    input_type=".google.protobuf.StringValue",
                    output_type=".google.protobuf.Int64Value",
                )
                for name in ("Put", "Get")
            ],
        )
    ],
)
BUILT = descriptor_pool.Default().AddSerializedFile(FILE.SerializeToString())
SERVICE = BUILT.services_by_name["Files"]

CHUNK_BYTES = 1 << 20
STUCK_S = 60.0
"""The other side may do nothing for so long."""

Progress = Callable[[int], None]
"""Is told how many bytes more have been sent or received."""


class WrongFileError(Exception):
    """The file that has come is not the one that was sent."""


def send_file(stream: Stream, file: BinaryIO, progress: Progress) -> None:
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
        stream.send(chunk, timeout=STUCK_S)
        progress(len(chunk))
    stream.send_many([b"", digest.digest()], timeout=STUCK_S)


def receive_file(stream: Stream, file: BinaryIO, progress: Progress) -> None:
    """StreamClosedError if the other side closes before the end of the file."""
    digest = hashlib.sha256()
    while chunk := stream.recv(timeout=STUCK_S):
        digest.update(chunk)
        file.write(chunk)
        progress(len(chunk))
    if stream.recv(timeout=STUCK_S) != digest.digest():
        raise WrongFileError("the checksum of the file is wrong")


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` once it is complete."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class Files:
    """The files of one folder. A name has no folder in it, and does not begin with a dot."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def Put(self, request: Any, controller: pybrpc.Controller) -> Any:
        path = self._path(request.value, controller)
        if path is None:
            return None

        def body(stream: Stream) -> None:
            try:
                with written_whole(path) as file:
                    receive_file(stream, file, lambda _: None)
            except (WrongFileError, OSError) as error:
                stream.send(str(error).encode())
            else:
                stream.send(b"")  # it is there

        controller.accept_stream(body=body)
        return Size()

    def Get(self, request: Any, controller: pybrpc.Controller) -> Any:
        path = self._path(request.value, controller)
        if path is None:
            return None
        try:
            file = path.open("rb")
        except OSError as error:
            controller.set_failed(error.errno or errno.EIO, f"no {path.name}: {error.strerror}")
            return None

        def body(stream: Stream) -> None:
            with file:
                send_file(stream, file, lambda _: None)

        controller.accept_stream(body=body)
        return Size(value=os.fstat(file.fileno()).st_size)

    def _path(self, name: str, controller: pybrpc.Controller) -> Path | None:
        if not name or name.startswith(".") or "/" in name or "\0" in name:
            controller.set_failed(errno.EINVAL, f"{name!r} is no name of a file")
            return None
        return self._folder / name


def serve(address: str, folder: Path) -> None:
    """Serve until Ctrl-C or SIGTERM. Transfers have 5 seconds to end then."""
    with pybrpc.Server() as server:
        server.add_service(SERVICE, Files(folder))
        print(f"The files are at {server.start(address)}", flush=True)
        server.run_until_asked_to_quit(grace=5)


class ProgressLine:
    """On stderr, a line that is written over."""

    def __init__(self, name: str, size: int) -> None:
        self._name, self._size, self._done = name, size, 0
        self._percent = -1

    def __call__(self, more: int) -> None:
        self._done += more
        percent = 100 * self._done // self._size if self._size else 100
        if percent != self._percent:
            self._percent = percent
            print(f"\r{self._name}: {percent} %", end="", file=sys.stderr, flush=True)


def put(stub: pybrpc.Stub, path: Path) -> None:
    with path.open("rb") as file, stub.Put.stream(Name(value=path.name)) as call:
        size = os.fstat(file.fileno()).st_size
        send_file(call.stream, file, ProgressLine(path.name, size))
        if problem := call.stream.recv(timeout=STUCK_S):
            raise WrongFileError(f"the server says: {problem.decode(errors='replace')}")


def get(stub: pybrpc.Stub, name: str, path: Path) -> None:
    with stub.Get.stream(Name(value=name)) as call, written_whole(path) as file:
        receive_file(call.stream, file, ProgressLine(name, call.response.value))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    server = commands.add_parser("server", help="have the files of a folder")
    server.add_argument("address", help="where to listen, such as 127.0.0.1:8000")
    server.add_argument("folder", type=Path)
    client = commands.add_parser("client", help="send a file, or get one")
    client.add_argument("address", help="that of the server")
    client.add_argument("what", choices=["put", "get"])
    client.add_argument("file", help="put: the path of the file; get: its name on the server")
    client.add_argument("path", nargs="?", type=Path, help="get: where to write it")
    options = parser.parse_args()
    if options.command == "server":
        serve(options.address, options.folder)
        return 0
    try:
        with pybrpc.Channel(options.address, timeout=5) as channel:
            stub = pybrpc.Stub(SERVICE, channel)
            if options.what == "put":
                put(stub, Path(options.file))
            else:
                get(stub, options.file, options.path or Path(options.file))
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except (pybrpc.RpcError, OSError, WrongFileError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    print(file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
