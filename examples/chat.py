"""A chat room: every line of one member reaches all others.

    python examples/chat.py server 127.0.0.1:8000
    python examples/chat.py client 127.0.0.1:8000 Ann
    python examples/chat.py client 127.0.0.1:8000 Bob

Each member has one stream, on which messages travel in both directions. Type lines; Ctrl-C or the
end of the input leaves the room. A member whose terminal takes nothing for long is put out, and
the others don't wait for it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading
from functools import partial
from typing import Any

from google.protobuf import descriptor_pool, empty_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import (
    FileDescriptorProto,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

import pybrpc
from pybrpc.streams import AioStream

Text = wrappers_pb2.StringValue

# As protoc would make it of
#     service Room { rpc Join(google.protobuf.StringValue) returns (google.protobuf.Empty); }
FILE = FileDescriptorProto(
    name="examples/chat.proto",
    package="examples",
    syntax="proto3",
    dependency=[wrappers_pb2.DESCRIPTOR.name, empty_pb2.DESCRIPTOR.name],
    service=[
        ServiceDescriptorProto(
            name="Room",
            method=[
                MethodDescriptorProto(
                    name="Join",
                    input_type=".google.protobuf.StringValue",
                    output_type=".google.protobuf.Empty",
                )
            ],
        )
    ],
)
BUILT = descriptor_pool.Default().AddSerializedFile(FILE.SerializeToString())
SERVICE = BUILT.services_by_name["Room"]

SMALL = pybrpc.StreamOptions(max_buf_size=64 * 1024)
"""So much a member may be behind."""


class Room:
    """The members that are in the room, by their names."""

    def __init__(self) -> None:
        self.members: dict[str, AioStream] = {}

    async def Join(self, request: Any, controller: pybrpc.Controller) -> Any:
        name = request.value
        if not name or name in self.members:
            controller.set_failed(20001, f"the name {name!r} is taken")
            return None
        stream = controller.accept_stream(SMALL, body=partial(self.be_a_member, name))
        self.members[name] = stream
        return empty_pb2.Empty()

    async def be_a_member(self, name: str, stream: AioStream) -> None:
        """From the answer until the member leaves."""
        self.tell_all(f"* {name} comes, and makes {len(self.members)} of us")
        try:
            async for line in stream.of(Text):
                self.tell_all(f"{name}: {line.value}", but=name)
        finally:
            del self.members[name]
            self.tell_all(f"* {name} leaves")

    def tell_all(self, line: str, but: str = "") -> None:
        message = Text(value=line).SerializeToString()
        for name, stream in list(self.members.items()):
            if name == but or stream.is_closed:
                continue
            try:
                stream.send_nowait(message)
            except pybrpc.errors.OvercrowdedError:
                stream.reset()  # its body ends, and tells the others
            except pybrpc.RpcError:
                pass  # it has just left

    async def close(self) -> None:
        for stream in list(self.members.values()):
            await stream.close(timeout=1)


async def serve(address: str) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    async with pybrpc.Server() as server:
        room = Room()
        server.add_service(SERVICE, room)
        print(f"The room is at {server.start(address)}", flush=True)
        await until_asked_to_quit()
        await room.close()


async def until_asked_to_quit() -> None:
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    await asked.wait()


async def chat(address: str, name: str) -> None:
    """Be in the room until the input ends, the room closes, or Ctrl-C."""
    async with (
        pybrpc.aio.Channel(address, timeout=5) as channel,
        pybrpc.Stub(SERVICE, channel).Join.stream(Text(value=name), options=SMALL) as call,
    ):
        tasks = {
            asyncio.create_task(each)
            for each in (show(call.stream), say(call.stream), until_asked_to_quit())
        }
        done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        for task in done:
            task.result()


async def show(stream: AioStream) -> None:
    async for line in stream.of(Text):
        print(line.value, flush=True)


async def say(stream: AioStream) -> None:
    """Send the lines that are typed."""
    lines: asyncio.Queue[str] = asyncio.Queue()
    read_lines(asyncio.get_running_loop(), lines)
    while line := await lines.get():
        await stream.of(Text).send(Text(value=line.rstrip("\n")))


def read_lines(loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[str]) -> None:
    """Put the lines of the standard input into `lines`, and "" at its end, from a daemon thread.

    Not with `sys.stdin`, whose lock the thread would have when the program ends.
    """

    def read() -> None:
        rest = b""
        while data := os.read(0, 65536):
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                put(line.decode(errors="replace") + "\n")
        put(rest.decode(errors="replace"))
        put("")

    def put(line: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(lines.put_nowait, line)

    threading.Thread(target=read, daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    server = commands.add_parser("server", help="have the room")
    server.add_argument("address", help="where to listen, such as 127.0.0.1:8000")
    client = commands.add_parser("client", help="be in the room")
    client.add_argument("address", help="that of the server")
    client.add_argument("name", help="your name there")
    options = parser.parse_args()
    if options.command == "server":
        asyncio.run(serve(options.address))
        return
    try:
        asyncio.run(chat(options.address, options.name))
    except pybrpc.RpcError as error:
        sys.exit(f"{options.name} is out of the room: {error}")


if __name__ == "__main__":
    main()
