"""Recordings of C++ bRPC 1.17 with baidu_std, parsed in both roles and packed again.

CALLS says, in our own values, what each recorded call was. Packed, they are the recorded bytes.
Two things are taken from the recording instead of being made here: the correlation id, which
every client counts in its own way, and compressed bodies, whose bytes depend on the compressor.
"""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BaiduStd
from pybrpc.protocols.message import RpcRequest, RpcResponse, StreamSettings
from pybrpc.protocols.protocol import NOT_MINE, ParseLimits
from pybrpc.rpc.checksum import compute_checksum
from pybrpc.testing.check_protocol import Sample, check_protocol, pack, parse_all
from tests.protos import conformance_pb2

VECTORS = Path(__file__).parent / "vectors"
PROTOCOL = BaiduStd()
CORRELATION_ID = 4294967298
SERVICE = "conformance.EchoService"
HELLO = "hello from C++ brpc"
ZEES = "z" * 2000
ATTACHMENT = IOBuf(b"ATTACHMENT\x00\x01\x02")
NO_AUTH_TEXT = "Fail to authenticate"
FAIL_TEXT = "[127.0.0.1:9600][E10042]deliberate failure"
SNAPPY, GZIP, ZLIB = 1, 2, 3
CRC32C = 1


def recorded(case: str, role: str) -> bytes:
    return (VECTORS / f"baidu_std_{case}.{role}.bin").read_bytes()


def request(body: bytes, **fields: object) -> RpcRequest:
    return RpcRequest(CORRELATION_ID, SERVICE, "Echo", body, **fields)  # type: ignore[arg-type]


def response(body: bytes, **fields: object) -> RpcResponse:
    return RpcResponse(CORRELATION_ID, body=body, **fields)  # type: ignore[arg-type]


def echo(message: str = HELLO, **fields: object) -> bytes:
    return bytes(conformance_pb2.EchoRequest(message=message, **fields).SerializeToString())


def reply(message: str = HELLO, attachment_bytes: int = 0, **fields: object) -> bytes:
    made = conformance_pb2.EchoResponse(
        message=message, attachment_bytes=attachment_bytes, **fields
    )
    return bytes(made.SerializeToString())


def recorded_body(case: str, role: str) -> bytes:
    (message,) = parse_all(PROTOCOL, [recorded(case, role)])
    assert isinstance(message, RpcRequest | RpcResponse)
    return bytes(message.body)


def compressed(case: str, compress_type: int) -> tuple[RpcRequest, RpcResponse]:
    return (
        request(recorded_body(case, "client"), compress_type=compress_type),
        response(recorded_body(case, "server"), compress_type=compress_type),
    )


def checksummed(sent: bytes, answer: bytes, **fields: Any) -> tuple[RpcRequest, RpcResponse]:
    """`fields` are those of both; the values are of our own making."""
    covered = fields.get("attachment") if "checksum_with_attachment" in fields else None
    return (
        request(sent, checksum_type=CRC32C, checksum_value=checksum_of(sent, covered), **fields),
        response(
            answer, checksum_type=CRC32C, checksum_value=checksum_of(answer, covered), **fields
        ),
    )


def checksum_of(body: bytes, attachment: IOBuf | None) -> bytes:
    return compute_checksum(CRC32C, body, attachment)


CALLS: dict[str, tuple[RpcRequest, RpcResponse]] = {
    "echo": (request(echo()), response(reply())),
    "attach": (
        request(echo(), attachment=ATTACHMENT),
        response(reply(attachment_bytes=13), attachment=ATTACHMENT),
    ),
    "logid": (
        request(echo(), log_id=123456789, request_id="req-42"),
        response(reply(log_id=123456789, request_id="req-42")),
    ),
    "fail": (
        request(echo(fail_code=10042, fail_text="deliberate failure")),
        response(b"", error_code=10042, error_text=FAIL_TEXT),
    ),
    "auth": (request(echo(), credential=b"secret-token"), response(reply())),
    "noauth": (
        request(echo()),
        response(
            b"",
            error_code=1004,
            error_text=NO_AUTH_TEXT,
            compress_type=None,
            content_type=None,
            checksum_type=None,
            checksum_value=None,
        ),
    ),
    "snappy": compressed("snappy", SNAPPY),
    "gzip": compressed("gzip", GZIP),
    "zlib": compressed("zlib", ZLIB),
    "crc32c": checksummed(echo(), reply()),
    "crc32c_attach": checksummed(echo(), reply(attachment_bytes=13), attachment=ATTACHMENT),
    "crc32c_covers": checksummed(
        echo(), reply(attachment_bytes=13), attachment=ATTACHMENT, checksum_with_attachment=True
    ),
    "crc32c_gzip": checksummed(
        recorded_body("crc32c_gzip", "client"),
        recorded_body("crc32c_gzip", "server"),
        compress_type=GZIP,
    ),
}

FRAMES = [
    pytest.param(case, role, message, id=f"{case}.{role}")
    for case, messages in CALLS.items()
    for role, message in zip(("client", "server"), messages, strict=True)
]


def test_all_recordings_except_the_stream_are_covered() -> None:
    recordings = {path.name.split(".")[0] for path in VECTORS.glob("baidu_std_*.bin")}
    assert recordings == {f"baidu_std_{case}" for case in CALLS} | {"baidu_std_stream"}


@pytest.mark.parametrize(("case", "role", "message"), FRAMES)
def test_recorded_frame_parses_to_the_call(case: str, role: str, message: Sample) -> None:
    assert list(parse_all(PROTOCOL, [recorded(case, role)])) == [message]


@pytest.mark.parametrize(("case", "role", "message"), FRAMES)
def test_call_packs_to_the_recorded_bytes(case: str, role: str, message: Sample) -> None:
    assert bytes(pack(PROTOCOL, message)) == recorded(case, role)


@pytest.mark.parametrize(("case", "role", "message"), FRAMES)
def test_parsed_frame_packs_to_the_recorded_bytes(case: str, role: str, message: Sample) -> None:
    (parsed,) = parse_all(PROTOCOL, [recorded(case, role)])
    assert isinstance(parsed, type(message))
    assert bytes(pack(PROTOCOL, parsed)) == recorded(case, role)


@pytest.mark.parametrize(("case", "role", "message"), FRAMES)
def test_recorded_frame_parses_when_split_at_any_byte(
    case: str, role: str, message: Sample
) -> None:
    frame = recorded(case, role)
    for at in range(len(frame) + 1):
        assert list(parse_all(PROTOCOL, [frame[:at], frame[at:]])) == [message]


@pytest.mark.slow
def test_recorded_calls_pass_the_checks_of_every_protocol() -> None:
    check_protocol(PROTOCOL, [message for call in CALLS.values() for message in call])


def printed_fields(case: str) -> dict[str, str]:
    manifest = json.loads((VECTORS / "manifest.json").read_text())
    (line,) = (e["client_prints"] for e in manifest if e["case"] == f"baidu_std_{case}")
    found = re.fullmatch(
        r"mode=\w+ failed=(?P<failed>\d) code=(?P<code>\d+) text=\[(?P<text>.*)\] msg=(?P<msg>.*)"
        r" len=(?P<len>\d+) log_id=(?P<log_id>\d+) req=(?P<req>\S*) att=(?P<att>\d+) lat=\d+",
        line,
    )
    assert found, line
    return found.groupdict()


def fields_as_printed(answer: RpcResponse, message: Any) -> dict[str, str]:
    code = answer.error_code
    return {
        "failed": str(int(code != 0)),
        "code": str(code),
        "text": f"[E{code}]{answer.error_text}" if code else "",
        "msg": message.message[:30],
        "len": str(len(message.message)),
        "log_id": str(message.log_id),
        "req": message.request_id,
        "att": str(len(answer.attachment or b"")),
    }


@pytest.mark.parametrize("case", [case for case in CALLS if case != "snappy"])
def test_recorded_answer_is_the_one_that_the_cpp_client_printed(case: str) -> None:
    (answer,) = parse_all(PROTOCOL, [recorded(case, "server")])
    assert isinstance(answer, RpcResponse)
    body = bytes(answer.body)
    if answer.compress_type in (GZIP, ZLIB):
        body = zlib.decompress(body, wbits=zlib.MAX_WBITS | 32)
    message = conformance_pb2.EchoResponse()
    message.MergeFromString(body)
    assert fields_as_printed(answer, message) == printed_fields(case)


@pytest.mark.parametrize("case", ["gzip", "zlib"])
def test_recorded_compressed_request_holds_the_message(case: str) -> None:
    body = zlib.decompress(recorded_body(case, "client"), wbits=zlib.MAX_WBITS | 32)
    assert body == echo(ZEES)


@pytest.mark.parametrize(("role", "message"), [("client", echo(ZEES)), ("server", reply(ZEES))])
def test_recorded_snappy_body_declares_the_size_of_the_message(role: str, message: bytes) -> None:
    low, high = recorded_body("snappy", role)[:2]
    assert low & 0x7F | high << 7 == len(message)


def test_stream_request_parses_up_to_the_first_stream_frame() -> None:
    buffer = IOBuf(recorded("stream", "client"))
    opening = PROTOCOL.parse(buffer, ParseLimits())
    settings = StreamSettings(0, need_feedback=True, writable=True)
    assert opening == RpcRequest(
        CORRELATION_ID, SERVICE, "Stream", echo(), stream_settings=settings
    )
    assert PROTOCOL.parse(buffer, ParseLimits()) is NOT_MINE
    assert buffer.peek(4) == b"STRM"


def test_stream_response_is_inside_a_stream_frame() -> None:
    recording = recorded("stream", "server")
    assert PROTOCOL.parse(IOBuf(recording), ParseLimits()) is NOT_MINE
    start = recording.index(b"PRPC")
    end = recording.index(b"STRM", start)
    settings = StreamSettings(0, need_feedback=True, writable=True)
    accepted = response(echo("accepted"), stream_settings=settings)
    assert list(parse_all(PROTOCOL, [recording[start:end]])) == [accepted]
    assert bytes(PROTOCOL.pack_response(accepted)) == recording[start:end]
