"""A stream of tokens, as servers of language models send them: one after another, as they come.

    python examples/tokens.py server 127.0.0.1:8000
    python examples/tokens.py client 127.0.0.1:8000 "Tell me something" --at-most 20

The server makes tokens in an async generator. A client that leaves its `async with`, because it has
enough, or because of Ctrl-C, ends the generator at once: nothing is computed that nobody reads. A
client that reads slowly slows the generator down, because `send` waits.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncGenerator
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
#     service Model { rpc Generate(google.protobuf.StringValue) returns (google.protobuf.Empty); }
FILE = FileDescriptorProto(
    name="examples/tokens.proto",
    package="examples",
    syntax="proto3",
    dependency=[wrappers_pb2.DESCRIPTOR.name, empty_pb2.DESCRIPTOR.name],
    service=[
        ServiceDescriptorProto(
            name="Model",
            method=[
                MethodDescriptorProto(
                    name="Generate",
                    input_type=".google.protobuf.StringValue",
                    output_type=".google.protobuf.Empty",
                )
            ],
        )
    ],
)
BUILT = descriptor_pool.Default().AddSerializedFile(FILE.SerializeToString())
SERVICE = BUILT.services_by_name["Model"]

FEW_AHEAD = pybrpc.StreamOptions(max_buf_size=256)
"""The generator is at most so many bytes ahead of the reader."""
PAUSE_S = 0.02


async def generate(prompt: str) -> AsyncGenerator[str, None]:
    """A model: it repeats the prompt, word by word, and would go on for ever."""
    made = 0
    try:
        while True:
            for word in prompt.split() or ["..."]:
                await asyncio.sleep(PAUSE_S)
                made += 1
                yield word
    finally:
        print(f"The generator ended after {made} tokens", flush=True)


class Model:
    """Serves the generator."""

    async def Generate(self, request: Any, controller: pybrpc.Controller) -> Any:
        async def body(stream: AioStream) -> None:
            sending = asyncio.create_task(send_tokens(stream, request.value))
            ended = asyncio.create_task(stream.wait_closed())
            try:
                await asyncio.wait({sending, ended}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sending.cancel()
                ended.cancel()
                await asyncio.gather(sending, ended, return_exceptions=True)

        controller.accept_stream(FEW_AHEAD, body=body)
        return empty_pb2.Empty()


async def send_tokens(stream: AioStream, prompt: str) -> None:
    async with contextlib.aclosing(generate(prompt)) as tokens:
        async for token in tokens:
            await stream.of(Text).send(Text(value=token))


async def serve(address: str) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    async with pybrpc.Server() as server:
        server.add_service(SERVICE, Model())
        print(f"The model is at {server.start(address)}", flush=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        await server.wait_stopped()


async def ask(address: str, prompt: str, at_most: int) -> None:
    """Print tokens until there are enough."""
    async with (
        pybrpc.aio.Channel(address, timeout=5) as channel,
        pybrpc.Stub(SERVICE, channel).Generate.stream(Text(value=prompt)) as call,
    ):
        async for token in call.stream.of(Text):
            print(token.value, end=" ", flush=True)
            at_most -= 1
            if not at_most:
                break
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    server = commands.add_parser("server", help="make tokens")
    server.add_argument("address", help="where to listen, such as 127.0.0.1:8000")
    client = commands.add_parser("client", help="print tokens as they come")
    client.add_argument("address", help="that of the server")
    client.add_argument("prompt")
    client.add_argument("--at-most", type=int, default=0, help="tokens; 0: until Ctrl-C")
    options = parser.parse_args()
    try:
        if options.command == "server":
            asyncio.run(serve(options.address))
        else:
            asyncio.run(ask(options.address, options.prompt, options.at_most))
    except KeyboardInterrupt:
        print()
    except pybrpc.RpcError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
