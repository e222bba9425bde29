"""The cost of compression and checksums: by the megabyte, and in a call of 32 bytes.

python -m bench.experiments.body_codecs

First the functions by themselves, on a megabyte of text that repeats itself now and then, on one
of random bytes, and on 32 bytes. Then blocking calls of 32 bytes, from one thread to a server in
the same process, in the same form both ways: processor time of a call, client and server together.

Verdict (2 cores, CPython 3.11, zlib 1.2.13, cramjam 2.14, crc32c 2.9): snappy packs text at
600 MB/s to 39% and unpacks at 1,800; zlib and gzip pack at 29 MB/s to 25% and unpack at 380. A
checksum goes at 27,000 MB/s, so it costs nothing that could be measured of large bodies. There and
back, 32 bytes cost 2 us with snappy, 4 us with zlib or gzip, and 1 us for each checksum. A call has
that twice: 10 to 40 us more than the 200 us of a blocking call here, and nothing if not asked for.
"""

from __future__ import annotations

import functools
import os
import random
import statistics
import time
import timeit
from collections.abc import Callable, Iterator
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest, EchoResponse
from pybrpc import ChecksumType, CompressType, Controller
from pybrpc.rpc.checksum import compute_checksum
from pybrpc.rpc.compress import compress, decompress

MEGABYTE = 1_000_000
MESSAGE = "m" * 32
ROUNDS = 7
CALLS = 2000
COMPRESS_TYPES = (CompressType.SNAPPY, CompressType.ZLIB, CompressType.GZIP)
FORMS = (
    (CompressType.NONE, ChecksumType.NONE),
    (CompressType.NONE, ChecksumType.CRC32C),
    *((kind, ChecksumType.NONE) for kind in COMPRESS_TYPES),
)


class EchoService:
    """Answers in the form in which it was asked."""

    def Echo(self, request: Any, controller: Controller) -> Any:
        controller.response_compress_type = controller.request_compress_type
        controller.response_checksum_type = controller.request_checksum_type
        return EchoResponse(message=request.message)


def main() -> None:
    print("       1 MB of      compress   decompress   to")
    for name, body in (("text", text_of(MEGABYTE)), ("random bytes", os.urandom(MEGABYTE))):
        for kind in COMPRESS_TYPES:
            print_speed(kind, name, body)
        rate = rate_of(functools.partial(compute_checksum, ChecksumType.CRC32C, body))
        print(f"crc32c {name:12} {rate:6.0f} MB/s")
    small = EchoRequest(message=MESSAGE).SerializeToString()
    for kind in COMPRESS_TYPES:
        cost_us = cost_of(functools.partial(there_and_back, small, kind))
        print(f"{kind.name.lower():6} of 32 bytes, there and back: {cost_us:.1f} us")
    cost_us = cost_of(lambda: compute_checksum(ChecksumType.CRC32C, small))
    print(f"crc32c of 32 bytes: {cost_us:.1f} us")
    for form, cost_us in call_costs().items():
        print(f"a call of 32 bytes, {form}: {cost_us:.1f} us")


def text_of(size: int) -> bytes:
    """Words of 500, the frequent ones more often, as in a log."""
    chance = random.Random(1)
    words = [chance.randbytes(chance.randint(1, 5)).hex() for _ in range(500)]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    return " ".join(chance.choices(words, weights, k=size // 2)).encode()[:size]


def print_speed(kind: CompressType, name: str, body: bytes) -> None:
    packed = compress(body, kind)
    into = rate_of(lambda: compress(body, kind))
    back = rate_of(lambda: decompress(packed, kind, MEGABYTE))
    share = len(packed) / len(body)
    print(f"{kind.name.lower():6} {name:12} {into:6.0f} MB/s {back:6.0f} MB/s {share:6.1%}")


def there_and_back(body: bytes, kind: CompressType) -> object:
    return decompress(compress(body, kind), kind, MEGABYTE)


def rate_of(run: Callable[[], object]) -> float:
    """Megabytes a second, if `run` works on one."""
    best = min(timed(run) for _ in range(ROUNDS))
    return MEGABYTE / 1e6 / best


def cost_of(run: Callable[[], object]) -> float:
    """Microseconds that `run` takes."""
    return min(timeit.repeat(run, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def call_costs() -> dict[str, float]:
    """Median processor time of a call in microseconds, the forms taking turns."""
    server = pybrpc.Server()
    server.add_service(SERVICE, EchoService())
    with server, pybrpc.Channel(server.start("127.0.0.1:0"), timeout=10) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        costs: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for form, cost_us in one_round(stub):
                costs.setdefault(form, []).append(cost_us)
    return {form: statistics.median(found) for form, found in costs.items()}


def one_round(stub: Any) -> Iterator[tuple[str, float]]:
    for compress_type, checksum_type in FORMS:
        start = time.process_time()
        for _ in range(CALLS):
            controller = Controller()
            controller.request_compress_type = compress_type
            controller.request_checksum_type = checksum_type
            stub.Echo(EchoRequest(message=MESSAGE), controller=controller)
        cost_us = (time.process_time() - start) / CALLS * 1e6
        yield f"{compress_type.name} and {checksum_type.name}".lower(), cost_us


if __name__ == "__main__":
    main()
