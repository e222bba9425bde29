"""Checksums of bodies. The values are those that bRPC's own crc32c.cc gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.rpc.body_error import BodyError
from pybrpc.rpc.checksum import (
    ChecksumType,
    as_checksum_type,
    checksum_name,
    compute_checksum,
    verify_checksum,
)

CRC32C = ChecksumType.CRC32C
BODY = b"request body"
ATTACHMENT = b"some attachment bytes"

VALUES = [
    (b"", None, "a282ead8"),
    (b"123456789", None, "c78ab0e5"),
    (BODY, None, "4dd027fa"),
    (BODY, ATTACHMENT, "1b9b9b8a"),
    (BODY, b"some attachment Bytes", "b63972bb"),
    (b"AAAA", b"BBBBBB", "1268fa7c"),
    (b"BBBBBB", b"AAAA", "e627fffa"),
    (bytes(n * 7 & 0xFF for n in range(100_000)), None, "eb734e74"),
]


def buffer(data: bytes | None, block_size: int = 1 << 20) -> IOBuf | None:
    """`data` in blocks of that size."""
    if data is None:
        return None
    found = IOBuf()
    for start in range(0, len(data), block_size):
        found.append(data[start : start + block_size])
    return found


@pytest.mark.parametrize(("body", "attachment", "value"), VALUES)
def test_value_is_that_of_brpc(body: bytes, attachment: bytes | None, value: str) -> None:
    assert compute_checksum(CRC32C, body, buffer(attachment)).hex() == value
    verify_checksum(CRC32C, bytes.fromhex(value), body, buffer(attachment))


@pytest.mark.parametrize("view", [bytes, bytearray, memoryview])
def test_any_bytes_like_body(view: type[bytes]) -> None:
    assert compute_checksum(CRC32C, view(BODY)).hex() == "4dd027fa"


def test_blocks_of_the_attachment_make_no_difference() -> None:
    for block_size in range(1, len(ATTACHMENT)):
        pieces = buffer(ATTACHMENT, block_size)
        assert compute_checksum(CRC32C, BODY, pieces).hex() == "1b9b9b8a"


def test_consumed_part_of_an_attachment_is_not_covered() -> None:
    attachment = IOBuf(b"consumed" + ATTACHMENT)
    attachment.pop_front(len(b"consumed"))
    assert compute_checksum(CRC32C, BODY, attachment).hex() == "1b9b9b8a"
    assert attachment == ATTACHMENT


def test_checksum_does_not_depend_on_where_the_body_ends() -> None:
    """As in C++: one crc over both, one after the other."""
    joined = compute_checksum(CRC32C, BODY + ATTACHMENT)
    assert joined == compute_checksum(CRC32C, BODY, buffer(ATTACHMENT))


# After test/brpc_checksum_unittest.cpp: what was covered, and what comes instead of it.
@pytest.mark.parametrize(
    ("body", "attachment"),
    [
        pytest.param(BODY, b"some attachment Bytes", id="attachment corrupted"),
        pytest.param(b"request Body", ATTACHMENT, id="body corrupted"),
        pytest.param(BODY, None, id="attachment dropped"),
        pytest.param(ATTACHMENT, BODY, id="swapped"),
        pytest.param(BODY, ATTACHMENT[:-1], id="attachment cut short"),
    ],
)
def test_changed_bytes_are_refused(body: bytes, attachment: bytes | None) -> None:
    value = compute_checksum(CRC32C, BODY, buffer(ATTACHMENT))
    with pytest.raises(
        BodyError, match="the checksum is '1b9b9b8a', but that of the received bytes"
    ):
        verify_checksum(CRC32C, value, body, buffer(attachment))


@pytest.mark.parametrize("value", [b"", b"\x4d\xd0\x27", b"\x4d\xd0\x27\xfa\x00", b"4dd027fa"])
def test_value_of_another_size_is_refused(value: bytes) -> None:
    """C++ aborts on it (CHECK_EQ)."""
    with pytest.raises(BodyError, match="the checksum is"):
        verify_checksum(CRC32C, value, BODY)


@pytest.mark.parametrize("kind", [0, 2, 99, -1])
def test_unknown_type_is_refused(kind: int) -> None:
    """C++ sends it without a value, and takes it unchecked."""
    with pytest.raises(BodyError, match=f"checksum_type={kind} is not supported"):
        compute_checksum(kind, BODY)
    with pytest.raises(BodyError, match=f"checksum_type={kind} is not supported"):
        verify_checksum(kind, b"", BODY)


def test_crc32c_that_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "crc32c", None)
    with pytest.raises(BodyError, match=r"pip install 'pybrpc\[crc32c\]'"):
        compute_checksum(CRC32C, BODY)


@pytest.mark.parametrize(("kind", "name"), [(0, "none"), (1, "crc32c"), (2, "unknown")])
def test_name_is_that_of_brpc(kind: int, name: str) -> None:
    assert checksum_name(kind) == name


def test_number_becomes_its_type() -> None:
    assert as_checksum_type(1) is ChecksumType.CRC32C
    assert as_checksum_type(99) == 99


def test_importing_pybrpc_imports_neither_of_the_extras() -> None:
    code = "import sys, pybrpc; print({'cramjam', 'crc32c'} & set(sys.modules))"
    root = Path(__file__).parents[3] / "src"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
