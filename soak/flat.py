"""python -m soak.flat: a million calls, a million cancelled ones, 100,000 connections, 100,000
streams and a million messages of streams: all flat.

Client and server are in one process. Each kind of work is done in ten parts, and after each the
process is brought to rest and measured: objects that the garbage collector knows, blocks of
Python's allocator, descriptors, threads, resident memory. The first part is the warm-up. From there
on objects and blocks must not grow by more than a handful, descriptors and threads not at all;
resident memory is shown, but is the C library's to give back or not.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gc
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest
from pybrpc.streams.callback_threads import callback_threads
from pybrpc.transport.runtime import default_runtime
from soak.echo_services import PlainEcho
from soak.process_watch import Sizes, sizes_now

MOST_OBJECTS = 500
MOST_BLOCKS = 3000
"""Allowance for objects that are imported, cached or counted first in a later part."""

BURST = 100
STREAM = "stream"
"""The request that opens a stream."""
TIMEOUT_S = 60.0

Work = Callable[[str, int], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    """The process at rest, when `done` calls, or what else there is, have come and gone."""

    done: int
    sizes: Sizes
    objects: int
    blocks: int
    streams: int = 0
    """Streams that are not over."""

    def __str__(self) -> str:
        sizes = self.sizes
        return (
            f"{self.done:>10,} {self.objects:>9,} {self.blocks:>10,} "
            f"{sizes.descriptors:>11} {sizes.threads:>7} {sizes.rss_bytes / 2**20:>9.1f}"
        )


HEADING = f"{'done':>10} {'objects':>9} {'blocks':>10} {'descriptors':>11} {'threads':>7} RSS (MiB)"


def call_often(address: str, count: int) -> None:
    """`count` calls over one connection."""
    with pybrpc.Channel(address, timeout=TIMEOUT_S) as channel:
        echo: Any = pybrpc.Stub(SERVICE, channel).Echo
        for start in range(0, count, BURST):
            burst = min(BURST, count - start)
            for future in [echo.future(EchoRequest(message="x")) for _ in range(burst)]:
                future.result()


def cancel_often(address: str, count: int) -> None:
    """`count` calls that are cancelled: some before they are sent, some on their way."""
    with pybrpc.Channel(address, timeout=TIMEOUT_S) as channel:
        echo: Any = pybrpc.Stub(SERVICE, channel).Echo
        for start in range(0, count, BURST):
            futures = [
                echo.future(EchoRequest(message="x")) for _ in range(min(BURST, count - start))
            ]
            for future in futures:
                future.cancel()
            echo(EchoRequest(message="behind them"))


def connect_often(address: str, count: int) -> None:
    """`count` connections, each for one call."""
    with pybrpc.Channel(address, timeout=TIMEOUT_S, connection_type="short") as channel:
        echo: Any = pybrpc.Stub(SERVICE, channel).Echo
        for _ in range(count):
            echo(EchoRequest(message="x"))


def open_often(address: str, count: int) -> None:
    """`count` streams over one connection, one after the other, each for one message there and
    back; some are reset."""
    with pybrpc.Channel(address, timeout=TIMEOUT_S) as channel:
        echo: Any = pybrpc.Stub(SERVICE, channel).Echo
        for number in range(count):
            with echo.stream(EchoRequest(message=STREAM)) as call:
                call.stream.send(b"x")
                call.stream.recv(TIMEOUT_S)
                if number % 4 == 0:
                    call.stream.reset()


def send_often(address: str, count: int) -> None:
    """`count` messages over one stream, there and back."""
    with (
        pybrpc.Channel(address, timeout=TIMEOUT_S) as channel,
        pybrpc.Stub(SERVICE, channel).Echo.stream(EchoRequest(message=STREAM)) as call,
    ):
        for start in range(0, count, BURST):
            left = min(BURST, count - start)
            call.stream.send_many([b"x"] * left, TIMEOUT_S)
            while left:
                left -= len(next(call.stream.batches(left, TIMEOUT_S)))


class Echoes(PlainEcho):
    """Echoes calls; over STREAM, messages of a stream too, which functions take."""

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        if request.message == STREAM:
            controller.accept_stream(pybrpc.StreamOptions(on_messages=send_back))
        return super().Echo(request, controller)


def send_back(stream: Any, messages: list[bytes]) -> None:
    with contextlib.suppress(pybrpc.RpcError):  # of a stream that the client has reset
        stream.send_many(messages, TIMEOUT_S)


WORKS: dict[str, Work] = {
    "calls": call_often,
    "cancelled": cancel_often,
    "connections": connect_often,
    "streams": open_often,
    "messages": send_often,
}


def run_parts(
    work: Work, count: int, parts: int, on_checkpoint: Callable[[Checkpoint], None]
) -> list[Checkpoint]:
    """Do `work` so often, and measure after each part."""
    found: list[Checkpoint] = []
    with pybrpc.Server() as server:
        server.add_service(SERVICE, Echoes())
        address = str(server.start("127.0.0.1:0"))
        for part in range(1, parts + 1):
            work(address, count // parts)
            found.append(checkpoint(part * (count // parts), server, found[0] if found else None))
            on_checkpoint(found[-1])
    return found


def checkpoint(done: int, server: pybrpc.Server, first: Checkpoint | None) -> Checkpoint:
    """Wait until all connections are closed, then measure."""
    deadline = time.monotonic() + TIMEOUT_S
    while server.statistics().connections or server.statistics().running or open_streams():
        if time.monotonic() > deadline:
            break  # what is left will be seen
        time.sleep(0.01)
    found = measured(done, server)
    while first is not None and growth([first, found]) and time.monotonic() < deadline:
        time.sleep(0.2)  # the timers of what has ended are kept until their time
        found = measured(done, server)
    return found


def open_streams() -> int:
    """Streams of the process that are not over, both sides counted."""
    return default_runtime().stream_budget.holders


def measured(done: int, server: pybrpc.Server) -> Checkpoint:
    """The process now, without idle workers and threads of streams, which stay for ten seconds."""
    gc.collect()
    sizes = sizes_now()
    idle = server.statistics().workers + callback_threads().threads
    sizes = dataclasses.replace(sizes, threads=sizes.threads - idle)
    return Checkpoint(done, sizes, len(gc.get_objects()), sys.getallocatedblocks(), open_streams())


def growth(found: Sequence[Checkpoint]) -> list[str]:
    """The growth since the first checkpoint, a line for each kind of object."""
    first, last = found[0], found[-1]
    checks = (
        ("objects", last.objects - first.objects, MOST_OBJECTS),
        ("blocks", last.blocks - first.blocks, MOST_BLOCKS),
        ("descriptors", last.sizes.descriptors - first.sizes.descriptors, 0),
        ("threads", last.sizes.threads - first.sizes.threads, 0),
        ("streams", last.streams, 0),
    )
    return [
        f"{name} grew by {more:,}, more than {most:,}" for name, more, most in checks if more > most
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m soak.flat", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--cancelled", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--streams", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--parts", type=int, default=10)
    counts = vars(parser.parse_args(arguments))
    parts = counts.pop("parts")
    if parts < 2 or min(counts.values()) < 0:
        parser.error("--parts must be at least 2, the others at least 0")
    is_flat = True
    for name, count in counts.items():
        if count < parts:
            continue
        print(f"\n{count:,} {name}\n{HEADING}", flush=True)
        grown = growth(run_parts(WORKS[name], count, parts, lambda each: print(each, flush=True)))
        for text in grown:
            print(f"BROKEN  {name}: {text}")
        is_flat = is_flat and not grown
    print("PASSED: nothing grew" if is_flat else "FAILED")
    return 0 if is_flat else 1


if __name__ == "__main__":
    sys.exit(main())
