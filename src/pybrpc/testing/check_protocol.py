"""`check_protocol`: tests that every protocol must pass, whatever its format.

Each check raises AssertionError with the bytes that it failed on. The bytes depend on a seed, so a
failure can be repeated.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import (
    BadMessage,
    Message,
    OversizedMessage,
    RpcRequest,
    RpcResponse,
)
from pybrpc.protocols.protocol import (
    NEED_MORE,
    NOT_MINE,
    Broken,
    ParseLimits,
    ParseOutcome,
    ParseStatus,
    RpcProtocol,
)
from pybrpc.protocols.session import Session, Side
from pybrpc.protocols.traits import Detection, detection_of, new_session
from pybrpc.testing.check_session import check_session

__all__ = ["check_protocol"]


def __dir__() -> list[str]:
    return __all__


Sample = RpcRequest | RpcResponse


def check_protocol(
    protocol: RpcProtocol, samples: Sequence[Sample], *, head_bytes: int = 64, seed: int = 1
) -> None:
    """Run all checks below on `samples`, which should have small bodies.

    `protocol` is read whole, cut and changed at random, from `seed`.
    `head_bytes`: how much of a message the protocol may await before it knows the size. A protocol
    whose sessions have a state of their own, and which has no `parse`, is checked by
    `check_session` instead. ValueError if there are no samples.
    """
    if not samples:
        raise ValueError("check_protocol needs samples: with none it would check nothing")
    check_round_trip(protocol, samples)
    check_truncation(protocol, samples)
    check_splits(protocol, samples)
    check_garbage(protocol, samples, random.Random(seed))
    check_limits(protocol, samples, head_bytes)
    check_sessions(protocol, samples, head_bytes, seed)


def check_round_trip(protocol: RpcProtocol, samples: Sequence[Sample]) -> None:
    """Packed and parsed samples are equal, one at a time and all in one buffer."""
    for sample in samples:
        packed = pack(protocol, sample)
        parsed = list(parse_all(protocol, [bytes(packed)]))
        assert parsed == [sample], f"{sample} became {parsed} through {bytes(packed)!r}"
    merged = b"".join(bytes(pack(protocol, sample)) for sample in samples)
    assert list(parse_all(protocol, [merged])) == list(samples), f"merged: {merged!r}"


def check_truncation(protocol: RpcProtocol, samples: Iterable[Sample]) -> None:
    """Every incomplete message gives NEED_MORE, stays unchanged, and is not awaited beyond its
    end."""
    limits = ParseLimits()
    for sample in samples:
        whole = bytes(pack(protocol, sample))
        for size in range(len(whole)):
            buffer = IOBuf(whole[:size])
            outcome = protocol.parse(buffer, limits)
            assert outcome is NEED_MORE, f"{outcome} for {whole[:size]!r}"
            assert buffer == whole[:size], f"parse ate from {whole[:size]!r}"
            wanted = protocol.bytes_wanted(buffer, limits)
            assert 0 <= wanted <= len(whole) - size, f"wants {wanted} after {whole[:size]!r}"


def check_splits(protocol: RpcProtocol, samples: Sequence[Sample]) -> None:
    """Split in two at any byte, or into single bytes, a stream gives the same messages."""
    stream = b"".join(bytes(pack(protocol, sample)) for sample in samples)
    expected = list(samples)
    for at in range(len(stream) + 1):
        parsed = list(parse_all(protocol, [stream[:at], stream[at:]]))
        assert parsed == expected, f"split at {at}: {parsed}"
    singles = [stream[i : i + 1] for i in range(len(stream))]
    assert list(parse_all(protocol, singles)) == expected, "byte by byte"


def check_garbage(
    protocol: RpcProtocol, samples: Iterable[Sample], random_source: random.Random
) -> None:
    """Random bytes are NOT_MINE or Broken; messages with a wrong byte raise nothing."""
    limits = ParseLimits()
    for _ in range(200):
        garbage = random_source.randbytes(random_source.randint(16, 256))
        outcome = protocol.parse(IOBuf(garbage), limits)
        assert outcome is NOT_MINE or isinstance(outcome, Broken), f"{outcome} for {garbage!r}"
    for sample in samples:
        whole = bytes(pack(protocol, sample))
        for at in range(len(whole)):
            damaged = bytearray(whole)
            damaged[at] ^= random_source.randint(1, 255)
            outcome = protocol.parse(IOBuf(damaged), limits)
            assert isinstance(outcome, ParseStatus | Broken | Message), f"{bytes(damaged)!r}"


def check_limits(protocol: RpcProtocol, samples: Iterable[Sample], head_bytes: int) -> None:
    """A message over the limit is refused before more bytes than the limit are awaited.

    A protocol need not count the bytes around the body.
    """
    for sample in samples:
        whole = bytes(pack(protocol, sample))
        for limit in (0, min(16, len(whole) // 4)):
            limits = ParseLimits(max_body_size=limit)
            outcome = _first_outcome(protocol, whole, limits, limit + head_bytes)
            if outcome == sample and _content_bytes(sample) <= limit:
                continue
            assert isinstance(outcome, OversizedMessage | Broken), (
                f"{outcome} at limit {limit}: with that max_body_size, {whole!r} must be refused "
                f"within {limit + head_bytes} bytes"
            )


def check_sessions(
    protocol: RpcProtocol, samples: Sequence[Sample], head_bytes: int, seed: int
) -> None:
    """The sessions of both sides pass `check_session`, and cut what was packed."""
    for side in Side:
        of_side = [each for each in samples if each.is_request == (side is Side.SERVER)]
        stream = b"".join(bytes(pack(protocol, each)) for each in of_side)
        if not stream:
            continue

        def make(limits: ParseLimits, side: Side = side) -> Session:
            session = new_session(protocol, side, limits)
            if session.is_ordered and side is Side.CLIENT:
                for number in range(len(samples) + 1):
                    session.note_sent(number)
            return session

        found = check_session(make, stream, head_bytes=head_bytes, seed=seed)
        assert len(found) == len(of_side), f"{found} of {stream!r}"
        first = detection_of(protocol, stream)
        assert side is Side.CLIENT or first is Detection.YES, f"{first} for {stream[:28]!r}"


def pack(protocol: RpcProtocol, sample: Sample) -> IOBuf:
    """The bytes of `sample`, a request or a response."""
    if isinstance(sample, RpcRequest):
        return protocol.pack_request(sample)
    return protocol.pack_response(sample)


def parse_all(
    protocol: RpcProtocol, pieces: Iterable[bytes], limits: ParseLimits | None = None
) -> Iterator[Message]:
    """Messages of a stream that arrives in `pieces`; fails at garbage or an unfinished message."""
    limits = limits or ParseLimits()
    buffer = IOBuf()
    for piece in pieces:
        buffer.append(piece)
        while (outcome := protocol.parse(buffer, limits)) is not NEED_MORE:
            assert isinstance(outcome, RpcRequest | RpcResponse | BadMessage), (
                f"parse returned {outcome!r} for {bytes(buffer)!r}"
            )
            yield outcome
            if not buffer:
                break
    assert not buffer, f"left over: {buffer}"


def _content_bytes(sample: Sample) -> int:
    """Bytes of a message that any protocol has to send."""
    text = sample.error_text if isinstance(sample, RpcResponse) else sample.service + sample.method
    return len(sample.body) + len(sample.attachment or b"") + len(text)


def _first_outcome(
    protocol: RpcProtocol, whole: bytes, limits: ParseLimits, most: int
) -> ParseOutcome:
    buffer = IOBuf()
    for index in range(min(most, len(whole))):
        buffer.append(whole[index : index + 1])
        outcome = protocol.parse(buffer, limits)
        if outcome is not NEED_MORE:
            return outcome
    return NEED_MORE
