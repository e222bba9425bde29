"""The handshake: simple and with digests, checked against a plain reading of its rules."""

from __future__ import annotations

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.rtmp import handshake
from pybrpc.protocols.rtmp.handshake import (
    BLOCK_SIZE,
    CLIENT_VERSION,
    SERVER_VERSION,
    HandshakeClient,
    HandshakeServer,
)
from tests.oracles.rtmp_handshake import digest_of, is_answer_to


def fed(side: HandshakeClient | HandshakeServer, *pieces: bytes) -> tuple[bytes, IOBuf]:
    buffer, answer = IOBuf(), b""
    for piece in pieces:
        buffer.append(piece)
        answer += side.receive(buffer)
    return answer, buffer


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def test_simple_server_repeats_the_block_of_the_client() -> None:
    server = HandshakeServer()
    c1 = bytes(8) + bytes(range(256)) * 5 + bytes(248)
    answer, _ = fed(server, b"\x03" + c1)
    assert len(answer) == 3073
    assert answer[0] == 3
    assert answer[5:9] == bytes(4)
    assert answer[1 + BLOCK_SIZE :] == c1
    assert not server.is_done
    assert server.bytes_wanted == BLOCK_SIZE
    answer, buffer = fed(server, bytes(BLOCK_SIZE) + b"next")
    assert answer == b""
    assert server.is_done
    assert buffer == b"next"
    assert server.bytes_wanted == 0
    assert fed(server, b"more")[1] == b"more"


def test_simple_client_repeats_the_block_of_the_server() -> None:
    client = HandshakeClient()
    assert client.start()[:9] == b"\x03" + bytes(8)
    assert len(client.start()) == 1537
    s1 = b"\x00\x00\x00\x01" + bytes(range(256)) * 5 + bytes(252)
    answer, buffer = fed(client, b"\x03", s1, bytes(1000))
    assert answer == s1
    assert not client.is_done
    buffer.append(bytes(536) + b"next")
    assert client.receive(buffer) == b""
    assert client.is_done
    assert buffer == b"next"


@pytest.mark.parametrize("schema", [0, 1])
def test_server_answers_a_digest_with_digests_in_the_same_schema(schema: int) -> None:
    client, server = HandshakeClient(uses_digest=True, schema=schema), HandshakeServer()
    first = client.start()
    assert first[5:9] == CLIENT_VERSION.to_bytes(4, "big")
    c1_digest = digest_of(first[1:], is_server=False)
    assert c1_digest is not None
    assert c1_digest.schema == schema
    answer, _ = fed(server, first)
    assert server.has_digest
    assert server.peer_version == CLIENT_VERSION
    assert answer[5:9] == SERVER_VERSION.to_bytes(4, "big")
    s1, s2 = answer[1 : 1 + BLOCK_SIZE], answer[1 + BLOCK_SIZE :]
    s1_digest = digest_of(s1, is_server=True)
    assert s1_digest is not None
    assert s1_digest.schema == schema
    assert is_answer_to(c1_digest, s2, is_server=True)
    c2, _ = fed(client, answer)
    assert client.is_done
    assert client.has_digest
    assert is_answer_to(s1_digest, c2, is_server=False)
    fed(server, c2)
    assert server.is_done


@pytest.mark.parametrize("place", [0, 1, 700, 727, 728, 1000])
def test_digest_may_be_at_any_place(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    first, rest = min(place, 255), max(0, place - 255)
    four = bytes([first, min(rest, 255), min(max(0, rest - 255), 255), max(0, rest - 510)])
    for schema in (0, 1):
        half = 8 + 764 if schema == 0 else 8

        def block(version: int, half: int = half) -> bytes:
            data = bytearray(b"\x11" * BLOCK_SIZE)
            data[4:8], data[half : half + 4] = version.to_bytes(4, "big"), four
            return bytes(data)

        monkeypatch.setattr(handshake, "_random_block", block)
        c1 = HandshakeClient(uses_digest=True, schema=schema).start()[1:]
        found = digest_of(c1, is_server=False)
        assert found is not None
        assert found.schema == schema
        server = HandshakeServer()
        fed(server, b"\x03" + c1)
        assert server.has_digest


def test_version_without_a_right_digest_gets_a_simple_answer() -> None:
    """As ffmpeg, whose C1 is of version 9.0.124.2, may have."""
    server = HandshakeServer()
    c1 = bytes(4) + b"\x09\x00\x7c\x02" + bytes(BLOCK_SIZE - 8)
    answer, _ = fed(server, b"\x03" + c1)
    assert not server.has_digest
    assert answer[5:9] == bytes(4)
    assert answer[1 + BLOCK_SIZE :] == c1


def test_client_with_digest_takes_a_simple_answer() -> None:
    client = HandshakeClient(uses_digest=True)
    s1 = bytes(BLOCK_SIZE)
    assert fed(client, b"\x03" + s1 + bytes(BLOCK_SIZE))[0] == s1
    assert client.is_done
    assert not client.has_digest


@pytest.mark.parametrize("uses_digest", [False, True])
def test_both_sides_take_one_byte_at_a_time(uses_digest: bool) -> None:
    client, server = HandshakeClient(uses_digest), HandshakeServer()
    answer, _ = fed(server, *bytewise(client.start()))
    second, _ = fed(client, *bytewise(answer))
    assert len(second) == BLOCK_SIZE
    fed(server, *bytewise(second))
    assert client.is_done
    assert server.is_done


@pytest.mark.parametrize("first", [0, 2, 6, 0x16, ord("G")])
@pytest.mark.parametrize("side", [HandshakeClient, HandshakeServer])
def test_other_first_bytes_break_it_at_once(
    first: int, side: type[HandshakeClient] | type[HandshakeServer]
) -> None:
    one = side()
    answer, buffer = fed(one, bytes([first]))
    assert answer == b""
    assert one.broken is not None
    assert f"the first byte is {first}, not 3" in one.broken.reason
    assert "broken" in repr(one)
    assert fed(one, b"\x03" + bytes(3072))[0] == b""
    assert not one.is_done
    assert not buffer


def test_blocks_differ() -> None:
    blocks = {HandshakeClient().start() for _ in range(20)}
    assert len(blocks) == 20
    assert all(len(set(block)) > 200 for block in blocks)


def test_random_of_the_system_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    HandshakeClient().start()

    def urandom(size: int) -> bytes:
        raise AssertionError("asked again")

    monkeypatch.setattr("os.urandom", urandom)
    HandshakeClient().start()


def test_wrong_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or 1, not 2"):
        HandshakeClient(uses_digest=True, schema=2)


def test_repr_has_the_block_that_is_awaited() -> None:
    server = HandshakeServer()
    assert repr(server) == "<HandshakeServer waits for C0 and C1, or S0 and S1>"
    assert server.bytes_wanted == 1537
