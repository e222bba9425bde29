"""Recordings of C++ bRPC 1.17 with hulu_pbrpc and sofa_pbrpc, parsed in both roles and packed.

CALLS says, in our own values, what each recorded call was. Packed, they are the recorded bytes.
Taken from the recording instead of being made here are the correlation id, which every client
counts in its own way, and compressed bodies, whose bytes depend on the compressor.
"""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.built_in import framed_protocols
from pybrpc.protocols.detect import detect
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.protocol import NEED_MORE, ParseLimits, RpcProtocol
from pybrpc.protocols.registry import protocol_named
from pybrpc.rpc.compress import CompressType
from pybrpc.testing.check_protocol import Sample, check_protocol, pack, parse_all
from tests.protos import conformance_pb2

VECTORS = Path(__file__).parent / "vectors"
CORRELATION_ID = 4294967298
ATTACHMENT = IOBuf(b"ATTACHMENT\x00\x01\x02")
FAIL_TEXT = "[127.0.0.1:19791][E10042]deliberate failure"
HELLO = "hello from C++ brpc"
ZEES = "z" * 2000
GZIP = int(CompressType.GZIP)


def recorded(case: str, role: str) -> bytes:
    return (VECTORS / f"{case}.{role}.bin").read_bytes()


def protocol_of(case: str) -> RpcProtocol:
    return protocol_named(f"{case.partition('_')[0]}_pbrpc")


def hulu(body: bytes, **fields: Any) -> RpcRequest:
    return RpcRequest(CORRELATION_ID, "EchoService", "", body, method_index=0, **fields)


def sofa(body: bytes, **fields: Any) -> RpcRequest:
    return RpcRequest(CORRELATION_ID, "conformance.EchoService", "Echo", body, **fields)


def response(body: bytes, **fields: Any) -> RpcResponse:
    return RpcResponse(CORRELATION_ID, body=body, **fields)


def echo(message: str = HELLO, **fields: object) -> bytes:
    return bytes(conformance_pb2.EchoRequest(message=message, **fields).SerializeToString())


def reply(message: str = HELLO, attachment_bytes: int = 0, **fields: object) -> bytes:
    made = conformance_pb2.EchoResponse(
        message=message, attachment_bytes=attachment_bytes, **fields
    )
    return bytes(made.SerializeToString())


def recorded_body(case: str, role: str) -> bytes:
    (message,) = parse_all(protocol_of(case), [recorded(case, role)])
    assert isinstance(message, RpcRequest | RpcResponse)
    return bytes(message.body)


FAILING = echo(fail_code=10042, fail_text="deliberate failure")
FAILURE = response(b"", error_code=10042, error_text=FAIL_TEXT)
CALLS: dict[str, tuple[RpcRequest, RpcResponse]] = {
    "hulu_echo": (hulu(echo()), response(reply())),
    "hulu_attach": (
        hulu(echo(), attachment=ATTACHMENT),
        response(reply(attachment_bytes=13), attachment=ATTACHMENT),
    ),
    "hulu_logid": (hulu(echo(), log_id=123456789), response(reply(log_id=123456789))),
    "hulu_fail": (hulu(FAILING), FAILURE),
    "hulu_gzip": (
        hulu(recorded_body("hulu_gzip", "client"), compress_type=GZIP),
        response(recorded_body("hulu_gzip", "server"), compress_type=GZIP),
    ),
    "sofa_echo": (sofa(echo()), response(reply())),
    "sofa_fail": (sofa(FAILING), FAILURE),
    "sofa_gzip": (
        sofa(recorded_body("sofa_gzip", "client"), compress_type=GZIP),
        response(recorded_body("sofa_gzip", "server"), compress_type=GZIP),
    ),
}

FRAMES = [
    pytest.param(case, role, message, id=f"{case}.{role}")
    for case, messages in CALLS.items()
    for role, message in zip(("client", "server"), messages, strict=True)
]
EACH_FRAME = pytest.mark.parametrize(("case", "role", "message"), FRAMES)


def test_all_recordings_are_covered() -> None:
    paths = [*VECTORS.glob("hulu_*.bin"), *VECTORS.glob("sofa_*.bin")]
    assert {path.name.split(".")[0] for path in paths} == set(CALLS)


@EACH_FRAME
def test_recorded_frame_parses_to_the_call(case: str, role: str, message: Sample) -> None:
    assert list(parse_all(protocol_of(case), [recorded(case, role)])) == [message]


@EACH_FRAME
def test_call_packs_to_the_recorded_bytes(case: str, role: str, message: Sample) -> None:
    assert bytes(pack(protocol_of(case), message)) == recorded(case, role)


@EACH_FRAME
def test_recorded_frame_parses_when_split_at_any_byte(
    case: str, role: str, message: Sample
) -> None:
    protocol, frame = protocol_of(case), recorded(case, role)
    for at in range(len(frame) + 1):
        assert list(parse_all(protocol, [frame[:at], frame[at:]])) == [message]
    assert list(parse_all(protocol, [bytes([byte]) for byte in frame])) == [message]


@EACH_FRAME
def test_recorded_frame_tells_its_protocol_at_any_byte(
    case: str, role: str, message: Sample
) -> None:
    frame = recorded(case, role)
    for size in range(1, len(frame)):
        found = detect(IOBuf(frame[:size]), ParseLimits(), framed_protocols())
        assert found == (protocol_of(case), NEED_MORE)
    assert detect(IOBuf(frame), ParseLimits(), framed_protocols()) == (protocol_of(case), message)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hulu", "sofa"])
def test_recorded_calls_pass_the_checks_of_every_protocol(name: str) -> None:
    calls = [call for case, call in CALLS.items() if case.startswith(name)]
    check_protocol(protocol_of(name), [message for call in calls for message in call])


def printed_fields(case: str) -> dict[str, str]:
    """The values that the C++ client printed for the call; of an error it prints no more."""
    manifest = json.loads((VECTORS / "manifest.json").read_text())
    (line,) = (e["client_prints"] for e in manifest if e["case"] == case)
    found = re.fullmatch(
        r"mode=\w+ failed=(?P<failed>\d) code=(?P<code>\d+) text=\[(?P<text>.*)\] msg=(?P<msg>.*)"
        r" len=(?P<len>\d+)(?: log_id=(?P<log_id>\d+) req= att=(?P<att>\d+))?",
        line,
    )
    assert found, line
    return {name: value for name, value in found.groupdict().items() if value is not None}


@pytest.mark.parametrize("case", CALLS)
def test_recorded_answer_is_the_one_that_the_cpp_client_printed(case: str) -> None:
    (answer,) = parse_all(protocol_of(case), [recorded(case, "server")])
    assert isinstance(answer, RpcResponse)
    body = bytes(answer.body)
    if answer.compress_type:
        body = zlib.decompress(body, wbits=zlib.MAX_WBITS | 32)
    message = conformance_pb2.EchoResponse()
    message.MergeFromString(body)
    code, said = answer.error_code, printed_fields(case)
    assert said == {
        "failed": str(int(code != 0)),
        "code": str(code),
        "text": f"[E{code}]{answer.error_text}" if code else "",
        "msg": message.message[:30],
        "len": str(len(message.message)),
        **({} if code else {"log_id": str(message.log_id)}),
        **({} if code else {"att": str(len(answer.attachment or b""))}),
    }


@pytest.mark.parametrize("case", ["hulu_gzip", "sofa_gzip"])
def test_recorded_compressed_request_holds_the_message(case: str) -> None:
    body = zlib.decompress(recorded_body(case, "client"), wbits=zlib.MAX_WBITS | 32)
    assert body == echo(ZEES)
