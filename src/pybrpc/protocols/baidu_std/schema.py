"""RpcMeta, the message in front of every baidu_std payload, as a table and as a protobuf class.

The table has the field numbers of bRPC 1.17: src/brpc/policy/baidu_rpc_meta.proto and
src/brpc/streaming_rpc_meta.proto. `meta_schema` says how it differs from those files.

pybrpc does not import this module: `meta_decoder` and `meta_encoder` handle the bytes themselves.
Tests and fuzz targets use the class to make frames, and to judge that code.
"""

from __future__ import annotations

from typing import Any

from pybrpc.protocols.meta_schema import message_classes

_MESSAGES: dict[str, str] = {
    "RpcRequestMeta": """
        bytes service_name = 1
        bytes method_name = 2
        int64 log_id = 3
        int64 trace_id = 4
        int64 span_id = 5
        int64 parent_span_id = 6
        bytes request_id = 7
        int32 timeout_ms = 8
    """,
    "RpcResponseMeta": """
        int32 error_code = 1
        bytes error_text = 2
    """,
    "StreamSettings": """
        int64 stream_id = 1
        bool need_feedback = 2
        bool writable = 3
        repeated int64 extra_stream_ids = 4
    """,
    "UserField": """
        bytes key = 1
        bytes value = 2
    """,
    "RpcMeta": """
        RpcRequestMeta request = 1
        RpcResponseMeta response = 2
        int32 compress_type = 3
        int64 correlation_id = 4
        int32 attachment_size = 5
        bytes authentication_data = 7
        StreamSettings stream_settings = 8
        repeated UserField user_fields = 9
        int32 content_type = 10
        int32 checksum_type = 11
        bytes checksum_value = 12
        bool checksum_with_attachment = 13
    """,
}

RpcMeta: Any = message_classes("pybrpc.baidu_std", _MESSAGES)["RpcMeta"]
"""The message class."""
