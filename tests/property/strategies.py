"""Strategies: messages with any values in their fields, and encoded protobuf fields."""

from __future__ import annotations

from hypothesis import strategies as st

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse, StreamSettings

int32 = st.integers(-(2**31), 2**31 - 1)
int64 = st.integers(-(2**63), 2**63 - 1)
text = st.text(max_size=20)
flag = st.none() | st.booleans()
bodies = st.binary(max_size=60) | st.integers(4000, 9000).map(bytes)

stream_settings = st.builds(
    StreamSettings, int64, flag, flag, st.lists(int64, max_size=3).map(tuple)
)

common = {
    "correlation_id": int64,
    "body": bodies,
    "attachment": st.none() | bodies.filter(len).map(IOBuf),
    "user_fields": st.none() | st.dictionaries(text, text, min_size=1, max_size=3),
    "compress_type": st.none() | int32,
    "content_type": st.none() | int32,
    "checksum_type": st.none() | int32,
    "checksum_value": st.none() | st.binary(max_size=8),
    "checksum_with_attachment": flag,
    "stream_settings": st.none() | stream_settings,
}

requests = st.builds(
    RpcRequest,
    service=text,
    method=text,
    log_id=st.none() | int64,
    request_id=st.none() | text,
    timeout_ms=st.none() | int32,
    trace_id=st.none() | int64,
    span_id=st.none() | int64,
    parent_span_id=st.none() | int64,
    credential=st.none() | st.binary(max_size=20),
    **common,
)
responses = st.builds(RpcResponse, error_code=int32, error_text=text, **common)
messages = requests | responses

varints = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 127, 128, 2**31, 2**32, 2**63])
fields = st.integers(0, 15) | st.sampled_from([16, 100, 2**29 - 1])


def varint(value: int, padding: int = 0) -> bytes:
    """`value` as a varint that is `padding` bytes longer than it has to be."""
    groups = [value >> shift & 0x7F for shift in range(0, max(1, value.bit_length()), 7)]
    groups += [0] * padding
    return bytes([group | 0x80 for group in groups[:-1]] + [groups[-1]])


padded_varints = st.builds(varint, varints, st.sampled_from([0, 0, 0, 1, 5, 9]))
any_bytes = st.binary(max_size=12)
delimited = any_bytes.map(lambda data: varint(len(data)) + data)


def tagged(number: int, wire_type: int, value: bytes, padding: int) -> bytes:
    return varint(number << 3 | wire_type, padding) + value


def fields_of(nested: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Encoded fields of any number and wire type; delimited ones may contain `nested` ones."""
    values = {
        0: padded_varints,
        1: st.binary(min_size=8, max_size=8),
        2: delimited | nested.map(lambda data: varint(len(data)) + data),
        3: nested,
        4: st.just(b""),
        5: st.binary(min_size=4, max_size=4),
        6: any_bytes,
    }
    one = st.sampled_from([0, 0, 0, 2, 2, 2, 1, 5, 3, 4, 6]).flatmap(
        lambda kind: st.builds(
            tagged, fields, st.just(kind), values[kind], st.sampled_from([0, 0, 0, 1, 4])
        )
    )
    return st.lists(one, max_size=5).map(b"".join)


encoded_fields = st.recursive(any_bytes, fields_of, max_leaves=6)
